"""Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

from functools import partial

import torch

from ner_lab.training.optimizers.adam import Adam


class AdamW(Adam):
    """Arguments as in `Adam`."""

    implementation = partial(torch.optim.AdamW, fused=True)
