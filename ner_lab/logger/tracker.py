"""What an experiment tracker is."""

from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger


class Tracker:
    """Opens Lightning loggers for a run, takes its final numbers, closes them."""

    def open(self, run: Path, name: str, config: dict[str, Any]) -> list[Logger]:
        """Loggers that write under `run`; called once, before training, by the first process only."""
        return []

    def summarise(self, numbers: dict[str, float]) -> None:
        """The run's final numbers, by flat names (`test/f1`)."""

    def close(self, failed: bool) -> None:
        """End the run, well or not. Called always."""
