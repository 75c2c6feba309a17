"""Adam (Kingma & Ba 2015) and its variants."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from torch import nn
from torch.optim import Optimizer

from ner_lab.training.optimizers.base import OptimizerRecipe


class Adam(OptimizerRecipe):
    """betas, eps, weight_decay as in torch. Other arguments as in `OptimizerRecipe`."""

    implementation: ClassVar[Callable[..., Optimizer]] = partial(torch.optim.Adam, fused=True)

    def __init__(
        self,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        decay: float,
        clip: str,
        clip_value: float,
        loss: str,
    ) -> None:
        super().__init__(lr=lr, decay=decay, clip=clip, clip_value=clip_value, loss=loss)
        self.settings = {"betas": (betas[0], betas[1]), "eps": eps, "weight_decay": weight_decay}
        self.check()

    def optimizer(self, model: nn.Module) -> Optimizer:
        return type(self).implementation(self.trained(model), lr=self.lr, **self.settings)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019). Arguments as in `Adam`."""

    implementation = partial(torch.optim.AdamW, fused=True)


class Nadam(Adam):
    """Adam with Nesterov momentum (Dozat 2016), the best of Reimers & Gurevych 2017. Arguments as in `Adam`."""

    implementation = torch.optim.NAdam
