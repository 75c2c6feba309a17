"""The whole state of a training between two steps: taken, and given back.

A training that goes on from it ends with the weights and numbers of one that was never stopped, to the last bit.
Batches and hidden words follow from seed and epoch alone (`ner_lab.data.batching.batch`); the rest is here. Taking it
changes nothing: when it is taken follows the clock, and no number may depend on that.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pytorch_lightning as pl
import torch

from ner_lab.errors import UserError
from ner_lab.training.module import TaggerModule
from ner_lab.training.optimizers.lazy_sgd import RowSGD


@dataclass(frozen=True)
class Place:
    """Where training stands: whole epochs done, batches done in the one after them, steps of the optimizer in all.

    ended: there is nothing left to train. seconds: that training took so far.
    """

    epochs: int
    batches: int
    steps: int
    ended: bool
    seconds: float


class Keeps(Protocol):
    """A callback with a state of its own; the names are Lightning's."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


def take(
    trainer: pl.Trainer, module: TaggerModule, callbacks: Mapping[str, Keeps], place: Place
) -> dict[str, Any] | None:
    """The state as plain data and tensors, in the first process; None in the others. All processes must call it."""
    ranks = _of_all_ranks(trainer, {"random": _random_state(module.device), "sums": module.sums()})
    if not trainer.is_global_zero:
        return None
    optimizer, schedule = trainer.optimizers[0], trainer.lr_scheduler_configs[0].scheduler
    assert isinstance(optimizer, torch.optim.Optimizer)
    with optimizer.left_behind() if isinstance(optimizer, RowSGD) else nullcontext():
        weights, moments = module.state_dict(), optimizer.state_dict()
    return {
        "place": asdict(place),
        "weights": weights,
        "optimizer": moments,
        "schedule": {name: value for name, value in schedule.state_dict().items() if name != "lr_lambdas"},
        "precision": trainer.precision_plugin.state_dict(),
        "callbacks": {name: callback.state_dict() for name, callback in callbacks.items()},
        "ranks": ranks,
    }


def give_back(state: Mapping[str, Any], trainer: pl.Trainer, module: TaggerModule) -> None:
    """Weights, optimizer and schedule as they were; before the first step."""
    optimizer, schedule = trainer.optimizers[0], trainer.lr_scheduler_configs[0].scheduler
    try:
        module.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:  # other names, other shapes
        raise UserError(
            "the state that training was to go on from is not one of this tagger "
            f"({str(error).splitlines()[0]}). Train from the beginning in another folder: ner-lab train --from DIR."
        ) from None
    schedule.load_state_dict({"lr_lambdas": [None], **state["schedule"]})
    trainer.precision_plugin.load_state_dict(state["precision"])


def give_back_stream(state: Mapping[str, Any], trainer: pl.Trainer, module: TaggerModule) -> None:
    """Random numbers, and sums over the epoch under way; behind all that a trainer draws before its first step."""
    own = state["ranks"][trainer.global_rank]
    if state["place"]["batches"]:
        module.load_sums(own["sums"])
    torch.set_rng_state(own["random"]["cpu"])
    if module.device.type == "cuda":
        torch.cuda.set_rng_state(own["random"]["cuda"], module.device)


def _random_state(device: torch.device) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _of_all_ranks(trainer: pl.Trainer, own: dict[str, Any]) -> list[dict[str, Any]]:
    if trainer.world_size == 1:
        return [own]
    found: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(found, own)
    return found
