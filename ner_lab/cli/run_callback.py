"""Hydra callback (`hydra.callbacks`), run before a run folder is created: a refused run leaves no folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ner_lab.runs.folder import missing_folders, remove_empty

_created: list[Path] = []


class NoteNewFolders(Callback):
    """Records the folders that Hydra is about to create for a run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called right before the job."""
        HydraConfig.instance().set_config(config)  # Hydra does this next: the folder name refers to it
        _created[:] = missing_folders(Path(config.hydra.run.dir))


@contextmanager
def new_folders_removed_if_empty() -> Iterator[None]:
    """On exit, remove the recorded folders that the run left empty."""
    _created.clear()
    try:
        yield
    finally:
        remove_empty(_created)
