"""The signals that stop a training: Ctrl-C, and those of a scheduler."""

import signal
import threading
from types import FrameType
from typing import Any

from ner_lab.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C; what schedulers send before they kill; what Slurm is often set to send (`--signal=USR1@60`)."""


class StopSignals:
    """Handles the signals within a `with` block, in the main thread only.

    Outside of training there is nothing to save, and one raises `Interrupted` where it arrives. While
    `training` is set it is noted in `asked`, so that the step under way is finished; a second one does not
    wait for that. What is ignored (nohup, `&` in a script) stays so.
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self.training = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for sign in SIGNALS:
                if (before := signal.getsignal(sign)) != signal.SIG_IGN:
                    self._before[sign] = before
        self.take()
        return self

    def __exit__(self, *error: object) -> None:
        for sign, handler in self._before.items():
            signal.signal(sign, handler)

    def take(self) -> None:
        """Install the handlers again, after another library replaced them."""
        for sign in self._before:
            signal.signal(sign, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked is not None, signal.Signals(number)
        if again or not self.training:
            raise Interrupted(f"stopped by {self.asked.name}")
