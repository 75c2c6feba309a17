"""The interface of experiment trackers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger


class Tracker:
    """Opens Lightning loggers for a run, receives its results, closes the loggers."""

    continues: bool = False
    """Whether a resumed run continues its curves; if not, earlier values are logged again."""

    def open(self, run: Path, name: str, config: dict[str, Any], metadata: Mapping[str, Any]) -> list[Logger]:
        """Open loggers that write under `run`; called once, before training, only by the first process.

        config: the resolved config. metadata: `choices` (option of each group), `parameters` of each part,
        `versions`, `code`, `commit`, `sources` (files read, with checksums).
        """
        return []

    def finish(self, run: Path, metrics: Mapping[str, Any]) -> None:
        """Process the folder of a finished run; `metrics` is the content of metrics.json."""

    def close(self, failed: bool) -> None:
        """End the run, successful or not. Always called."""
