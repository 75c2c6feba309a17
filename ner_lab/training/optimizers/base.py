"""What all optimizers have in common: the rate over epochs, clipping, the scale of the loss."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from ner_lab.config.instantiate import part_of
from ner_lab.errors import UserError, check_choice, invalid_value

LOSSES = ("sentence_mean", "token_mean", "sum")


class OptimizerRecipe(ABC):
    """How weights are moved.

    lr: learning rate of the first epoch.
    decay: rate after t epochs is `lr / (1 + decay t)` (Ma & Hovy 2016, section 3.2); 0 keeps it.
    clip: `none`, `norm` (of all gradients together) or `value` (each number), at `clip_value`.
    loss: what the rate is meant for: the `sum` of the sentences' losses, their mean
        (`sentence_mean`), or that sum over the number of tokens (`token_mean`).
    """

    def __init__(self, *, lr: float, decay: float, clip: str, clip_value: float, loss: str) -> None:
        check_choice("optimizer.clip", clip, ("none", "norm", "value"))
        check_choice("optimizer.loss", loss, LOSSES)
        if lr <= 0:
            raise invalid_value("optimizer.lr", lr, "above 0")
        if decay < 0:
            raise invalid_value("optimizer.decay", decay, "at least 0")
        if clip != "none" and clip_value <= 0:
            raise invalid_value(
                "optimizer.clip_value", clip_value, "above 0", "optimizer.clip=none turns clipping off."
            )
        self.lr = lr
        self.decay = decay
        self.clip = clip
        self.clip_value = clip_value
        self.loss = loss

    @abstractmethod
    def optimizer(self, model: nn.Module) -> Optimizer:
        """The optimizer over the model's trained parameters, at the first epoch's rate."""

    def check(self) -> None:
        """Raise UserError where torch refuses the options, now and not after the data are read."""
        try:
            self.optimizer(nn.Linear(1, 1))
        except ValueError as error:
            if not _raised_by_torch(error):
                raise
            raise UserError(f"optimizer: {error}.") from None

    @staticmethod
    def trained(model: nn.Module) -> list[nn.Parameter]:
        """The parameters that training moves; UserError where there are none."""
        moved = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not moved:
            raise UserError(
                "nothing in this tagger can be trained. Choose another word_embedding, features or decoder."
            )
        return moved

    def rate_factor(self, epoch: int) -> float:
        """The share of `lr` that holds after `epoch` epochs."""
        return 1 / (1 + self.decay * epoch)

    takes_sparse: bool = False
    """Whether gradients of look-up tables may stay lists of rows."""

    def clip_gradients(self, parameters: Sequence[nn.Parameter], *, measure: bool = False) -> Tensor | None:
        """Clip in place; gives the norm before clipping, where clipping is by norm or it is to be measured."""
        moved = [self._values(parameter) for parameter in parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(moved) if self.clip == "norm" or measure else None
        if self.clip == "norm" and norm is not None and not (norm.is_cpu and norm <= self.clip_value):
            scale = (self.clip_value / (norm + 1e-6)).clamp(max=1.0)
            for values in moved:
                values.mul_(scale)
        if self.clip == "value":
            for values in moved:
                values.clamp_(-self.clip_value, self.clip_value)
        return norm

    def _values(self, parameter: nn.Parameter) -> Tensor:
        """The numbers of a parameter's gradient, to be changed in place."""
        gradient = parameter.grad
        assert gradient is not None
        if not gradient.is_sparse:
            return gradient
        parameter.grad = gradient.coalesce() if self.takes_sparse else gradient.to_dense()
        return parameter.grad.values() if self.takes_sparse else parameter.grad

    def reduce(self, losses: Tensor, sentences: int, tokens: int, world: int) -> Tensor:
        """losses (batch,) of this process -> its part of the global batch's loss.

        Processes average their gradients, hence the factor `world`: the average of the parts is
        then the loss of the whole batch, however its sentences were parted.
        """
        return losses.sum() * (world / self.divisor(sentences, tokens))

    def divisor(self, sentences: int, tokens: int) -> int:
        """What the summed loss of so many sentences and tokens is divided by."""
        return {"sentence_mean": sentences, "token_mean": tokens, "sum": 1}[self.loss]

    def scale_gradients(self, parameters: Sequence[nn.Parameter], factor: float) -> None:
        """Multiply all gradients in place."""
        for parameter in parameters:
            if parameter.grad is not None:
                self._values(parameter).mul_(factor)


def _raised_by_torch(error: ValueError) -> bool:
    """Whether torch raised it, and not code of ours on the way there."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and str(frame.tb_frame.f_globals.get("__name__")).startswith("torch.")


def optimizer_of(cfg: DictConfig) -> OptimizerRecipe:
    """The `optimizer` group."""
    return part_of(cfg, "optimizer", OptimizerRecipe)
