"""The document of a comparison: its sections, in order, independent of the output format."""

from collections.abc import Mapping, Sequence

from ner_lab.data.tags import Span
from ner_lab.evaluation.error_analysis import Mistake, mistakes_of
from ner_lab.reporting.cells import Cell, Table, difference, number
from ner_lab.reporting.compare.comparison import ALL, OUTCOMES, Comparison, Example
from ner_lab.reporting.document import Document, ExampleSentence, Literal, Part, Section, marked

_FOLDED = 20
"""Number of rows above which a page folds a table."""


def comparison_document(comparison: Comparison, show: int) -> Document:
    """The document of a comparison, with the first `show` sentences that only A or only B gets right."""
    by_outcome = {"sentences": comparison.sentences}
    sections = [
        _settings(comparison),
        _scores(comparison),
        *([_by_seed(comparison)] if len(comparison.by_seed) > 1 else []),
        _mistakes(comparison),
        _outcomes("entities", "Gold entities, by who finds them", "entities", comparison.entities, comparison),
        _outcomes("sentences", "Sentences, by who gets them right", "", by_outcome, comparison),
        _examples(comparison, "A", "B", comparison.better_a[:show], len(comparison.better_a)),
        _examples(comparison, "B", "A", comparison.better_b[:show], len(comparison.better_b)),
    ]
    notes = list(map(Literal, comparison.pair.notes))
    return Document("A and B compared", "", _introduction(comparison), notes, sections)


def _table(header: Sequence[str], rows: Sequence[Sequence[Cell]], *, total: bool = False) -> Table:
    return Table(header, rows, total=total, folded=len(rows) > _FOLDED)


def _introduction(comparison: Comparison) -> list[str]:
    sentences = comparison.pair.a.predictions[0]
    tokens, entities = (sum(len(sentence[column]) for sentence in sentences) for column in (0, 1))
    seeds = [_seed(run.seed) for run in comparison.pair.a.runs]
    several = f", with {len(seeds)} seeds: {', '.join(seeds)}" if len(seeds) > 1 else ""
    text = [f"{side.name} is {side.folder}" for side in (comparison.pair.a, comparison.pair.b)]
    text.append(
        f"{comparison.pair.split}: {len(sentences):,} sentences, {tokens:,} tokens, {entities:,} gold entities{several}"
    )
    return list(map(Literal, text))


def _seed(seed: int | None) -> str:
    return "unknown" if seed is None else str(seed)


def _settings(comparison: Comparison) -> Section:
    if not comparison.settings:
        return Section("settings", "Settings", ["Nothing differs."])
    rows = [[Cell(text, code=True) for text in (key, *values)] for key, values in comparison.settings.items()]
    return Section("settings", "Settings that differ", tables=[_table(["key", "A", "B"], rows)])


def _scores(comparison: Comparison) -> Section:
    columns = ("precision", "recall", "f1")
    header = [comparison.pair.split]
    for name in ("precision", "recall", "F1"):
        header += [f"{name} A", "B", "B - A"]
    rows = [
        [Cell(name), *(cell for column in columns for cell in _pair(a[column], b[column], better=1))]
        for name, (a, b) in comparison.scores.items()
    ]
    test = comparison.test
    change, low, high = (number(value, signed=True).text for value in (test.difference, test.low, test.high))
    mean = f" in the mean over {len(comparison.by_seed)} seeds" if len(comparison.by_seed) > 1 else ""
    text = [
        f"F1 B - A: {change}{mean}, 95 % interval {low} to {high}, p {_p(test.p)}",
        f"p of paired approximate randomisation in {test.rounds:,} rounds, interval of the bootstrap; "
        "both draw sentences, not seeds",
        *_summed(comparison),
    ]
    return Section("scores", "Scores", text, [_table(header, rows, total=True)])


def _p(p: float) -> str:
    return f"= {p:.4f}" if p >= 0.0001 else "< 0.0001"


def _summed(comparison: Comparison) -> list[str]:
    seeds = len(comparison.by_seed)
    return [f"counts are sums over {seeds} seeds"] if seeds > 1 else []


def _by_seed(comparison: Comparison) -> Section:
    rows = [
        [Cell(_seed(seed)), *_pair(a, b, better=1)]
        for seed, (a, b) in zip(comparison.pair.seeds, comparison.by_seed, strict=True)
    ]
    means = [sum(column) / len(comparison.by_seed) for column in zip(*comparison.by_seed, strict=True)]
    rows.append([Cell("mean"), *_pair(*means, better=1)])
    return Section("seeds", "F1 by seed", tables=[_table(["seed", "A", "B", "B - A"], rows, total=True)])


def _mistakes(comparison: Comparison) -> Section:
    in_all = [sum(column) for column in zip(*comparison.mistakes.values(), strict=True)]
    numbers = [*comparison.mistakes.items(), (ALL, in_all)]
    rows = [[Cell(kind), *_pair(a, b, digits=0, better=-1)] for kind, (a, b) in numbers]
    table = _table(["mistake", "A", "B", "B - A"], rows, total=True)
    return Section("mistakes", "Mistakes", _summed(comparison), [table])


def _pair(a: float, b: float, *, digits: int = 2, better: int) -> list[Cell]:
    """The cells of A, B and B - A."""
    return [number(a, digits), number(b, digits), difference(b - a, digits, better=better)]


def _outcomes(
    anchor: str, title: str, first: str, outcomes: Mapping[str, Mapping[str, int]], comparison: Comparison
) -> Section:
    rows = [
        [Cell(name), *(number(counts[outcome], 0) for outcome in OUTCOMES.values())]
        for name, counts in outcomes.items()
    ]
    table = _table([first, *OUTCOMES.values()], rows, total=len(rows) > 1)
    return Section(anchor, title, _summed(comparison), [table])


def _examples(comparison: Comparison, better: str, worse: str, shown: Sequence[Example], number: int) -> Section:
    seeds = len(comparison.by_seed)
    title = f"Right in {better}, wrong in {worse}"
    if seeds > 1:
        title = f"Right with more seeds of {better} than of {worse}"
    text = f"{number:,} sentence{'s' * (number != 1)}"
    text += f", the first {len(shown):,}:" if 0 < len(shown) < number else ""
    sentences = [_sentence(example, better, seeds) for example in shown]
    return Section(f"better-{better.lower()}", title, [text], examples=sentences)


def _sentence(example: Example, better: str, seeds: int) -> ExampleSentence:
    title = f"sentence {example.number:,}"
    if seeds > 1:
        a, b = example.right
        title += f" (right with {a} of {seeds} seeds of A and {b} of B; seed {example.seed} is shown)"
    wrong = example.b if better == "A" else example.a
    title += f": {'; '.join(_named(mistake, wrong.words) for mistake in mistakes_of([wrong]))}"
    words, gold, _ = example.a
    lines = {"gold": parts_of(words, gold)}
    lines |= {name: parts_of(words, guess.predicted, gold) for name, guess in (("A", example.a), ("B", example.b))}
    return ExampleSentence(title, lines)


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
