"""SGD whose rate is divided by the fan-in of each layer (Collobert et al. 2011, section 3.3.3)."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from torch import nn

from ner_lab.training.optimizers.sgd import SGD


class SGDFanIn(SGD):
    """Every parameter is moved at `lr` over its layer's number of inputs; look-up tables at `lr`.

    A linear layer (a convolution is one over windows) has as many inputs as columns; so has each
    gate matrix of a recurrent cell. Tables, transitions and other scores have one. Arguments as in
    `SGD`.
    """

    def groups(self, model: nn.Module) -> list[Any]:
        """One group for each fan-in."""
        of: defaultdict[int, list[nn.Parameter]] = defaultdict(list)
        moved = set(self.trained(model))
        for parameter, inputs in fan_ins(model):
            if parameter in moved:
                of[inputs].append(parameter)
        return [{"params": parameters, "lr": self.lr / inputs} for inputs, parameters in of.items()]


def fan_ins(model: nn.Module) -> Iterator[tuple[nn.Parameter, int]]:
    """Each parameter with the number of inputs of its layer."""
    for layer in model.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            if isinstance(layer, nn.Linear):
                yield parameter, max(layer.in_features, 1)
            elif name.startswith(("weight_", "bias_")):  # a recurrent cell: torch's, or one with its names
                yield parameter, getattr(layer, name.replace("bias", "weight")).shape[1]
            else:
                yield parameter, 1
