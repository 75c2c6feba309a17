"""How many threads torch takes on the CPU."""

import torch

from ner_lab.errors import UserError


def set_threads(number: int | str) -> None:
    """Take `number` threads, in this process; raises UserError unless it is a whole number above 0."""
    if not str(number).isdecimal() or int(number) < 1:
        raise UserError(f"threads is {number}. It must be a whole number, at least 1.")
    torch.set_num_threads(int(number))
