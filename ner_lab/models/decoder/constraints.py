"""Which tag may follow which, for decoders that search for a complete sequence."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ner_lab.data.tags import OUTSIDE, follows_table
from ner_lab.errors import check_choice

FORBIDDEN = -1e4
"""The score of a forbidden move in a likelihood; -inf would have no gradient."""


def check_constraints(constraints: str, known: Sequence[str] = ("none", "decode", "always")) -> str:
    """`constraints`, if it is valid; otherwise UserError."""
    check_choice("decoder.constraints", constraints, known)
    return constraints


def allowed_moves(tags: Sequence[str], scheme: str) -> list[list[bool]]:
    """[before][after]: whether the scheme lets one tag follow another; the last of both is the sentence boundary."""
    return follows_table([*tags, OUTSIDE], scheme)  # a sentence boundary allows what O does


def penalties_of(allowed: Sequence[Sequence[bool]]) -> Tensor:
    """0 for an allowed move, -inf for any other (from, to)."""
    return torch.where(torch.tensor(allowed), 0.0, -torch.inf)
