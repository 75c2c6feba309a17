"""Input checks and masks for encoders with weights."""

import torch
from torch import Tensor

from ner_lab.errors import UserError


def require_input(input_dim: int) -> None:
    """Refuse words without a vector."""
    if input_dim < 1:
        raise UserError(
            "The encoder has nothing to read: word_embedding, char_encoder and features are all none. Choose one."
        )


def require_layers(num_layers: int) -> None:
    """Refuse a stack of no layers."""
    if num_layers < 1:
        raise UserError(f"encoder.num_layers is {num_layers}. It must be at least 1; encoder=none is no layer.")


def require_odd(window: int) -> None:
    """Refuse a window without a middle."""
    if window < 1 or window % 2 == 0:
        raise UserError(f"encoder.window is {window}. It must be odd, with the word itself in the middle.")


def real_tokens(lengths: Tensor, time: int) -> Tensor:
    """lengths (batch,) -> mask (batch, time), false at padding."""
    return torch.arange(time, device=lengths.device) < lengths[:, None]
