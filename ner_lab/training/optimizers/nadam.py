"""Adam with Nesterov momentum (Dozat 2016), the best of Reimers & Gurevych 2017."""

import torch

from ner_lab.training.optimizers.adam import Adam


class Nadam(Adam):
    """Arguments as in `Adam`."""

    implementation = torch.optim.NAdam
