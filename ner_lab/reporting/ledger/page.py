"""The generated page of a ledger: for each study the published figures beside those of its runs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ner_lab.reporting.aggregates import Row
from ner_lab.reporting.analysis import Findings
from ner_lab.reporting.cells import NOTHING, Cell, Table, interval, mean_and_std, number, p_value
from ner_lab.reporting.render_markdown import inline, markdown_table
from ner_lab.reporting.sections import first_published, in_short, name_columns, tabulate
from ner_lab.reporting.study_runs import Published

NOT_RUN = "not run yet"
_HEAD = """# Results

What the studies of `sweeps/` reached, beside the published figures. Every number on this page comes from `results/`,
one small file for each finished run; none is typed by hand, and no finished run is left out because of its score.

    ner-lab sweep NAME data.dir=... word_embedding.path=...     # run what is missing of a study
    ner-lab results add outputs/NAME                            # keep its finished runs
    ner-lab report results                                      # tables, plots and tests of each study, in full
    make docs                                                   # this page

F1 is in per cent, of whole entities, as conlleval counts; ± is the standard deviation over seeds, and the interval a
95 % bootstrap interval of the mean over seeds. Epochs and configurations are chosen on dev, never on test. Published
figures stem from other code, and often from other vectors. Numbers under `inputs` refer to the list below a table."""


class Main(NamedTuple):
    """A row of the first table. row: label or configuration in the study."""

    model: str
    study: str
    row: str


def page(studies: Sequence[Findings], main: Sequence[Main], plots: Mapping[str, str]) -> str:
    """The full page. studies: with or without runs; plots: study -> link to the plot of its seeds."""
    run = [findings for findings in studies if any(row.runs for row in findings.rows)]
    parts = [_HEAD, "## Main rows", markdown_table(main_table(studies, main))]
    parts += ["## Studies", markdown_table(_overview(run))] if run else []
    for findings in run:
        parts += _section(findings, plots.get(findings.study.name))
    waiting = [findings for findings in studies if findings not in run]
    if rows := [line for findings in waiting for line in _waiting(findings)]:
        table = Table(["study", "configuration", "published test F1", "source"], rows)
        parts += ["## Not run yet", markdown_table(table)]
    return "\n\n".join(parts) + "\n"


def main_table(studies: Sequence[Findings], main: Sequence[Main]) -> Table:
    """The main row of each paper."""
    known = {findings.study.name: findings for findings in studies}
    lines = []
    for model, study, name in main:
        rows = known[study].rows if study in known else []
        row = next((row for row in rows if name in (row.label, row.name)), None)
        published = first_published(row, "test") if row else None
        lines.append([Cell(model), number(published), *(_reached(row, "test") if row else _NONE), Cell(study)])
    return Table(["model", "published test F1", "test F1", "seeds", "95 % interval", "study"], lines)


_NONE = (Cell(NOT_RUN), number(0, 0), Cell(NOTHING))


def _reached(row: Row, split: str) -> tuple[Cell, Cell, Cell]:
    summary = row.f1.get(split)
    if summary is None:
        return _NONE
    return mean_and_std(summary), number(summary.n, 0), interval(summary.low, summary.high)


def _overview(studies: Sequence[Findings]) -> Table:
    rows = []
    for findings in studies:
        name, ran = findings.study.name, [row for row in findings.rows if row.runs]
        rows.append(
            [
                Cell(name),
                Cell(findings.study.question),
                Cell(f"{len(ran)} of {len(findings.rows)}"),
                number(sum(len(row.runs) for row in ran), 0),
            ]
        )
    return Table(["study", "question", "configurations run", "runs"], rows)


def _section(findings: Findings, plot: str | None) -> list[str]:
    study, split = findings.study, findings.split
    notes = list(dict.fromkeys(note for row in findings.rows for run in row.runs for note in run.record["notes"]))
    columns = [
        ("published test F1", _published),
        (f"{split} F1", lambda row: _reached(row, split)[0]),
        ("seeds", lambda row: _reached(row, split)[1]),
        ("95 % interval", lambda row: _reached(row, split)[2]),
        ("− published", lambda row: _less_published(row, split)),
        ("dev F1", _dev),
        ("inputs", lambda row: _inputs(row, notes)),
        ("commit", _commits),
    ]
    if not any(row.published for row in findings.rows):
        columns = [column for column in columns if "published" not in column[0]]
    if not notes:
        columns = [column for column in columns if column[0] != "inputs"]
    parts = [f"### {study.name}"]
    parts += [inline(study.question)] if study.question else []
    parts.append(markdown_table(tabulate(findings, columns)))
    numbered = [f"{number}. {inline(note)}" for number, note in enumerate(notes, 1)]
    parts += ["\n".join(numbered)] if numbered else []
    if sources := list(dict.fromkeys(figure.source for row in findings.rows for figure in row.published)):
        parts.append(f"Published: {inline('; '.join(sources))}.")
    parts += [inline(sentence) for sentence in in_short(findings)]
    if findings.comparisons and findings.baseline is not None:
        parts += [f"{split.capitalize()} F1 less that of {inline(f'`{findings.baseline.label}`')}:", _tests(findings)]
    if others := [note for note in findings.notes if note not in study.notes]:
        parts.append("\n".join(f"- {inline(note)}" for note in others))
    if plot is not None:
        parts.append(f"![F1 of every seed of {study.name}]({plot})")
    return parts


def _tests(findings: Findings) -> str:
    names = name_columns(findings)
    rows = [
        [
            *(cell(found.row) for _, cell in names),
            number(found.difference, signed=True),
            interval(found.low, found.high, signed=True),
            number(len(found.seeds), 0),
            p_value(found.over_seeds.adjusted if found.over_seeds else None),
            p_value(found.over_sentences.adjusted if found.over_sentences else None),
        ]
        for found in findings.comparisons
    ]
    head = ["difference", "95 % interval", "shared seeds", "p over seeds (Holm)", "p over sentences (Holm)"]
    return markdown_table(Table([*(name for name, _ in names), *head], rows))


def _published(row: Row) -> Cell:
    figures = [text for figure in row.published if (text := _stated(figure))]
    return Cell("; ".join(figures) or NOTHING)


def _stated(figure: Published) -> str:
    if figure.test is None:
        return ""
    spread = f" ± {figure.test_std:.2f}" if figure.test_std is not None else ""
    return f"{figure.test:.2f}{spread}" + (f" (n {figure.n})" if figure.n is not None else "")


def _less_published(row: Row, split: str) -> Cell:
    published = first_published(row, "test")
    if published is None or split not in row.f1:
        return Cell(NOTHING)
    return number(row.f1[split].mean - published, signed=True)


def _dev(row: Row) -> Cell:
    cell = mean_and_std(row.f1.get("dev"))
    return cell._replace(text=f"{cell.text} (trained on)") if row.trained_on_dev else cell


def _inputs(row: Row, notes: Sequence[str]) -> Cell:
    run_notes = dict.fromkeys(note for run in row.runs for note in run.record["notes"])
    return Cell(", ".join(str(notes.index(note) + 1) for note in run_notes))


def _commits(row: Row) -> Cell:
    made = dict.fromkeys(str(run.record["git"].get("commit") or run.code or NOTHING)[:8] for run in row.runs)
    return Cell(", ".join(made))


def _waiting(findings: Findings) -> list[list[Cell]]:
    return [
        [
            Cell(findings.study.name),
            Cell(row.label),
            _published(row),
            Cell("; ".join(dict.fromkeys(figure.source for figure in row.published))),
        ]
        for row in findings.rows
        if row.published
    ]
