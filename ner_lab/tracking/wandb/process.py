"""wandb's service process, which talks to the server: it must end, without taking other data with it."""

import json
import logging
from contextlib import suppress
from pathlib import Path

from ner_lab.tracking.wandb.server import run_with_timeout

log = logging.getLogger(__name__)

_REFUSAL = "filestream: fatal error"
_DETAIL = "filestream: failed to upload: "
TEARDOWN_TIMEOUT = 5.0
"""Seconds to wait for wandb's service process to end."""


def remove_import_hooks() -> None:
    """Remove wandb's import hooks.

    wandb reports each import to its service process within the import; once that process is gone, the import itself
    would fail. No setting of wandb disables the hooks, so this calls the function that `wandb.teardown` calls.
    """
    from wandb.sdk.lib import import_hooks

    import_hooks.unregister_all_post_import_hooks()


def refusal_in(log_file: str | None) -> str | None:
    """Why a run's curves were refused, from the log of wandb's service process; None if they were not.

    For example, if a server no longer accepts the key, wandb gives up for good and reports it only there.
    """
    if log_file is None or not Path(log_file).is_file():
        return None
    for line in Path(log_file).read_text(encoding="utf-8", errors="replace").splitlines():
        if _REFUSAL in line:
            with suppress(ValueError):
                text = str(json.loads(line)["msg"])
                return text.rpartition(f"{_REFUSAL}: ")[2].removeprefix(_DETAIL).partition(" url=")[0]
    return None


def end_process() -> None:
    """End wandb's service process; the next run starts another.

    One that still waits for a server would keep the run's id in use and delay the exit of Python. It ends with our
    process at the latest.
    """
    import wandb

    try:
        run_with_timeout(lambda: wandb.teardown(exit_code=1), TEARDOWN_TIMEOUT, "wandb's service process does not end")
    except (Exception, SystemExit) as error:  # wandb would end our process with its own exit code
        log.debug("wandb: %s", error)
