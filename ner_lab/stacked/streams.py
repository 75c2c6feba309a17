"""The random numbers of each member, drawn from torch's generators as its lone run draws them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ner_lab.dropout import Dropout

Size = tuple[int, int]


class Stream:
    """A member's random numbers: in its turn torch's generator goes on where this member left it.

    seed: what the member was seeded with; state: of torch's generator on the CPU, once the member was built.
    """

    def __init__(self, seed: int, state: Tensor) -> None:
        self.seed = seed
        self._states = {torch.device("cpu"): state}

    @contextmanager
    def running(self, device: torch.device) -> Iterator[None]:
        """Within, what is drawn on this device is drawn by this member."""
        generator = _generator_of(device)
        outer = generator.get_state()
        if device not in self._states:
            self._states[device] = torch.Generator(device).manual_seed(self.seed).get_state()
        generator.set_state(self._states[device])
        try:
            yield
        finally:
            self._states[device] = generator.get_state()
            generator.set_state(outer)


def _generator_of(device: torch.device) -> torch.Generator:
    if device.type == "cpu":
        return torch.default_generator
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]


def drop(values: Tensor, layers: Sequence[Dropout], sizes: Sequence[Size], streams: Sequence[Stream]) -> Tensor:
    """Dropout of all members, each with its own probability and its own masks.

    values (members, rows, places, dim), padded; sizes: rows and places each member has of its own, for which
    alone its masks are drawn.
    """
    if not any(layer.training and layer.p for layer in layers):
        return values
    masks = torch.zeros_like(values)
    for mask, layer, (rows, places), stream in zip(masks, layers, sizes, streams, strict=True):
        with stream.running(values.device):
            mask[:rows, :places] = layer(values.new_ones(rows, places, values.shape[3]))
    return values * masks
