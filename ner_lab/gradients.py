"""What kind of gradient a look-up table gets."""

from torch import Tensor, distributed


def rows_alone(table: Tensor) -> bool:
    """Whether its gradient should be a list of the rows looked up, and not a table as large as itself.

    On a CPU a whole table of a hundred thousand rows would take most of a step; a GPU hardly
    notices. Processes that train together can only average whole ones.
    """
    return table.is_cpu and not (distributed.is_available() and distributed.is_initialized())
