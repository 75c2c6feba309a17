"""Terminal output: messages that do not tear a progress bar, tables, bars. Plain when not a terminal."""

import atexit
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from ner_lab.io.download import Progress as FetchProgress
from ner_lab.io.secrets import RedactingFormatter

_console = Console(file=sys.stderr, highlight=False)


def is_terminal() -> bool:
    """Whether standard error, where bars are drawn, is a terminal."""
    return _console.is_terminal


class TerminalHandler(logging.StreamHandler):
    """Logs to the terminal, above a progress bar if there is one; warnings go to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message unchanged, without wrapping or markup."""
        message = self.format(record)
        if is_terminal() and sys.stdout.isatty():
            style = "yellow" if record.levelno >= logging.WARNING else None
            _console.print(message, style=style, markup=False, soft_wrap=True)
        else:
            print(message, file=sys.stderr if record.levelno >= logging.WARNING else sys.stdout, flush=True)


def bar(*columns: TextColumn, shown: bool = True, left: bool = True) -> Progress:
    """A progress bar with elapsed time, (`left`) remaining time, then `columns`; hidden when not on a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        *((TextColumn("left"), TimeRemainingColumn()) if left else ()),
        *columns,
        console=_console,
        transient=True,
        disable=not (shown and is_terminal()),
    )


def start_logging() -> None:
    """Log messages to the terminal, for commands that Hydra does not start."""
    handler = TerminalHandler()
    handler.setFormatter(RedactingFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # Optuna's: it lists its plugins


class DownloadBar:
    """A progress bar for a download; call it with (bytes so far, bytes in all)."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("fetching"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=_console,
                disable=not is_terminal(),
            )
            self._progress.start()
            atexit.register(self._progress.stop)  # an interrupted download would leave the cursor hidden
            self._progress.add_task("", total=total or None)
        self._progress.update(self._progress.task_ids[0], completed=done)
        if total and done >= total:
            self._progress.stop()
            self._progress = None


def download_bar() -> FetchProgress:
    """A callback that shows the progress of a download."""
    return DownloadBar()


def follow(text: Callable[[], str], until: Callable[[], bool], *, every: float = 1.0) -> None:
    """Show a changing text in place until `until` is true or Ctrl-C is pressed; print it once if not on a terminal."""
    if not is_terminal():
        print(text())
        return
    with Live(Text(text()), console=_console, refresh_per_second=4) as live, suppress(KeyboardInterrupt):
        while not until():
            time.sleep(every)
            live.update(Text(text()))


def show(text: Text) -> None:
    """Print styled text, plain when not on a terminal; the terminal wraps long lines."""
    Console(highlight=False, emoji=False).print(text, soft_wrap=True)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns: text to the left, numbers to the right."""
    cells = [[Text(_text(value)) for value in row] for row in rows]
    numeric = [all(_is_number(row[column]) for row in rows) for column in range(len(header))]
    return table_text(header, cells, numeric).plain


def table_text(header: Sequence[str], rows: Sequence[Sequence[Text]], numeric: Sequence[bool]) -> Text:
    """Aligned columns at their full width, `numeric` ones to the right; a terminal wraps long lines."""
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for is_right in numeric:
        grid.add_column(justify="right" if is_right else "left", no_wrap=True, overflow="crop")
    titles = [Text(" ".join(title.split())) for title in header]
    widths = [max(cell.cell_len for cell in column) for column in zip(titles, *rows, strict=True)]
    for cells in (titles, [Text("-" * width, "dim") for width in widths], *rows):
        grid.add_row(*cells)
    console = Console(width=sum(widths) + 2 * len(widths) + 1)
    lines = []
    for segments in console.render_lines(grid, pad=False):
        line = Text("  ").append_text(Text.assemble(*((segment.text, segment.style or "") for segment in segments)))
        line.rstrip()
        lines.append(line)
    return Text("\n").join(lines)


def _is_number(value: object) -> bool:
    """Whether a value is a number, an already formatted number, or absent."""
    return isinstance(value, int | float) or re.fullmatch(r"-?|[+-]?\d[\d,]*(\.\d+)?", str(value)) is not None


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
