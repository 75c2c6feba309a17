"""Weights & Biases: one run for each run folder, offline without a key, never a question."""

import logging
import netrc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_lightning.loggers import Logger

from ner_lab.errors import UserError
from ner_lab.logger.tracker import Tracker

log = logging.getLogger(__name__)


class WandbTracker(Tracker):
    """Settings as in `conf/logger/wandb.yaml`; offline runs lie in `RUN/wandb`."""

    def __init__(
        self,
        *,
        project: str,
        entity: str | None,
        group: str | None,
        tags: Sequence[str],
        mode: str,
        base_url: str,
        init_timeout: float,
    ) -> None:
        if mode not in ("auto", "online", "offline", "disabled"):
            raise UserError(f"logger.mode is '{mode}'. It takes auto, online, offline or disabled.")
        self.project = project
        self.entity = entity
        self.group = group
        self.tags = list(tags)
        self.mode = mode
        self.base_url = base_url
        self.init_timeout = init_timeout
        self._run: Any = None

    def open(self, run: Path, name: str, config: dict[str, Any]) -> list[Logger]:
        os.environ.setdefault("WANDB_BASE_URL", self.base_url)
        os.environ.setdefault("WANDB_SILENT", "true")
        from pytorch_lightning.loggers import WandbLogger  # wandb takes a second to import

        mode = os.environ.get("WANDB_MODE") or self._wanted_mode()
        try:
            self._run = self._start(run, name, config, mode)
        except Exception as error:
            if mode in ("offline", "disabled"):
                raise
            log.warning("W&B cannot be reached (%s); this run is logged offline.", error)
            self._run = self._start(run, name, config, "offline")
        return [WandbLogger(experiment=self._run)]

    def summarise(self, numbers: dict[str, float]) -> None:
        if self._run is not None:
            self._run.summary.update(numbers)

    def close(self, failed: bool) -> None:
        if self._run is not None:
            self._run.finish(exit_code=1 if failed else 0)
            self._run = None

    def _wanted_mode(self) -> str:
        if self.mode != "auto":
            return self.mode
        return "online" if _has_key(self.base_url) else "offline"

    def _start(self, run: Path, name: str, config: dict[str, Any], mode: str) -> Any:
        import wandb

        return wandb.init(
            project=self.project,
            entity=self.entity,
            group=self.group,
            tags=self.tags,
            name=name,
            dir=run,
            config=config,
            mode=mode,  # type: ignore[arg-type]
            settings=wandb.Settings(init_timeout=self.init_timeout, silent=True, console="off"),
        )


def _has_key(base_url: str) -> bool:
    """Whether a key is at hand: in the environment, or where `wandb login` keeps it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(base_url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
