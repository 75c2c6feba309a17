"""The content of a comparison, in order, independent of the output format."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ner_lab.data.tags import Span
from ner_lab.evaluation.error_analysis import Mistake, mistakes_of
from ner_lab.reporting.compare.comparison import ALL, OUTCOMES, Comparison, Example


class Difference(NamedTuple):
    """B - A. `better`: 1 if higher is better, -1 if lower is, 0 if neither."""

    value: int | float
    better: int = 0

    @property
    def verdict(self) -> str:
        """The better side: "a", "b", or "" for neither."""
        sign = self.better * self.value if float(written(self).replace(",", "")) else 0
        return "b" if sign > 0 else "a" if sign < 0 else ""


Value = str | int | float | Difference


def written(value: Value) -> str:
    """A number as text: scores with two decimals, differences with their sign unless zero."""
    if isinstance(value, Difference):
        text = f"{value.value:+.2f}" if isinstance(value.value, float) else f"{value.value:+,}"
        return text if re.search("[1-9]", text) else text.lstrip("+-")
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else value


@dataclass(frozen=True)
class Table:
    """Rows under a header."""

    header: Sequence[str]
    rows: Sequence[Sequence[Value]]


class Part(NamedTuple):
    """Words of a sentence: an entity of a type, right or wrong (gold: neither), or the words between entities."""

    text: str
    type: str = ""
    right: bool | None = None


@dataclass(frozen=True)
class Sentence:
    """A sentence in three versions: title, and the parts of gold, A and B."""

    title: str
    lines: Mapping[str, Sequence[Part]]


@dataclass(frozen=True)
class Section:
    """A title, sentences of text, a table and examples; each is optional."""

    title: str
    text: Sequence[str] = ()
    table: Table | None = None
    examples: Sequence[Sentence] = ()


def sections_of(found: Comparison, show: int) -> list[Section]:
    """The sections of the comparison, with the first `show` sentences that only A or only B gets right."""
    by_seed = [_by_seed(found)] if len(found.by_seed) > 1 else []
    return [
        _summary(found),
        _settings(found),
        _scores(found),
        *by_seed,
        _mistakes(found),
        _outcomes("Gold entities, by who finds them", "entities", found.entities, found),
        _outcomes("Sentences, by who gets them right", "", {"sentences": found.sentences}, found),
        _examples(found, "A", "B", found.better_a[:show], len(found.better_a)),
        _examples(found, "B", "A", found.better_b[:show], len(found.better_b)),
    ]


def _summary(found: Comparison) -> Section:
    sentences = found.pair.a.predictions[0]
    tokens, entities = (sum(len(sentence[column]) for sentence in sentences) for column in (0, 1))
    seeds = [_seed(run.seed) for run in found.pair.a.runs]
    several = f", with {len(seeds)} seeds: {', '.join(seeds)}" if len(seeds) > 1 else ""
    text = [f"{side.name} is {side.folder}" for side in (found.pair.a, found.pair.b)]
    text.append(
        f"{found.pair.split}: {len(sentences):,} sentences, {tokens:,} tokens, {entities:,} gold entities{several}"
    )
    return Section("A and B", [*text, *found.pair.notes])


def _seed(seed: int | None) -> str:
    return "unknown" if seed is None else str(seed)


def _settings(found: Comparison) -> Section:
    if not found.settings:
        return Section("Settings", ["Nothing differs."])
    return Section("Settings that differ", (), Table(["key", "A", "B"], [[k, *v] for k, v in found.settings.items()]))


def _scores(found: Comparison) -> Section:
    columns = ("precision", "recall", "f1")
    header = [found.pair.split]
    for name in ("precision", "recall", "F1"):
        header += [f"{name} A", "B", "B - A"]
    rows: list[list[Value]] = []
    for name, (a, b) in found.scores.items():
        rows.append([name])
        for column in columns:
            rows[-1] += [a[column], b[column], Difference(b[column] - a[column], better=1)]
    test = found.test
    difference, low, high = (written(Difference(value)) for value in (test.difference, test.low, test.high))
    mean = f" in the mean over {len(found.by_seed)} seeds" if len(found.by_seed) > 1 else ""
    text = [
        f"F1 B - A: {difference}{mean}, 95 % interval {low} to {high}, p {_p(test.p)}",
        f"p of paired approximate randomisation in {test.rounds:,} rounds, interval of the bootstrap; "
        "both draw sentences, not seeds",
        *_summed(found),
    ]
    return Section("Scores", text, Table(header, rows))


def _p(p: float) -> str:
    return f"= {p:.4f}" if p >= 0.0001 else "< 0.0001"


def _summed(found: Comparison) -> list[str]:
    seeds = len(found.by_seed)
    return [f"counts are sums over {seeds} seeds"] if seeds > 1 else []


def _by_seed(found: Comparison) -> Section:
    rows: list[list[Value]] = [
        [_seed(seed), a, b, Difference(b - a, better=1)]
        for seed, (a, b) in zip(found.pair.seeds, found.by_seed, strict=True)
    ]
    means = [sum(column) / len(found.by_seed) for column in zip(*found.by_seed, strict=True)]
    rows.append(["mean", *means, Difference(means[1] - means[0], better=1)])
    return Section("F1 by seed", (), Table(["seed", "A", "B", "B - A"], rows))


def _mistakes(found: Comparison) -> Section:
    in_all = [sum(column) for column in zip(*found.mistakes.values(), strict=True)]
    numbers = [*found.mistakes.items(), (ALL, in_all)]
    rows: list[list[Value]] = [[kind, a, b, Difference(b - a, better=-1)] for kind, (a, b) in numbers]
    return Section("Mistakes", _summed(found), Table(["mistake", "A", "B", "B - A"], rows))


def _outcomes(title: str, first: str, outcomes: Mapping[str, Mapping[str, int]], found: Comparison) -> Section:
    rows: list[list[Value]] = [
        [name, *(numbers[outcome] for outcome in OUTCOMES.values())] for name, numbers in outcomes.items()
    ]
    return Section(title, _summed(found), Table([first, *OUTCOMES.values()], rows))


def _examples(found: Comparison, better: str, worse: str, shown: Sequence[Example], number: int) -> Section:
    seeds = len(found.by_seed)
    title = f"Right in {better}, wrong in {worse}"
    if seeds > 1:
        title = f"Right with more seeds of {better} than of {worse}"
    text = f"{number:,} sentence{'s' * (number != 1)}"
    text += f", the first {len(shown):,}:" if 0 < len(shown) < number else ""
    return Section(title, [text], None, [_sentence(example, better, seeds) for example in shown])


def _sentence(example: Example, better: str, seeds: int) -> Sentence:
    title = f"sentence {example.number:,}"
    if seeds > 1:
        a, b = example.right
        title += f" (right with {a} of {seeds} seeds of A and {b} of B; seed {example.seed} is shown)"
    wrong = example.b if better == "A" else example.a
    title += f": {'; '.join(_named(mistake, wrong.words) for mistake in mistakes_of([wrong]))}"
    words, gold, _ = example.a
    lines = {"gold": parts_of(words, gold)}
    lines |= {name: parts_of(words, guess.predicted, gold) for name, guess in (("A", example.a), ("B", example.b))}
    return Sentence(title, lines)


def _named(mistake: Mistake, words: Sequence[str]) -> str:
    """`wrong type, [MISC Oslo] read as [LOC Oslo]`"""
    both = (mistake.gold, mistake.predicted)
    spans = [marked(Part(" ".join(words[span.start : span.end]), span.type)) for span in both if span is not None]
    return f"{mistake.kind}, {' read as '.join(spans)}"


def parts_of(words: Sequence[str], spans: Sequence[Span], gold: Sequence[Span] | None = None) -> list[Part]:
    """Split a sentence into parts; with `gold`, entities are marked right or wrong."""
    parts, done = [], 0
    for span in [*spans, Span("", len(words), len(words))]:
        if done < span.start:
            parts.append(Part(" ".join(words[done : span.start])))
        if span.type:
            right = None if gold is None else span in gold
            parts.append(Part(" ".join(words[span.start : span.end]), span.type, right))
        done = span.end
    return parts


def marked(part: Part) -> str:
    """`[PER Anna Holm]`"""
    return f"[{part.type} {part.text}]" if part.type else part.text
