"""The number of cores torch uses on the CPU, and how a tagger's parts share them."""

import torch
from torch import nn

from ner_lab.errors import invalid_value
from ner_lab.models.layers.bidirectional import Bidirectional

_MOST = 1024  # more cores than any machine has


def set_threads(number: int | str | None, model: nn.Module | None = None, *, deterministic: bool = False) -> None:
    """Use `number` threads in this process; raises UserError unless it is an integer above 0.

    number: None leaves it to torch.
    deterministic: each operation gets one thread, so no sum is split, and results are identical to the last bit
    whatever `number` is.

    If `model` reads in both directions, half of the threads are for each; otherwise all are for each operation. In
    these models operations are small, and two threads for each gain next to nothing.
    """
    if number is None and not deterministic:
        return
    if number is not None and (not str(number).isdecimal() or int(number) < 1):
        raise invalid_value("threads", number, "a whole number of at least 1")
    if number is not None and int(number) > _MOST:
        raise invalid_value("threads", number, f"at most {_MOST:,}")
    threads = int(number or 1)
    bidirectional = [part for part in model.modules() if isinstance(part, Bidirectional)] if model is not None else []
    for part in bidirectional:
        part.parallel = threads > 1
    per_operation = threads // 2 if bidirectional and threads > 1 else threads
    torch.set_num_threads(1 if deterministic else per_operation)
