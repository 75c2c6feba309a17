"""What a person sees: aligned tables, plain messages where nobody watches, a bar that never stays behind."""

import io
import logging
import subprocess
import sys

import pytest
from rich.console import Console
from rich.text import Text

from ner_lab.io import terminal
from ner_lab.io.terminal import DownloadBar, TerminalHandler, show, table


def test_a_table_is_aligned_with_numbers_to_the_right_and_text_to_the_left() -> None:
    rows = [["LOC", 12_345, 1.0, "-"], ["a longer name", 7, 33.333, 5], ["none", "", "", "-"]]
    lines = table(["name", "count", "%", "documents"], rows).splitlines()
    assert lines == [
        "  name            count      %  documents",
        "  -------------  ------  -----  ---------",
        "  LOC            12,345   1.00          -",
        "  a longer name       7  33.33          5",
        "  none                                  -",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert table(["name", "count"], []).splitlines() == ["  name  count", "  ----  -----"]


def test_numbers_that_are_written_already_stand_to_the_right() -> None:
    lines = table(["score", "share", "name"], [["+12.50", "1,204", "3a"], ["-0.25", "-", "+b"], ["0", "", "4-5"]])
    assert [line.rstrip() for line in lines.splitlines()] == [
        "   score  share  name",
        "  ------  -----  ----",
        "  +12.50  1,204  3a",
        "   -0.25      -  +b",
        "       0         4-5",
    ]


@pytest.mark.parametrize(("watched", "expected"), [(True, "\x1b[31m[PER x]\x1b[0m"), (False, "[PER x]")])
def test_styled_text_is_plain_where_nobody_watches_and_never_wrapped(
    watched: bool, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1") if watched else monkeypatch.delenv("FORCE_COLOR", raising=False)
    show(Text.assemble(("[PER x]", "red"), " word" * 60))
    assert capsys.readouterr().out == expected + " word" * 60 + "\n"


def logged(message: str, *arguments: object, level: int = logging.INFO) -> None:
    logging.getLogger("ner_lab.somewhere").log(level, message, *arguments)


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> TerminalHandler:
    made = TerminalHandler()
    logger = logging.getLogger("ner_lab.somewhere")
    monkeypatch.setattr(logger, "handlers", [made])
    monkeypatch.setattr(logger, "level", logging.INFO)
    monkeypatch.setattr(logger, "propagate", False)
    return made


LONG = "[PER Ann] of " + "a very long line " * 20


def test_messages_are_plain_where_nobody_watches_and_warnings_go_to_standard_error(
    handler: TerminalHandler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "_console", Console(file=io.StringIO(), force_terminal=False))
    logged("%s", LONG)
    logged("careful", level=logging.WARNING)
    assert capsys.readouterr() == (LONG + "\n", "careful\n")


def test_messages_are_not_wrapped_or_read_as_markup_where_a_person_watches(
    handler: TerminalHandler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=40, highlight=False, color_system=None)
    monkeypatch.setattr(terminal, "_console", console)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    logged("%s", LONG)
    assert console.file.getvalue() == LONG + "\n"  # type: ignore[attr-defined]
    assert capsys.readouterr() == ("", "")


def test_messages_go_to_a_file_even_where_a_person_watches_the_bars(
    handler: TerminalHandler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(terminal, "_console", console)
    logged("a number")
    assert capsys.readouterr() == ("a number\n", "")
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def test_the_bar_of_a_download_leaves_the_cursor_as_it_was_when_all_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(terminal, "_console", console)
    show = DownloadBar()
    for _ in range(2):  # one bar shows one file after another
        for done in (0, 512, 1024):
            show(done, 1024)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count(HIDE) == text.count(SHOW) == 2
    assert text.rindex(SHOW) > text.rindex(HIDE)


BROKEN_OFF = """
import sys
from rich.console import Console
from rich.text import Text
from ner_lab.io import terminal
terminal._console = Console(file=sys.stdout, force_terminal=True, width=80)
show = terminal.DownloadBar()
show(0, {total})
show(5, {total})
raise SystemExit(3)
"""


@pytest.mark.parametrize("total", [100, 0], ids=["known size", "unknown size"])
def test_the_cursor_comes_back_after_a_download_that_was_broken_off(total: int) -> None:
    command = [sys.executable, "-c", BROKEN_OFF.format(total=total)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 3
    assert ended.stdout.rindex(SHOW) > ended.stdout.rindex(HIDE)


def test_the_bar_of_a_download_says_nothing_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    monkeypatch.setattr(terminal, "_console", console)
    show = DownloadBar()
    show(0, 10)
    show(10, 10)
    assert console.file.getvalue().strip() == ""  # type: ignore[attr-defined]
