"""What an experiment tracker is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger


class Tracker:
    """Opens Lightning loggers for a run, takes what came of it, closes them."""

    continues: bool = False
    """Whether a run opened again goes on where it was; otherwise it is told again what it was told before."""

    def open(self, run: Path, name: str, config: dict[str, Any], facts: Mapping[str, Any]) -> list[Logger]:
        """Loggers that write under `run`; called once, before training, by the first process only.

        config: the resolved config. facts: what is known of the run beside it: `choices` (option of each
        group), `parameters` of each part, `versions`, `code`, `commit`, `sources` (files read, with checksums).
        """
        return []

    def finish(self, run: Path, metrics: Mapping[str, Any]) -> None:
        """Take what stands in the folder of a run that came to its end; `metrics` are those of metrics.json."""

    def close(self, failed: bool) -> None:
        """End the run, well or not. Called always."""
