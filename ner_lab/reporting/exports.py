"""Exports the tables of a report: LaTeX for a paper, CSV for further processing."""

import csv
import io
from collections.abc import Iterable, Mapping

from ner_lab.reporting.aggregates import Row, Summary, number_at
from ner_lab.reporting.analysis import Comparison, Findings
from ner_lab.reporting.cells import NOTHING, Cell, Table, number, p_value
from ner_lab.reporting.sections import first_published, main_columns, name_columns
from ner_lab.reporting.study_runs import Run
from ner_lab.runs.records import SPLITS

_LATEX = {
    **{letter: f"\\{letter}" for letter in "#$%&_{}"},
    **dict(zip(r"\~^", (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}"), strict=True)),
    **{letter: f"{{{letter}}}" for letter in "[]*"},  # after the end of a row they would be its options
    **{letter: f"${letter}$" for letter in "<>|"},
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "†": r"$^{\dagger}$",
}
_LATEX_TABLE = str.maketrans(_LATEX)


def latex(findings: Findings) -> str:
    """A booktabs table of the main figures, to be included with `\\input` in a `table` environment."""
    columns = [*name_columns(findings), *main_columns(findings)]
    tests = {found.row.name: found for found in findings.comparisons}
    header = [head for head, _ in columns]
    rows = [[cell(row) for _, cell in columns] for row in findings.rows]
    if tests:
        header += ["difference", "p (seeds)", "p (sentences)"]
        for row, line in zip(findings.rows, rows, strict=True):
            line += _compared(tests.get(row.name))
    table = Table(header, rows)
    kinds = "".join("r" if right else "l" for right in table.numeric)
    lines = [
        f"% {' '.join(findings.study.name.split())}: {findings.split} F1 in per cent, mean and standard deviation "
        "over seeds; p after Holm's correction. Needs \\usepackage{booktabs}.",
        f"\\begin{{tabular}}{{{kinds}}}",
        "\\toprule",
        " & ".join(map(escape_latex, header)) + r" \\",
        "\\midrule",
        *(" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _compared(found: Comparison | None) -> list[Cell]:
    if found is None:
        return [Cell(NOTHING)] * 3
    return [
        number(found.difference, signed=True),
        p_value(found.over_seeds.adjusted if found.over_seeds else None),
        p_value(found.over_sentences.adjusted if found.over_sentences else None),
    ]


def _latex_cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    return f"\\textbf{{{text}}}" if cell.strong else text


def escape_latex(text: str) -> str:
    """Escape text for LaTeX."""
    return " ".join(text.split()).translate(_LATEX_TABLE)


def csv_table(findings: Findings) -> str:
    """A row for each configuration with all its figures; numbers at full precision."""
    tests = {found.row.name: found for found in findings.comparisons}
    return _csv(_of_configuration(findings, row, tests.get(row.name)) for row in findings.rows)


def _of_configuration(findings: Findings, row: Row, found: Comparison | None) -> dict[str, object]:
    configuration = row.configuration
    cells: dict[str, object] = {**_identity(findings, configuration.name, configuration.label, configuration.choices)}
    cells |= {"runs": len(row.runs), "failed": len(configuration.failed), "planned": len(configuration.runs)}
    cells["best_on_dev"] = int(row.best_on_dev)
    for split in SPLITS:
        cells |= _spread(f"{split}_f1", row.f1.get(split))
        for name in ("precision", "recall", "accuracy"):
            summary = getattr(row, name).get(split)
            cells |= {f"{split}_{name}_mean": summary and summary.mean, f"{split}_{name}_std": summary and summary.std}
    cells |= {"parameters": sum(row.parameters.values()) if row.parameters else None}
    for name in ("train_seconds", "tokens_per_second", "best_epoch"):
        summary = getattr(row, name)
        cells |= {f"{name}_mean": summary and summary.mean, f"{name}_std": summary and summary.std}
    cells |= {"baseline": found and found.baseline.name, "compared_on": found and findings.split}
    cells |= {"shared_seeds": found and len(found.seeds)}
    for name in ("difference", "low", "high"):
        cells[f"difference_{name}".removesuffix("_difference")] = found and getattr(found, name)
    for name in ("over_seeds", "over_sentences"):
        test = found and getattr(found, name)
        cells |= {f"p_{name}": test and test.p, f"p_{name}_holm": test and test.adjusted}
        cells[f"p_{name}_least"] = test and test.smallest
    for split in SPLITS:
        value = first_published(row, split)
        reached = row.f1[split].mean - value if value is not None and split in row.f1 else None
        cells |= {f"published_{split}_f1": value, f"{split}_reached_less_published": reached}
    cells["published_source"] = "; ".join(figure.source for figure in row.published)
    return cells


def csv_runs(findings: Findings) -> str:
    """A row for each run, including planned, failed and superseded runs."""
    study = findings.study
    runs = [(run, run.state) for run in study.runs] + [(run, "superseded") for run in study.superseded]
    labels = {configuration.name: configuration.label for configuration in study.configurations}
    return _csv(_of_run(findings, run, state, labels[run.configuration]) for run, state in runs)


def _of_run(findings: Findings, run: Run, state: str, label: str) -> dict[str, object]:
    cells: dict[str, object] = {**_identity(findings, run.configuration, label, run.choices)}
    cells |= {"seed": run.seed, "state": state, "reason": run.reason}
    for split in SPLITS:
        for name in ("f1", "precision", "recall", "accuracy"):
            cells[f"{split}_{name}"] = number_at(run, split, name)
    for name in ("best_epoch", "epochs", "train_seconds", "train_tokens_per_second"):
        cells[name] = number_at(run, name)
    parameters = run.metrics.get("parameters")
    cells["parameters"] = sum(parameters.values()) if isinstance(parameters, dict) else None
    return cells | {"code": run.code, "folder": findings.study.place(run)}


def csv_types(findings: Findings) -> str:
    """A row for each configuration, split and entity type."""
    lines = []
    for row in findings.rows:
        configuration = row.configuration
        identity = _identity(findings, configuration.name, configuration.label, configuration.choices)
        for split in SPLITS:
            for name, f1 in row.per_type[split].items():
                cells: dict[str, object] = {**identity, "split": split, "type": name, "runs": f1.n, **_spread("f1", f1)}
                for figure in ("precision", "recall"):
                    summary = row.over_runs(split, "per_type", name, figure)
                    cells |= {f"{figure}_mean": summary and summary.mean, f"{figure}_std": summary and summary.std}
                lines.append(cells)
    return _csv(lines)


def _identity(findings: Findings, name: str, label: str, choices: Mapping[str, str]) -> dict[str, object]:
    return {"configuration": name, "label": label} | {key: choices.get(key) for key in findings.study.factors}


def _spread(name: str, summary: Summary | None) -> dict[str, object]:
    figures = ("mean", "std", "median", "min", "max", "low", "high")
    return {f"{name}_{figure}": getattr(summary, figure) if summary else None for figure in figures}


def _csv(lines: Iterable[Mapping[str, object]]) -> str:
    lines = list(lines)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for line in lines for key in line)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in line.items()} for line in lines)
    return out.getvalue()


def _plain(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value
