"""Check the numbers passed to a part's constructor; errors name the config key."""

import math

from ner_lab.errors import UserError


def check_int_range(least: int, group: str, *, most: int = 1_000_000, **values: int | None) -> None:
    """UserError for the first of `values` that is not an integer from `least` to `most`; None is skipped."""
    for name, value in values.items():
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise UserError(f"{group}.{name} is {value}. It must be a whole number from {least:,} to {most:,}.")


def check_not_negative(group: str, **values: float | None) -> None:
    """UserError for the first of `values` that is negative or not finite; None is skipped."""
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UserError(f"{group}.{name} is {value}. It must be a number, 0 or above.")


def probability(group: str, **values: float) -> None:
    """UserError for the first of `values` that is not a probability."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise UserError(f"{group}.{name} is {value}. It is a probability, from 0 to 1.")
