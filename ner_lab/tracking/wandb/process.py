"""wandb's service process, which talks to the server: it must end, without taking other data with it."""

import json
import logging
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from ner_lab.tracking.wandb.server import run_with_timeout

log = logging.getLogger(__name__)

_REFUSAL = "filestream: fatal error"
_WHERE = "filestream: failed to upload: "
ENDING = 5.0
"""Seconds in which wandb's own process is to end."""


def no_import_hooks() -> None:
    """Disable wandb's import hooks.

    wandb reports each import to its process within the import; once the process is gone, the import itself would fail.
    """
    from wandb.sdk.lib import import_hooks

    import_hooks.unregister_all_post_import_hooks()


def refusal_in(place: str | None) -> str | None:
    """Why a run's curves were refused, from the log of wandb's process; None if they were not.

    For example, if a server no longer accepts the key, wandb gives up for good and reports it only there.
    """
    if place is None or not Path(place).is_file():
        return None
    for line in Path(place).read_text(encoding="utf-8", errors="replace").splitlines():
        if _REFUSAL in line:
            with suppress(ValueError):
                text = str(json.loads(line)["msg"])
                return text.rpartition(f"{_REFUSAL}: ")[2].removeprefix(_WHERE).partition(" url=")[0]
    return None


def end_process() -> None:
    """End wandb's process: one that still waits for a server blocks the run's id and the exit of Python."""
    import wandb
    from wandb.sdk import wandb_setup

    process = _process_of(wandb_setup.singleton())
    try:
        run_with_timeout(lambda: wandb.teardown(exit_code=1), ENDING, "wandb's process does not end")
    except (Exception, SystemExit) as error:  # wandb would end our process with its own exit code
        log.debug("wandb: %s", error)
    if process is not None:
        with suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)
        with suppress(Exception):
            process.wait(ENDING)


def _process_of(singleton: Any) -> Any:
    """wandb's process; None if there is none, or if this version keeps it elsewhere."""
    connection = getattr(singleton, "_connection", None)
    return getattr(getattr(connection, "_proc", None), "_process", None)
