"""wandb's own process, which speaks to the server: that it ends, and that its end takes nothing with it."""

import json
import logging
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from ner_lab.tracking.wandb.server import within

log = logging.getLogger(__name__)

_REFUSAL = "filestream: fatal error"
_WHERE = "filestream: failed to upload: "
ENDING = 5.0
"""Seconds in which wandb's own process is to end."""


def no_import_hooks() -> None:
    """Have wandb forget that it wants to hear of libraries that are imported.

    It tells its process of each, within the import; with the process gone, the import itself would fail.
    """
    from wandb.sdk.lib import import_hooks

    import_hooks.unregister_all_post_import_hooks()


def refusal_in(place: str | None) -> str | None:
    """Why a run's curves were refused, from the log of wandb's process; None where they were not.

    A server that no longer takes the key, say: wandb gives up for good and says so there alone.
    """
    if place is None or not Path(place).is_file():
        return None
    for line in Path(place).read_text(encoding="utf-8", errors="replace").splitlines():
        if _REFUSAL in line:
            with suppress(ValueError):
                said = str(json.loads(line)["msg"])
                return said.rpartition(f"{_REFUSAL}: ")[2].removeprefix(_WHERE).partition(" url=")[0]
    return None


def end_process() -> None:
    """End wandb's own process: one that still waits for a server holds the run's id, and the end of Python."""
    import wandb
    from wandb.sdk import wandb_setup

    process = _process_of(wandb_setup.singleton())
    try:
        within(ENDING, lambda: wandb.teardown(exit_code=1), "wandb's process does not end")
    except (Exception, SystemExit) as error:  # wandb would end ours with the code of its own
        log.debug("wandb: %s", error)
    if process is not None:
        with suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)
        with suppress(Exception):
            process.wait(ENDING)


def _process_of(singleton: Any) -> Any:
    """wandb's process; None where there is none, or where it stands elsewhere in this version."""
    connection = getattr(singleton, "_connection", None)
    return getattr(getattr(connection, "_proc", None), "_process", None)
