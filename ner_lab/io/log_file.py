"""The log file of a run, written from the start of the run, on a disk that may fill up."""

import logging
import sys
from typing import Any


class LogFile(logging.FileHandler):
    """A file of messages. Those before `start` stay in memory, so a run that is refused leaves the file unchanged.

    A full disk is reported once, and the run continues.
    """

    def __init__(self, filename: str, **options: Any) -> None:
        super().__init__(filename, **options, delay=True)
        self._waiting: list[logging.LogRecord] | None = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, or keep it until the run starts."""
        if self._waiting is not None:
            self._waiting.append(record)
            return
        try:
            super().emit(record)
        except OSError:  # the file cannot be opened
            self.handleError(record)

    def start(self) -> None:
        """Write the stored messages, and from now on each message at once."""
        kept, self._waiting = self._waiting or [], None
        for record in kept:
            self.handle(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Handle a record that could not be written."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.setLevel(sys.maxsize)
        print(f"{self.baseFilename}: {error.strerror}; no more is written to it", file=sys.stderr)


def start_log_files() -> None:
    """Start writing the log files of this process."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFile):
            handler.start()
