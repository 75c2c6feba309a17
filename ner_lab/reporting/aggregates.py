"""Aggregates of one configuration over its runs."""

import statistics as plain
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ner_lab.reporting.significance import bootstrap_interval
from ner_lab.reporting.study_runs import Configuration, Published, Run
from ner_lab.runs.records import SPLITS, is_number


@dataclass(frozen=True)
class Summary:
    """One figure over the seeds of a configuration; values: one per run, in the order of the seeds."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        return plain.fmean(self.values)

    @cached_property
    def std(self) -> float | None:
        """Standard deviation with n - 1; None for one run."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None

    @property
    def median(self) -> float:
        return plain.median(self.values)

    @property
    def min(self) -> float:
        return min(self.values)

    @property
    def max(self) -> float:
        return max(self.values)

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of the mean; None for one run."""
        return bootstrap_interval(self.values)

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return self.interval[0] if self.interval else None

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return self.interval[1] if self.interval else None


@dataclass(frozen=True)
class Row:
    """The figures of a configuration over its finished runs; empty if no run is finished.

    published: figures from papers for this configuration.
    best_on_dev: whether it has the best mean dev F1 of all configurations that were not trained on dev.
    """

    configuration: Configuration
    published: Sequence[Published] = ()
    best_on_dev: bool = False

    @property
    def name(self) -> str:
        return self.configuration.name

    @property
    def label(self) -> str:
        return self.configuration.label

    @property
    def runs(self) -> list[Run]:
        """The finished runs, by seed."""
        return self.configuration.finished

    @property
    def trained_on_dev(self) -> bool:
        return any(run.trained_on_dev for run in self.runs)

    def over_runs(self, *keys: str) -> Summary | None:
        """The number at a key path of metrics.json, as ("test", "f1"), of all runs that have it; None if none has."""
        values = tuple(value for run in self.runs if (value := number_at(run, *keys)) is not None)
        return Summary(values) if values else None

    @cached_property
    def f1(self) -> dict[str, Summary]:
        """Split ("dev", "test") -> per cent."""
        return self._by_split("f1")

    @cached_property
    def precision(self) -> dict[str, Summary]:
        """Split -> per cent."""
        return self._by_split("precision")

    @cached_property
    def recall(self) -> dict[str, Summary]:
        """Split -> per cent."""
        return self._by_split("recall")

    @cached_property
    def accuracy(self) -> dict[str, Summary]:
        """Split -> per cent of tokens."""
        return self._by_split("accuracy")

    @cached_property
    def per_type(self) -> dict[str, dict[str, Summary]]:
        """Split -> entity type -> F1."""
        return {split: self._parts(split, "per_type") for split in SPLITS}

    @cached_property
    def oov(self) -> dict[str, dict[str, Summary]]:
        """Split -> class of words -> F1; classes without an entity are left out."""
        return {split: self._parts(split, "oov") for split in SPLITS}

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Part -> number of parameters, from the first finished run."""
        return dict(self.runs[0].metrics.get("parameters") or {}) if self.runs else {}

    @cached_property
    def train_seconds(self) -> Summary | None:
        """Duration of entire trainings, including dev scoring and checkpoints."""
        return self.over_runs("train_seconds")

    @cached_property
    def tokens_per_second(self) -> Summary | None:
        """Tokens per second in training steps."""
        return self.over_runs("train_tokens_per_second")

    @cached_property
    def best_epoch(self) -> Summary | None:
        """The best epoch, whose weights are kept."""
        return self.over_runs("best_epoch")

    def _by_split(self, figure: str) -> dict[str, Summary]:
        found = {split: self.over_runs(split, figure) for split in SPLITS}
        return {split: summary for split, summary in found.items() if summary is not None}

    def _parts(self, split: str, kind: str) -> dict[str, Summary]:
        names = dict.fromkeys(name for run in self.runs for name in at(run, split, kind) or {})
        found = {}
        for name in names:
            counts = [at(run, split, kind, name) or {} for run in self.runs]
            summary = self.over_runs(split, kind, name, "f1")
            if summary is not None and any(count.get("gold", 1) or count.get("predicted", 1) for count in counts):
                found[name] = summary
        return found


def number_at(run: Run, *keys: str) -> float | None:
    """The number at a key path in a run's metrics.json; None if missing."""
    value = at(run, *keys)
    return float(value) if is_number(value) else None


def at(run: Run, *keys: str) -> Any:
    found: Any = run.metrics
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found
