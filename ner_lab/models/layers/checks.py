"""Check the values passed to a part's constructor; errors name the config key."""

import math

from ner_lab.errors import invalid_value


def check_int_range(least: int, group: str, *, most: int = 1_000_000, hint: str = "", **values: int | None) -> None:
    """UserError for the first of `values` that is not an integer from `least` to `most`; None is skipped."""
    for name, value in values.items():
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise invalid_value(f"{group}.{name}", value, f"a whole number from {least:,} to {most:,}", hint)


def check_not_negative(group: str, **values: float | None) -> None:
    """UserError for the first of `values` that is negative or not finite; None is skipped."""
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise invalid_value(f"{group}.{name}", value, "a number of at least 0")


def check_positive(group: str, *, hint: str = "", **values: float | None) -> None:
    """UserError for the first of `values` that is not above 0; None is skipped."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise invalid_value(f"{group}.{name}", value, "above 0", hint)


def check_probability(group: str, **values: float) -> None:
    """UserError for the first of `values` that is not a probability."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise invalid_value(f"{group}.{name}", value, "a probability, from 0 to 1")
