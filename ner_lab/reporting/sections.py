"""The document of a report: its sections, in order, independent of the output format."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ner_lab.reporting.aggregates import Row, Summary
from ner_lab.reporting.analysis import Comparison, Findings, named
from ner_lab.reporting.cells import NOTHING, Cell, Table, interval, mean_and_std, number, p_value, seconds
from ner_lab.reporting.consistency import machine_of
from ner_lab.reporting.document import Document, Section
from ner_lab.reporting.significance import seeds_needed
from ner_lab.reporting.study_runs import Run, is_numeral
from ner_lab.runs.records import BROKEN, FAILED, FINISHED, MISSING, RUNNING, SPLITS

if TYPE_CHECKING:  # matplotlib is slow to import
    from ner_lab.reporting.plots.style import Figure

CHOSEN = "†"
"""Marks the configuration that is best on dev."""
_LISTED = 40  # maximum number of runs without a score that are listed individually
_SURE = 0.05
_FIGURES = {
    "results": ("seeds",),
    "baseline": ("differences",),
    "factors": ("main_effects", "interactions"),
    "types": ("f1_by_type",),
    "words": ("f1_by_oov",),
    "cost": ("cost",),
    "learning": ("curves_epochs", "curves_time"),
    "mistakes": ("mistakes", "confusion", "f1_by_sentence_length", "f1_by_entity_length"),
    "transitions": ("transitions",),
}
"""Section -> its plots"""


Column = tuple[str, Callable[[Row], Cell]]


def report_document(findings: Findings, figures: Sequence["Figure"] = ()) -> Document:
    """The full report, for files."""
    study = findings.study
    return Document(study.name, study.question, [headline(findings)], findings.notes, sections(findings, figures))


def summary_document(findings: Findings) -> Document:
    """The main table and the findings in short, for the terminal."""
    main = tabulate(findings, main_columns(findings))
    results = Section("results", "Results", tables=[main], notes=in_short(findings))
    return replace(report_document(findings), sections=[results])


def sections(findings: Findings, figures: Sequence["Figure"] = ()) -> list[Section]:
    """The sections of the report, without empty ones."""
    parts = [
        _results(findings),
        _against_baseline(findings),
        _factors(findings),
        _by_part("types", "Entity types", "type", findings, lambda row: row.per_type),
        _by_part("words", "Seen and unseen words", "class", findings, lambda row: row.oov),
        _published(findings),
        _cost(findings),
        Section("learning", "Learning"),
        Section("mistakes", "Mistakes"),
        Section("transitions", "Transitions"),
        Section("plots", "Further plots"),
        _without_scores(findings),
        _reading(findings),
        _provenance(findings),
    ]
    placed = {part.anchor: [figure for figure in figures if _place_of(figure) == part.anchor] for part in parts}
    parts = [replace(part, figures=placed[part.anchor]) for part in parts]
    return [part for part in parts if part.text or part.tables or part.notes or part.figures]


def _place_of(figure: "Figure") -> str:
    """The section of a plot."""
    return next((anchor for anchor, names in _FIGURES.items() if figure.name in names), "plots")


def headline(findings: Findings) -> str:
    """The study's progress, and what was run."""
    several = Counter(len(row.runs) for row in findings.rows)
    seeds = str(max(several)) if len(several) == 1 else f"{min(several)} to {max(several)}"
    scored = f"{len(findings.rows)} configuration{'s' * (len(findings.rows) != 1)} with {seeds} finished runs each"
    begun = "" if is_complete(findings) else "Not complete: "
    return f"{begun}{state(findings)}. {scored[0].upper()}{scored[1:]}."


def state(findings: Findings) -> str:
    """`12 of 18 jobs finished, 1 failed, 5 left (2 of them running)`"""
    study = findings.study
    counts = Counter(run.state for run in study.runs)
    total, ended = len(study.runs), counts[FINISHED] + counts[FAILED] + counts[BROKEN]
    what = "jobs" if study.planned is not None else "runs"
    words = f"{counts[FINISHED]} of {total} {what} finished"
    if counts[FAILED]:
        words += f", {counts[FAILED]} failed"
    if counts[BROKEN]:
        words += f", {counts[BROKEN]} broken"
    if left := total - ended:
        words += f", {left} left"
    if counts[RUNNING]:
        words += f" ({counts[RUNNING]} of them running)"
    return words


def is_complete(findings: Findings) -> bool:
    """Whether every job has ended, finished or failed."""
    return all(run.state in (FINISHED, FAILED) for run in findings.study.runs)


def name_columns(findings: Findings) -> list[Column]:
    """Columns that name the rows: one per factor if every row has a choice for it, else the label."""
    factors = findings.study.factors
    rows = [row.configuration for row in findings.rows]
    if factors and all(row.choices.keys() == factors.keys() and row.runs[0].label is None for row in rows):
        return [(label, _choice_of(key)) for key, label in factors.items()]
    return [("configuration", lambda row: Cell(row.label))]


def main_columns(findings: Findings) -> list[Column]:
    """Columns of the main table, without those that name the rows."""
    split, rows = findings.split, findings.rows
    columns: list[Column] = [("runs", lambda row: number(len(row.runs), 0))]
    if any(row.configuration.failed for row in rows):
        columns.append(("failed", lambda row: number(len(row.configuration.failed), 0)))
    columns += [
        (f"{split} F1", lambda row: _score(row, split)),
        ("95 % interval", lambda row: _interval_of(row.f1.get(split))),
    ]
    columns += [(f"{name} F1", _score_column(name)) for name in findings.others]
    columns += [
        (f"{split} precision", lambda row: mean_and_std(row.precision.get(split))),
        (f"{split} recall", lambda row: mean_and_std(row.recall.get(split))),
    ]
    if any(getattr(figure, split) is not None for row in rows for figure in row.published):
        columns += [
            (f"published {split} F1", lambda row: number(first_published(row, split))),
            ("reached − published", lambda row: _reached(row, split, first_published(row, split))),
        ]
    return columns


def tabulate(findings: Findings, columns: Sequence[Column], title: str = "") -> Table:
    """A table with a row for each configuration, starting with its name."""
    every = [*name_columns(findings), *columns]
    rows = [[cell(row) for _, cell in every] for row in findings.rows]
    return Table([head for head, _ in every], rows, title)


def _results(findings: Findings) -> Section:
    tables = [tabulate(findings, main_columns(findings))]
    if any(len(row.runs) > 1 for row in findings.rows):
        columns: list[Column] = []
        for split in (findings.split, *findings.others):
            for name in ("median", "min", "max"):
                columns.append((f"{split} {name}", _figure_column(split, name)))
        tables.append(tabulate(findings, columns, "Spread over the seeds, F1"))
    return Section("results", "Results", in_short(findings), tables)


def in_short(findings: Findings) -> list[str]:
    """Summarise the findings in a few sentences."""
    sentences = []
    split, chosen = findings.split, findings.chosen
    if chosen is not None and split in chosen.f1:
        reached = f", and has {split} F1 {mean_and_std(chosen.f1[split]).text}" if split != "dev" else ""
        sentences.append(
            f"{CHOSEN} `{chosen.label}` is best on dev (F1 {mean_and_std(chosen.f1['dev']).text}){reached}. "
            "Configurations are chosen on dev; the highest test score of a table is no result, since choosing by it "
            "would use up the test set."
        )
    if findings.comparisons and findings.baseline is not None:
        sentences += _verdict(findings.comparisons, findings.baseline)
    return sentences


def _verdict(comparisons: Sequence[Comparison], baseline: Row) -> list[str]:
    """How many differences are significant, and whether the seeds could have shown any."""
    tested = [found for found in comparisons if found.over_sentences is not None]
    if not tested:
        return []
    sure = [found for found in tested if found.over_sentences and found.over_sentences.adjusted < _SURE]
    both = [found for found in sure if found.over_seeds and found.over_seeds.adjusted < _SURE]
    sentences = (
        f"In {len(sure)} of {len(tested)} comparison{'s' * (len(tested) != 1)} with the baseline `{baseline.label}` p "
        "over sentences is below 0.05 after Holm's correction"
    )
    sentences += f"; in {len(both)} of these p over seeds is, too." if sure else "."
    if (needed := seeds_lacking(comparisons)) is not None:
        sentences += f" Seeds could not show it: with so many comparisons that takes {needed} shared seeds or more."
    return [sentences]


def seeds_lacking(comparisons: Sequence[Comparison]) -> int | None:
    """Shared seeds needed for a p over seeds below 0.05 after Holm's correction; None if there are enough."""
    tests = [found.over_seeds for found in comparisons if found.over_seeds is not None]
    if not tests or len(tests) * min(test.smallest for test in tests) < _SURE:
        return None
    return seeds_needed(len(tests), _SURE)


def _against_baseline(findings: Findings) -> Section:
    baseline, comparisons = findings.baseline, findings.comparisons
    if baseline is None or not comparisons:
        return Section("baseline", "Against the baseline")
    of = {comparison.row.name: comparison for comparison in comparisons}
    names = name_columns(findings)
    columns: list[tuple[str, Callable[[Comparison], Cell]]] = [
        ("difference", lambda found: number(found.difference, signed=True)),
        ("95 % interval", lambda found: interval(found.low, found.high, signed=True)),
        ("shared seeds", lambda found: number(len(found.seeds), 0)),
        ("p over seeds", lambda found: p_value(found.over_seeds.p if found.over_seeds else None)),
        ("after Holm", lambda found: p_value(found.over_seeds.adjusted if found.over_seeds else None)),
        ("least p possible", lambda found: p_value(found.over_seeds.smallest if found.over_seeds else None)),
        ("p over sentences", lambda found: p_value(found.over_sentences.p if found.over_sentences else None)),
        ("after Holm", lambda found: p_value(found.over_sentences.adjusted if found.over_sentences else None)),
    ]
    rows = [
        [*(cell(row) for _, cell in names), *(cell(of[row.name]) for _, cell in columns)]
        for row in findings.rows
        if row.name in of
    ]
    table = Table([head for head, _ in [*names, *columns]], rows)
    reasons = [
        f"{reason}: {named([found.row.label for found in comparisons if reason in found.reasons])}."
        for reason in dict.fromkeys(reason for found in comparisons for reason in found.reasons)
    ]
    text = f"{findings.split.capitalize()} F1 of each configuration less that of `{baseline.label}`, in points."
    return Section("baseline", "Against the baseline", [text], [table], reasons)


def _factors(findings: Findings) -> Section:
    effects, interactions = findings.effects, findings.interactions
    if not effects:
        return Section("factors", "Factors")
    split = findings.split
    ends = ["95 % interval"] if any(effect.intervals for effect in effects) else []
    levels = [
        [
            *(Cell(effect.label), Cell(level), number(mean), number(effect.adds[level], signed=True)),
            *(interval(*effect.intervals.get(level, (None, None)), signed=True) for _ in ends),
        ]
        for effect in effects
        for level, mean in effect.levels.items()
    ]
    pairs = [
        [
            *map(Cell, (*found.labels, *values)),
            number(value, signed=True),
            *(interval(*found.intervals.get(values, (None, None)), signed=True) for _ in ends),
        ]
        for found in interactions
        for values, value in found.adds.items()
    ]
    explained = [(effect.label, effect.share, effect.p) for effect in effects]
    explained += [(" × ".join(found.labels), found.share, found.p) for found in interactions]
    shares = [
        [Cell(name), number(None if share is None else 100 * share, 1), p_value(p)] for name, share, p in explained
    ]
    of_pairs = ["factor", "and factor", "level", "and level", "adds", *ends]
    tables = [
        Table(["factor", "level", f"{split} F1", "adds", *ends], levels, "What each level does"),
        Table(of_pairs, pairs, "What two levels do beyond what each does"),
    ]
    if any(found.share is not None for found in effects):
        tables.append(
            Table(["factor", "share of variation (%)", "p (F test)"], shares, "How much each factor explains")
        )
    text = (
        f"Mean {split} F1 of each level over all levels of the other factors, every configuration counting once, by "
        "the mean of its seeds. A level adds what sets it apart from the mean of all."
    )
    return Section("factors", "Factors", [text], tables)


def _by_part(
    anchor: str, title: str, what: str, findings: Findings, parts: Callable[[Row], Mapping[str, Mapping[str, Summary]]]
) -> Section:
    """F1 by part of a split."""
    tables = []
    for split in (findings.split, *findings.others):
        names = dict.fromkeys(name for row in findings.rows for name in parts(row)[split])
        columns: list[Column] = [
            (name, lambda row, split=split, name=name: mean_and_std(parts(row)[split].get(name)))  # type: ignore[misc]
            for name in names
        ]
        if columns:
            tables.append(tabulate(findings, columns, f"{split.capitalize()} F1 by {what}"))
    text = []
    if anchor == "words" and tables:
        text = [
            "Entities by their words: IV have all words in train and in the file of vectors, OOTV some not in train, "
            "OOEV some not in the file, OOBV some not in train and some not in the file. Classes without entities "
            "are left out."
        ]
    return Section(anchor, title, text, tables)


def _published(findings: Findings) -> Section:
    names = name_columns(findings)
    rows = []
    for row in findings.rows:
        for figure in row.published:
            for split in SPLITS:
                if (value := getattr(figure, split)) is None:
                    continue
                std = getattr(figure, f"{split}_std")
                published_text = number(value).text + (f" ± {number(std).text}" if std is not None else "")
                rows.append(
                    [
                        *(cell(row) for _, cell in names),
                        Cell(figure.source),
                        Cell(split),
                        Cell(published_text, value),
                        number(figure.n, 0),
                        _score(row, split, marked=False),
                        _reached(row, split, value),
                    ]
                )
    header = ["source", "split", "published F1", "runs there", "reached F1", "reached − published"]
    if not rows:
        return Section("published", "Published figures")
    text = "They are from other code, and often from other vectors and preprocessing; they are part of no test."
    return Section("published", "Published figures", [text], [Table([*(head for head, _ in names), *header], rows)])


def _cost(findings: Findings) -> Section:
    parts = dict.fromkeys(part for row in findings.rows for part in row.parameters)
    if not any(row.runs for row in findings.rows):
        return Section("cost", "Size and time")
    columns: list[Column] = [
        ("parameters", lambda row: number(sum(row.parameters.values()) if row.parameters else None, 0)),
        *((part, lambda row, part=part: number(row.parameters.get(part), 0)) for part in parts),
        ("training time", lambda row: _time(row.train_seconds)),
        ("tokens/s", lambda row: _mean(row.tokens_per_second, 0)),
        ("epoch kept", lambda row: _mean(row.best_epoch, 1)),
    ]
    text = (
        "Means over the runs. Training time is that of whole trainings, with the scoring of dev after each epoch; "
        "tokens/s is of training steps alone."
    )
    return Section("cost", "Size and time", [text], [tabulate(findings, columns)])


def _without_scores(findings: Findings) -> Section:
    study = findings.study
    runs = [run for run in study.runs if run.state != FINISHED]
    listed = sorted(runs, key=lambda run: run.state == MISSING)[:_LISTED]
    rows = [[Cell(study.place(run)), Cell(run.state), Cell(run.reason)] for run in listed]
    notes = [f"{len(runs) - _LISTED} more are not listed; `runs.csv` has all."] if len(runs) > _LISTED else []
    tables = [Table(["run", "state", "reason"], rows)] if rows else []
    return Section("unfinished", "Runs without scores", tables=tables, notes=notes)


def _reading(findings: Findings) -> Section:
    """Explain the numbers briefly."""
    sentences = [
        "F1 is that of whole entities, type and boundaries right, in per cent, as conlleval counts. ± is the standard "
        "deviation over seeds, with n − 1. Failed runs have no part in any mean.",
        "A 95 % interval is a bootstrap over the seeds. It speaks of other seeds, on the same data; from few "
        "seeds it comes out too narrow: of normally spread scores it holds the true mean in about 74 % of cases with 3 "
        "seeds, 82 % with 5 and 91 % with 10. A difference is that of all runs of both sides.",
    ]
    if any(found.over_seeds for found in findings.comparisons):
        least = {found.over_seeds.n: found.over_seeds.smallest for found in findings.comparisons if found.over_seeds}
        limits = ", ".join(f"{p_value(p).text} with {n}" for n, p in sorted(least.items()))
        sentences.append(
            "p over seeds asks whether the difference is more than the luck of the seed: a randomisation test that "
            "flips the signs of the differences, seed by seed, over the seeds that both have. Few seeds cannot give a "
            f"small p, however large the difference: the least possible is {limits} seeds, before Holm's correction."
        )
    if any(found.over_sentences for found in findings.comparisons):
        sentences.append(
            f"p over sentences asks whether the difference is more than the luck of the {findings.split} sentences: "
            f"approximate randomisation, in {findings.rounds:,} rounds swapping the answers of both configurations "
            "sentence by sentence, those of all shared seeds at once. It takes the seeds as they are. Neither test "
            "replaces the other: rely on a difference that both confirm."
        )
    if any(effect.share is not None for effect in findings.effects):
        sentences.append(
            "Of factors, the share is that of all variation between runs (eta squared); what is missing to 100 is the "
            "seeds' and that of further interactions. p is that of an F test with seeds as blocks, not corrected for "
            "the number of factors."
        )
    if len(findings.comparisons) > 1:
        sentences.append(
            f"Holm's correction makes up for {len(findings.comparisons)} comparisons looked at together: if nothing "
            "differed, one or more below 0.05 would still come up in no more than 5 of 100 studies."
        )
    return Section("reading", "How to read this", sentences)


def _provenance(findings: Findings) -> Section:
    runs = [run for run in findings.study.runs if run.state == FINISHED]
    facts: list[tuple[str, str]] = []
    if findings.study.command:
        facts.append(("study", shlex.join(findings.study.command)))
    facts.append(("code", _several(_code(run) for run in runs)))
    packages = dict.fromkeys(package for run in runs for package in run.record.get("versions", {}))
    versions = [
        f"{name} {_several(str(run.record.get('versions', {}).get(name)) for run in runs)}" for name in packages
    ]
    facts.append(("versions", ", ".join(versions)))
    facts.append(("machine", _several(machine_of(run) for run in runs)))
    rows = [[Cell(name), Cell(value, code=name == "study")] for name, value in facts if value]
    return Section("provenance", "Where this comes from", tables=[Table(["what", "which"], rows)] if rows else [])


def _choice_of(key: str) -> Callable[[Row], Cell]:
    def choice(row: Row) -> Cell:
        text = row.configuration.choices[key]
        return Cell(text, float(text) if is_numeral(text) else None)

    return choice


def _score_column(split: str) -> Callable[[Row], Cell]:
    return lambda row: _score(row, split)


def _figure_column(split: str, name: str) -> Callable[[Row], Cell]:
    return lambda row: number(getattr(row.f1[split], name) if split in row.f1 else None)


def _score(row: Row, split: str, *, marked: bool = True) -> Cell:
    """F1; dev has the mark of the chosen configuration, and a note if it was trained on."""
    cell = mean_and_std(row.f1.get(split))
    if split != "dev" or not marked:
        return cell
    if row.trained_on_dev:
        return cell._replace(text=f"{cell.text} (trained on)")
    return cell._replace(text=f"{cell.text} {CHOSEN}", strong=True) if row.best_on_dev else cell


def _interval_of(summary: Summary | None) -> Cell:
    return interval(summary.low, summary.high) if summary else Cell(NOTHING)


def first_published(row: Row, split: str) -> float | None:
    return next((value for figure in row.published if (value := getattr(figure, split)) is not None), None)


def _reached(row: Row, split: str, published: float | None) -> Cell:
    if published is None or split not in row.f1:
        return Cell(NOTHING)
    return number(row.f1[split].mean - published, signed=True)


def _mean(summary: Summary | None, digits: int) -> Cell:
    return number(summary.mean if summary else None, digits)


def _time(summary: Summary | None) -> Cell:
    return Cell(seconds(summary.mean), summary.mean) if summary else Cell(NOTHING)


def _code(run: Run) -> str:
    """Checksum of the code and its commit, shortened."""
    git = run.record.get("git", {})
    commit = f"commit {git['commit'][:12]}{', changed' if git.get('changed') else ''}" if git.get("commit") else ""
    total = f"sum {run.record['code'][:12]}" if run.record.get("code") else ""
    return ", ".join(filter(None, [total, commit]))


def _several(values: Iterable[str]) -> str:
    """Join the distinct values."""
    return " or ".join(dict.fromkeys(value for value in values if value))
