"""What is said of a disk or a file that fails, and commands begun where there is no folder any more."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sample import Outcome

from ner_lab.cli.main import _COMMANDS
from ner_lab.io.os_errors import explain_os_error, is_disk_error

SAID = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "your quota of disk space is used up. Free some,",
    errno.EROFS: "the disk can only be read. Write elsewhere: hydra.run.dir=DIR moves a run, data.cache_dir=DIR or",
    errno.EFBIG: "larger than a file may be there (`ulimit -f`).",
    errno.EIO: "the disk cannot read or write it, and may be failing.",
    errno.ESTALE: "the network's disk has lost it.",
}
OF_A_FILE = {
    errno.EACCES: "permission denied (%s belongs to user %d, this is user %d). Have the right given,",
    errno.EPERM: "the system does not permit it (%s belongs to user %d, this is user %d).",
    errno.ENAMETOOLONG: "a name of 300 letters, more than the disk takes",
    errno.ENOTDIR: "a file is where a folder should be.",
    errno.EEXIST: "something of this name exists already.",
    errno.EMFILE: "too many files are open.",
    errno.ENOENT: "No such file or directory.",
    errno.EISDIR: "Is a directory.",
}


@pytest.mark.parametrize("number", [*SAID, *OF_A_FILE])
def test_an_error_at_a_place_names_it_and_the_next_step(number: int, tmp_path: Path) -> None:
    place = tmp_path / "none" / ("x" * 300)
    words = explain_os_error(OSError(number, os.strerror(number), str(place)))
    begin = (SAID | OF_A_FILE)[number]
    if number in (errno.EACCES, errno.EPERM):
        begin %= (tmp_path, tmp_path.stat().st_uid, os.geteuid())
    assert words is not None
    assert words.startswith(f"{place}: {begin}")
    assert "\n" not in words
    if number == errno.ENOSPC:
        assert f" MB are free in {tmp_path}). Free some" in words


@pytest.mark.parametrize("number", SAID)
def test_a_disk_is_never_our_fault_also_where_no_file_is_named(number: int) -> None:
    error = OSError(number, os.strerror(number))
    words = explain_os_error(error)
    assert words is not None
    assert words[:20].lower() == SAID[number][:20].lower()
    assert is_disk_error(error)


def test_what_is_not_the_systems_word_is_ours_also_where_it_names_a_file() -> None:
    error = OSError("lost")
    error.filename = "file"
    assert explain_os_error(error) is None


@pytest.mark.parametrize("error", [OSError("lost"), *(OSError(number, os.strerror(number)) for number in OF_A_FILE)])
def test_an_error_that_names_no_file_may_be_ours(error: OSError) -> None:
    assert explain_os_error(error) is None
    assert not is_disk_error(error)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder is deleted."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()


NO_FOLDER = (
    "error: the folder that this was started in is no longer there. Change to another (cd DIR) and start again.\n"
)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("command", _COMMANDS)
def test_a_command_begun_in_a_deleted_folder_says_so(command: str, cli: Callable[..., Outcome]) -> None:
    for arguments in ((), ("run=x", "paper=lample2016")):
        assert cli(command, *arguments) == Outcome(2, "", NO_FOLDER)


@pytest.mark.usefixtures("nowhere")
def test_help_needs_no_folder(cli: Callable[..., Outcome]) -> None:
    for arguments in (("--help",), ("--version",), ("predict", "--help")):
        assert cli(*arguments).code == 0


def test_a_process_begun_in_a_deleted_folder_ends_in_a_line(
    tmp_path: Path, subprocess_cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "gone").mkdir()
    program = Path(sys.executable).with_name("ner-lab")

    def delete_folder() -> None:
        os.chdir(tmp_path / "gone")
        os.rmdir(tmp_path / "gone")

    outcome = subprocess_cli("train", program=program, preexec_fn=delete_folder)
    assert outcome == Outcome(2, "", NO_FOLDER)


def test_a_folder_deleted_meanwhile_is_told_by_what_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as error:
        Path.cwd()
    assert f"error: {explain_os_error(error.value)}\n" == NO_FOLDER
    monkeypatch.chdir(tmp_path)
    assert explain_os_error(error.value) is None
