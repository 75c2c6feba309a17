"""Files written whole or not at all."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ner_lab.io.atomic import whole_file, write_atomic


@pytest.mark.parametrize("content", ["Málaga\r\nZürich\n", b"\x00\xff\r\n"])
def test_content_is_written_as_it_is_over_the_old_one(content: str | bytes, tmp_path: Path) -> None:
    for written in ("old and much longer than what comes", content):
        write_atomic(tmp_path / "a", written)
    assert (tmp_path / "a").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["a"]


def test_while_it_is_written_the_old_file_stands(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "old")
    with whole_file(tmp_path / "a") as file:
        file.write("new")
        file.flush()
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_fails_leaves_the_old_file_and_nothing_else(error: BaseException, tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "old")

    def write() -> None:
        with whole_file(tmp_path / "a") as file:
            file.write("half")
            raise error

    with pytest.raises(type(error)) as raised:
        write()
    assert raised.value is error
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]
    if isinstance(error, OSError):
        assert error.filename == str(tmp_path / "a")


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_atomic(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_atomic(tmp_path / "a", "new")
    assert raised.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        write_atomic(tmp_path / "gone" / "a", "")
    assert raised.value.filename == str(tmp_path / "gone" / "a")


def test_a_new_file_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_who_reads_while_another_writes_and_is_killed_sees_one_whole_text_or_the_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "a" * 300_000)
    script = (
        "import sys, itertools; from ner_lab.io.atomic import write_atomic\n"
        "for i in itertools.count(): write_atomic(sys.argv[1], 'ab'[i % 2] * 300_000)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)]) as writer:
        seen, end = set(), time.monotonic() + 20
        while len(seen) < 2 and time.monotonic() < end:
            text = path.read_text()
            assert text in ("a" * 300_000, "b" * 300_000)
            seen.add(text[0])
        writer.send_signal(signal.SIGKILL)
    assert seen == {"a", "b"}
    assert path.read_text() in ("a" * 300_000, "b" * 300_000)
