"""Stochastic gradient descent with momentum, the optimizer of all four papers."""

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD as TorchSGD
from torch.optim import Optimizer

from ner_lab.optimizer.recipe import OptimizerRecipe


class SGD(OptimizerRecipe):
    """momentum: classical, or Nesterov's. Other arguments as in `OptimizerRecipe`."""

    def __init__(
        self,
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        decay: float,
        clip: str,
        clip_at: float,
        loss: str,
    ) -> None:
        super().__init__(lr=lr, decay=decay, clip=clip, clip_at=clip_at, loss=loss)
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.check()

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        return TorchSGD(
            parameters,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=True,
        )
