"""Stochastic gradient descent with momentum, the optimizer of all four papers."""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from ner_lab.training.optimizers.base import OptimizerRecipe
from ner_lab.training.optimizers.lazy_sgd import LazySGD


class SGD(OptimizerRecipe):
    """momentum: classical, or Nesterov's. Other arguments as in `OptimizerRecipe`."""

    takes_sparse = True

    def __init__(
        self,
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        decay: float,
        clip: str,
        clip_value: float,
        loss: str,
    ) -> None:
        super().__init__(lr=lr, decay=decay, clip=clip, clip_value=clip_value, loss=loss)
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.check()

    def optimizer(self, model: nn.Module) -> Optimizer:
        return LazySGD(
            model,
            self.groups(model),
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=True,
        )

    def groups(self, model: nn.Module) -> list[Any]:
        """The parameters, or groups of them with a rate of their own, as torch takes them."""
        return self.trained(model)
