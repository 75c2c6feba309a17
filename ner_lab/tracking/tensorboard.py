"""Curves for TensorBoard."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from ner_lab.errors import UserError
from ner_lab.tracking.base import Tracker


class TensorBoardTracker(Tracker):
    """`RUN/tensorboard`."""

    def open(self, run: Path, name: str, config: dict[str, Any], metadata: Mapping[str, Any]) -> list[Logger]:
        if find_spec("tensorboard") is None:
            raise UserError("logger=tensorboard needs a package: pip install 'ner-lab[tensorboard]'")
        return [TensorBoardLogger(save_dir=run, name="", version="tensorboard")]
