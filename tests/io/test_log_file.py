"""The log file of a run, on a disk that fills up."""

import logging
from pathlib import Path

import pytest

from ner_lab.io.log_file import LogFile


def logger_with(handler: logging.Handler) -> logging.Logger:
    log = logging.Logger("alone")
    log.addHandler(handler)
    if isinstance(handler, LogFile):
        handler.start()
    return log


def test_messages_are_written(tmp_path: Path) -> None:
    log = logger_with(LogFile(tmp_path / "train.log", encoding="utf-8"))
    log.info("Málaga")
    assert (tmp_path / "train.log").read_text(encoding="utf-8") == "Málaga\n"


def test_the_file_is_untouched_until_the_run_starts(tmp_path: Path) -> None:
    handler = LogFile(str(tmp_path / "train.log"))
    log = logging.Logger("alone")
    log.addHandler(handler)
    log.info("first")
    assert not (tmp_path / "train.log").exists()
    handler.start()
    log.info("second")
    assert (tmp_path / "train.log").read_text() == "first\nsecond\n"


def test_a_full_disk_is_said_once_and_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log = logger_with(LogFile("/dev/full"))
    for _ in range(3):
        log.info("lost")
    assert capsys.readouterr().err == "/dev/full: No space left on device; no more is written to it\n"


def test_a_message_that_cannot_be_formatted_is_our_fault_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logger_with(LogFile(tmp_path / "train.log"))
    log.info("%d", "one")
    assert "TypeError" in capsys.readouterr().err
    log.info("two")
    assert (tmp_path / "train.log").read_text() == "two\n"
