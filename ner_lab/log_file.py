"""The log file of a run: where it cannot be written, that is said once, and what goes on goes on."""

import logging
import sys


class LogFile(logging.FileHandler):
    """A file of messages. Its disk may fill up; the run's own files then say what to do about it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Called where a record could not be written."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.setLevel(sys.maxsize)
        print(f"{self.baseFilename}: {error.strerror}; no more is written to it", file=sys.stderr)
