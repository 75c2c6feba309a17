"""How many cores torch takes on the CPU, and how a tagger's parts share them."""

import torch
from torch import nn

from ner_lab.errors import UserError
from ner_lab.recurrence.two_ways import ReadsBothWays


def set_threads(number: int | str, model: nn.Module | None = None) -> None:
    """Take `number` threads, in this process; raises UserError unless it is a whole number above 0.

    Where `model` reads in both directions, half of them are for each; otherwise all are for each
    operation. In these models operations are small, and two threads for each gain next to nothing.
    """
    if not str(number).isdecimal() or int(number) < 1:
        raise UserError(f"threads is {number}. It must be a whole number, at least 1.")
    threads = int(number)
    both_ways = [part for part in model.modules() if isinstance(part, ReadsBothWays)] if model is not None else []
    for part in both_ways:
        part.apart = threads > 1
    torch.set_num_threads(threads // 2 if both_ways and threads > 1 else threads)
