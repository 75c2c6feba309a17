"""Where predictions go: under their name when all is written, and what was written before an error is not lost."""

import errno
import logging
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from ner_lab.errors import UserError
from ner_lab.inference.output import output_file


def write(path: Path | str, *pieces: str, error: BaseException | None = None) -> None:
    with output_file(str(path)) as out:
        for piece in pieces:
            out.write(piece)
            out.flush()
        if error is not None:
            raise error


def test_a_file_gets_its_name_when_all_is_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old and longer than what comes")
    with output_file(str(tmp_path / "out")) as out:
        out.write("Zürich\r\n")
        out.flush()
        assert (tmp_path / "out").read_text() == "old and longer than what comes"
        assert (tmp_path / "out.part").read_bytes() == "Zürich\r\n".encode()
    assert (tmp_path / "out").read_bytes() == "Zürich\r\n".encode()
    assert os.listdir(tmp_path) == ["out"]


def test_what_an_earlier_attempt_left_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "out.part").write_text("half of an earlier one, and long")
    write(tmp_path / "out", "new")
    assert (tmp_path / "out").read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def test_a_users_mistake_says_what_is_left(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    with pytest.raises(UserError) as raised:
        write(tmp_path / "out", "one\n", error=UserError("in:7: no."))
    assert str(raised.value) == f"in:7: no. What was tagged so far is in {tmp_path / 'out.part'}."
    assert (tmp_path / "out").read_text() == "old"
    assert (tmp_path / "out.part").read_text() == "one\n"


def test_before_anything_was_tagged_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no\.$"):
        write(tmp_path / "out", error=UserError("no."))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError("ours"), OSError("ours")])
def test_other_errors_stay_what_they_are(
    error: BaseException, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(type(error)) as raised:
        write(tmp_path / "out", "one\n", error=error)
    assert raised.value is error
    assert f"What was tagged so far is in {tmp_path / 'out.part'}." in caplog.text
    assert (tmp_path / "out.part").read_text() == "one\n"


def test_a_full_disk_is_told_with_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError) as raised:
        write(tmp_path / "out", "one\n")
    part = tmp_path / "out.part"
    assert str(raised.value).startswith(f"{part}: no space left on the disk (")
    assert str(raised.value).endswith(f"What was tagged so far is in {part}.")
    assert os.listdir(tmp_path) == ["out.part"]


def _limited(path: Path, results: "multiprocessing.Queue[str]") -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
    try:
        write(path, *["a line of twenty...\n"] * 1000)
    except UserError as error:
        results.put(str(error))


def test_a_file_that_may_not_grow_keeps_what_went_into_it(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_limited, args=(tmp_path / "out", results))
    process.start()
    said = results.get(timeout=60)
    process.join()
    assert said.startswith(f"{tmp_path / 'out.part'}: larger than a file may be there (`ulimit -f`)")
    assert (tmp_path / "out").read_text() == "old"
    assert (tmp_path / "out.part").read_text() == "a line of twenty...\n" * 200


def test_a_second_process_does_not_write_into_the_first_ones_file(tmp_path: Path) -> None:
    with output_file(str(tmp_path / "out")) as out:
        out.write("first")
        out.flush()
        with pytest.raises(UserError, match=r"another process writes .*out\.part"):
            write(tmp_path / "out", "second")
        assert (tmp_path / "out.part").read_text() == "first"
    assert (tmp_path / "out").read_text() == "first"


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "there" / "file")
    write(tmp_path / "out", "new")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "new"


def test_a_pipe_and_a_device_are_written_as_they_are(tmp_path: Path) -> None:
    write("/dev/null", "gone")
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe, "through")
    reader.join()
    assert read == ["through"]
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_folder_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder\. Give a file"):
        write(tmp_path)
    with pytest.raises(UserError, match=r"there is no folder .*none"):
        write(tmp_path / "none" / "out")
