"""Curves in a CSV file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger

from ner_lab.tracking.base import Tracker


class CsvTracker(Tracker):
    """`RUN/csv/metrics.csv`."""

    def open(self, run: Path, name: str, config: dict[str, Any], metadata: Mapping[str, Any]) -> list[Logger]:
        return [CSVLogger(save_dir=run, name="", version="csv")]
