"""The checkpoint that a training resumes from: Lightning's own, with the states of the random generators.

It is written at the end of an epoch, and before the first step. Batches and hidden words follow from seed and epoch
alone (`ner_lab.data.batching.batch`), so a resumed training repeats the epoch under way bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import CheckpointIO

from ner_lab.runs.folder import RunFolder


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is.

    epochs: epochs done. kept: number of the epoch in best.ckpt, if any. ended: whether no epoch is left to train.
    seconds: training time so far.
    """

    epochs: int
    kept: int | None
    ended: bool
    seconds: float


class StateFile(CheckpointIO):
    """Writes Lightning's checkpoint to the run folder; gives Lightning the one that was read when the run was resumed.

    resumed: that checkpoint; None for a new training.
    """

    def __init__(self, run: RunFolder, resumed: Mapping[str, Any] | None) -> None:
        self.run = run
        self.resumed = resumed

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self.run.write_state(checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        assert self.resumed is not None
        return dict(self.resumed)

    def remove_checkpoint(self, path: Any) -> None:
        """The run folder keeps the last two, and drops them when the run is finished."""


def start_next_epoch(fit_loop: dict[str, Any]) -> None:
    """Change the counts of Lightning's loop at the end of an epoch to those at the start of the next, in place.

    Lightning saves an epoch before it counts it as completed. When it resumes it makes up for that, but not with
    `trainer.max_steps`: there it would call the hooks of the epoch's end again.
    """
    for counts in fit_loop["epoch_progress"].values():
        counts["completed"] = counts["processed"]
    batches = fit_loop["epoch_loop.batch_progress"]
    batches["current"] = dict.fromkeys(batches["current"], 0)
    batches["is_last_batch"] = False


def generators_of_all_ranks(trainer: pl.Trainer, device: torch.device) -> list[dict[str, torch.Tensor]]:
    """The states of each process's random generators; every process must call it."""
    own = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    return of_all_ranks(trainer, own)


def restore_generators(state: Mapping[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def of_all_ranks(trainer: pl.Trainer, own: Any) -> list[Any]:
    """What each process gives, in the order of ranks."""
    if trainer.world_size == 1:
        return [own]
    gathered: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(gathered, own)
    return gathered
