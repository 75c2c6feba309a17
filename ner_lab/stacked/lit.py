"""The LightningModule of a stack: one step for all members, one optimizer, each member's own figures."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from ner_lab.data.batch import Batch
from ner_lab.lit import NORM_EVERY, TaggerModule
from ner_lab.stacked.streams import Stream
from ner_lab.stacked.tagger import StackedTagger


class StackModule(pl.LightningModule):
    """Trains several taggers at once, and scores each on dev as `TaggerModule` does.

    members: modules of one shape, untrained. streams: their random numbers. together: see `StackedTagger`;
    None is together on a GPU, and one after another on a CPU.
    """

    def __init__(
        self, members: Sequence[TaggerModule], streams: Sequence[Stream], *, together: bool | None = None
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.streams = list(streams)
        self.together = together
        self.going = list(range(len(members)))
        """Members still trained"""
        self.losses: Tensor = torch.zeros(len(members))
        """Summed over the epoch, of each member"""
        self.tokens = [0] * len(members)
        self.norms: list[list[Tensor]] = [[] for _ in members]
        """Norms of gradients measured in this epoch"""
        self._steps = 0
        self._by_member = False

    def member(self, number: int) -> TaggerModule:
        """The module of a member."""
        module = self.members[number]
        assert isinstance(module, TaggerModule)
        return module

    def keep(self, going: Sequence[int]) -> None:
        """Train these members alone from now on."""
        for number in set(self.going) - set(going):
            for parameter in self.members[number].parameters():
                parameter.grad = None  # which optimizers leave alone
        self.going = list(going)
        self._stack()

    def _stack(self) -> None:
        """Anew: the tensors of all members are made where the members lie now."""
        together = self.device.type != "cpu" if self.together is None else self.together
        taggers = [self.member(number).tagger for number in self.going]
        self.stack = StackedTagger(taggers, [self.streams[number] for number in self.going], together=together)

    def on_train_epoch_start(self) -> None:
        self._steps = 0
        self.losses = torch.zeros(len(self.members), device=self.device, dtype=torch.double)
        self.tokens = [0] * len(self.members)
        self.norms = [[] for _ in self.members]

    def training_step(self, batches: list[Batch], batch_idx: int) -> Tensor:
        """The sum of the members' losses: each weight has a part in one of them alone."""
        sums = self.stack.losses(batches)  # (members still trained,)
        parts = []
        for number, own, batch in zip(self.going, sums, batches, strict=True):
            parts.append(self.member(number).recipe.reduce(own, batch.global_sentences, batch.global_tokens, 1))
            self.tokens[number] += batch.global_tokens
        self.losses[self.going] += sums.detach()
        return torch.stack(parts).sum()

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        self.stack.forget()

    def on_after_backward(self) -> None:
        self.stack.hand_back()

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        measure = self._steps % NORM_EVERY == 0
        self._steps += 1
        for number in self.going:
            module = self.member(number)
            norm = module.recipe.clip_gradients(module.recipe.trained(module.tagger), measure=measure)
            if norm is not None:
                self.norms[number].append(norm)

    def averages_of(self, number: int) -> dict[str, float]:
        """What a member's epoch of training came to, as `TaggerModule.averages` gives it of a lone run."""
        norms = self.norms[number]
        loss = self.losses[number] / max(self.tokens[number], 1)
        return {
            "train/loss": float(loss),
            "train/gradient_norm": float(torch.stack(norms).mean()) if norms else 0.0,
        }

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        for number in self.going:
            self.member(number).validation_step(batch, batch_idx)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimizer over all members' parameters; with groups of each member's own where rates differ."""
        self._stack()  # only here do all members lie where they are trained
        recipes = [self.member(number).recipe for number in self.going]
        optimizer = recipes[0].optimizer(nn.ModuleList(self.member(number).tagger for number in self.going))
        factors: Any = recipes[0].rate_factor
        if len({(recipe.lr, recipe.decay) for recipe in recipes}) > 1:
            self._by_member = True
            self._part_groups(optimizer)
            factors = [
                recipe.rate_factor for _ in range(len(optimizer.param_groups) // len(recipes)) for recipe in recipes
            ]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}

    def _part_groups(self, optimizer: Optimizer) -> None:
        """Each group in one for each member, at the member's own rate."""
        parted = []
        first = self.member(0).recipe.lr
        for group in optimizer.param_groups:
            for number in self.going:
                module = self.member(number)
                own = set(module.parameters())
                moved = [parameter for parameter in group["params"] if parameter in own]
                parted.append({**group, "params": moved, "lr": module.recipe.lr * (group["lr"] / first)})
        optimizer.param_groups[:] = parted

    def rate(self, number: int) -> float:
        """The learning rate of a member now."""
        groups = self.trainer.optimizers[0].param_groups
        return groups[number if self._by_member else 0]["lr"]
