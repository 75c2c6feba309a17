"""What kind of gradient a look-up table gets, and which of its rows are read."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, distributed, nn


def rows_alone(table: Tensor) -> bool:
    """Whether its gradient should be a list of the rows looked up, and not a table as large as itself.

    On a CPU a whole table of a hundred thousand rows would take most of a step; a GPU hardly
    notices. Processes that train together can only average whole ones.
    """
    return table.is_cpu and not (distributed.is_available() and distributed.is_initialized())


@runtime_checkable
class RowReader(Protocol):
    """A layer whose `forward` reads some rows of one table."""

    def rows_read(self, *inputs: Any) -> tuple[nn.Parameter, Tensor]:
        """What `forward` takes -> the table and the rows that `forward` will read (any shape)."""
