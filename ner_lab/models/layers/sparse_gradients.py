"""The kind of gradient of a look-up table, and the rows that are read."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, distributed, nn


def use_sparse_gradients(table: Tensor) -> bool:
    """Whether the gradient should be a list of the rows looked up instead of a full table.

    On a CPU a full table of a hundred thousand rows would take most of a step; on a GPU the cost is negligible.
    Processes that train together can only average full ones.
    """
    return table.is_cpu and not (distributed.is_available() and distributed.is_initialized())


@runtime_checkable
class RowReader(Protocol):
    """A layer whose `forward` reads some rows of one table."""

    def embedding_rows(self, *inputs: Any) -> tuple[nn.Parameter, Tensor]:
        """The arguments of `forward` -> the table and the rows that `forward` will read (any shape)."""
