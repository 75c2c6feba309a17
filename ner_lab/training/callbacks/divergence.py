"""Detects a NaN, infinite or exploding loss."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Step:
    """A step of training.

    number: of the step within its epoch, from 1. loss: of a token, over this process's part of the batch. sentences:
    their numbers in the training data, from 0. rate: learning rate.
    """

    epoch: int
    number: int
    loss: Tensor
    sentences: Tensor
    rate: float


class Divergence:
    """Checks losses several steps at a time, since reading a loss from a GPU waits for it.

    above: the largest loss per token that is not divergence.
    """

    def __init__(self, above: float) -> None:
        self.above = above
        self._steps: list[Step] = []

    def add(self, step: Step) -> None:
        """Keep a step for the next check."""
        self._steps.append(step)

    def first(self) -> Step | None:
        """The first bad step since the last check."""
        steps, self._steps = self._steps, []
        if not steps:
            return None
        losses = [float(steps[0].loss)] if len(steps) == 1 else torch.stack([step.loss for step in steps]).tolist()
        return next((step for step, loss in zip(steps, losses, strict=True) if not loss <= self.above), None)

    def describe(self, step: Step, norm: float | None, norm_before: float | None) -> str:
        """Describe a bad step and what to do about it.

        norm: of its gradient, if known. norm_before: the last one measured before.
        """
        loss = float(step.loss)
        sentences = [int(sentence) + 1 for sentence in step.sentences.tolist()]
        shown = ", ".join(map(str, sentences[:_SHOWN])) + (", ..." if len(sentences) > _SHOWN else "")
        what = "is no number" if math.isnan(loss) else f"is above max_loss={self.above:g}"
        norms = [f"gradient norm {norm:.4g}"] if norm is not None else []
        norms += [f"{norm_before:.4g} when last measured before"] if norm_before is not None else []
        return (
            f"training diverged in epoch {step.epoch} at batch {step.number} (sentences {shown} of train): its loss of "
            f"{loss:.4g} a token {what}; learning rate {step.rate:g}{''.join(f', {norm}' for norm in norms)}. "
            "Lower optimizer.lr, or clip gradients (optimizer.clip=norm optimizer.clip_value=5)."
        )


_SHOWN = 10  # sentences of a batch that are named


def gradient_norm(model: nn.Module) -> float:
    """The norm of all gradients together, as they are now."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    flat = [gradient.coalesce().values() if gradient.is_sparse else gradient for gradient in gradients]
    return (
        float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one) for one in flat]))) if flat else 0.0
    )
