"""Format-independent tables: text cells, with the numbers to sort by."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ner_lab.reporting.aggregates import Summary

NOTHING = "–"
BETTER, WORSE = "better", "worse"


class Cell(NamedTuple):
    """Text of a cell and its number; `code`: to be rendered verbatim; `verdict`: `BETTER`, `WORSE` or ""."""

    text: str
    value: float | None = None
    strong: bool = False
    code: bool = False
    verdict: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a header; a column whose cells have values is numeric.

    total: whether the last row is a total, which is not sorted with the others. folded: a page shows it on request.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    total: bool = False
    folded: bool = False

    @property
    def body(self) -> Sequence[Sequence[Cell]]:
        """The rows without the total."""
        return self.rows[:-1] if self.total else self.rows

    @property
    def numeric(self) -> list[bool]:
        """Which columns are numeric."""
        return [
            any(row[column].value is not None for row in self.rows)
            and all(row[column].value is not None or row[column].text == NOTHING for row in self.rows)
            for column in range(len(self.header))
        ]


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> Cell:
    """`91.21`, `+0.35`, `1,234`; a dash for None."""
    if value is None:
        return Cell(NOTHING)
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    if not re.search("[1-9]", text):  # avoid +0.00 and -0.00
        text = text.lstrip("+-")
    return Cell(text.replace("-", "−"), value)


def difference(value: float, digits: int = 2, *, better: int = 0) -> Cell:
    """A signed number with its verdict. better: 1 if higher is better, -1 if lower is, 0 if neither."""
    cell = number(value, digits, signed=True)
    sign = better * value if re.search("[1-9]", cell.text) else 0
    return cell._replace(verdict=BETTER if sign > 0 else WORSE if sign < 0 else "")


def mean_and_std(summary: Summary | None, digits: int = 2) -> Cell:
    """`91.21 ± 0.12`; without the deviation for a single run."""
    if summary is None:
        return Cell(NOTHING)
    spread = "" if summary.std is None else f" ± {summary.std:,.{digits}f}"
    return Cell(f"{summary.mean:,.{digits}f}{spread}".replace("-", "−"), summary.mean)


def interval(low: float | None, high: float | None, *, signed: bool = False) -> Cell:
    """`91.02 to 91.40`"""
    if low is None or high is None:
        return Cell(NOTHING)
    return Cell(f"{number(low, signed=signed).text} to {number(high, signed=signed).text}", low)


def p_value(p: float | None) -> Cell:
    """`0.032`, `0.0005`, `<0.0001`"""
    if p is None:
        return Cell(NOTHING)
    if p < 0.00005:
        return Cell("<0.0001", p)
    return Cell(f"{p:.4f}" if p < 0.01 else f"{p:.3f}", p)


def seconds(value: float | None) -> str:
    """`48 s`, `12 min`, `3.4 h`"""
    if value is None:
        return NOTHING
    if value < 120:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
