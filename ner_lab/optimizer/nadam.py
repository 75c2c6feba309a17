"""Adam with Nesterov momentum (Dozat 2016), the best of Reimers & Gurevych 2017."""

from collections.abc import Iterable, Sequence

from torch import nn
from torch.optim import NAdam as TorchNAdam
from torch.optim import Optimizer

from ner_lab.optimizer.recipe import OptimizerRecipe


class Nadam(OptimizerRecipe):
    """betas, eps, weight_decay as in torch. Other arguments as in `OptimizerRecipe`."""

    def __init__(
        self,
        *,
        lr: float,
        betas: Sequence[float],
        eps: float,
        weight_decay: float,
        decay: float,
        clip: str,
        clip_at: float,
        loss: str,
    ) -> None:
        super().__init__(lr=lr, decay=decay, clip=clip, clip_at=clip_at, loss=loss)
        self.betas = (betas[0], betas[1])
        self.eps = eps
        self.weight_decay = weight_decay
        self.check()

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        return TorchNAdam(parameters, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay)
