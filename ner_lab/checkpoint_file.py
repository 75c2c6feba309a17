"""Reads a checkpoint without running code of it."""

from pathlib import Path
from typing import Any

from ner_lab.errors import UserError


def read_checkpoint_file(path: Path) -> dict[str, Any]:
    """Tensors and plain data; UserError where the file is damaged."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path}: not a checkpoint that can be read ({error}).") from None
