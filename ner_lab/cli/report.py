"""`ner-lab report FOLDER`: tables, plots and tests for a study or any tree of runs."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ner_lab.cli.app import keyword_arguments, run_command
from ner_lab.errors import UserError, invalid_value
from ner_lab.io.atomic import write_atomic
from ner_lab.io.safe_read import resolve_inside
from ner_lab.io.terminal import show
from ner_lab.reporting.analysis import ROUNDS, Findings, find
from ner_lab.reporting.exports import csv_runs, csv_table, csv_types, latex
from ner_lab.reporting.ledger.report import collect_from_ledger, is_ledger, read_ledger, study_names
from ner_lab.reporting.plots import draw
from ner_lab.reporting.render_html import page
from ner_lab.reporting.render_markdown import markdown
from ner_lab.reporting.render_terminal import terminal
from ner_lab.reporting.sections import report_document, summary_document
from ner_lab.reporting.study_runs import collect

_KEYS = ("folder", "output", "split", "baseline", "rounds", "study")
_USAGE = """ner-lab report FOLDER [--output DIR] [--split test|dev] [--baseline CONFIGURATION] [--rounds 10000]
ner-lab report LEDGER [--study NAME] [--output DIR] ...

Tables, plots and tests of the runs in a folder: a study's (outputs/NAME), or any tree of runs. Works at
any time, also while a study is half done, and reads what the runs wrote, nothing else. A ledger (see `ner-lab results`)
gets a report for each of its studies, in output/NAME, without the plots that need the predictions themselves.

study     of a ledger, this one alone
output    where to write report.md, report.html, table.tex, CSV and plots/ (FOLDER/report)
split     what tests and effects are about (test, or dev where no run has test)
baseline  what the others are held against: its choices or label (the study's, else the first)
rounds    of approximate randomisation over sentences, for each comparison"""


@dataclass(frozen=True)
class Written:
    """A written report: its findings and files."""

    findings: Findings
    files: Sequence[Path]


def report(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    split: str | None = None,
    baseline: str | None = None,
    rounds: int = ROUNDS,
) -> Written:
    """Write the report of a folder of runs to `output` (default: FOLDER/report)."""
    study = collect(folder)
    target = Path(output).expanduser() if output is not None else resolve_inside(study.folder / "report", study.folder)
    return _write(find(study, split=split, baseline=baseline, rounds=rounds), target)


def report_ledger(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    study: str | None = None,
    split: str | None = None,
    baseline: str | None = None,
    rounds: int = ROUNDS,
) -> list[Written]:
    """Write the report of each study of a ledger, or of the named one, to `output`/NAME (default: FOLDER/report)."""
    ledger = Path(folder).expanduser()
    entries = read_ledger(ledger)
    if not entries:
        raise UserError(f"{ledger}: no run in it yet. Add some: ner-lab results add outputs/NAME.")
    target = Path(output).expanduser() if output is not None else resolve_inside(ledger / "report", ledger)
    found = [
        find(collect_from_ledger(ledger, entries, name), split=split, baseline=baseline, rounds=rounds)
        for name in ([study] if study is not None else study_names(entries))
    ]
    return [_write(findings, target / findings.study.name) for findings in found]


def _write(findings: Findings, target: Path) -> Written:
    resolve_inside(target / "plots", target)
    target.mkdir(parents=True, exist_ok=True)
    document = report_document(findings, draw(findings, target / "plots"))
    texts = {
        "report.md": markdown(document, target),
        "report.html": page(document),
        "table.tex": latex(findings),
        "table.csv": csv_table(findings),
        "runs.csv": csv_runs(findings),
        "types.csv": csv_types(findings),
    }
    for name, text in texts.items():
        write_atomic(target / name, text)
    return Written(findings, [target / name for name in texts])


def _command() -> None:
    own, data = keyword_arguments(sys.argv[1:], _KEYS, _USAGE, ["folder"])
    if data:
        raise UserError(f"'{data[0]}': report takes no data options; it reads what the runs wrote.\n\n{_USAGE}")
    if not own.get("folder"):
        raise UserError(f"which folder? Give that of a study or of runs, outputs/NAME.\n\n{_USAGE}")
    rounds = own.get("rounds", str(ROUNDS))
    if not rounds.isdecimal() or int(rounds) < 1:
        raise invalid_value("rounds", rounds, f"a whole number of at least 1, such as {ROUNDS}")
    options = {name: own.get(name) for name in ("split", "baseline")}
    if is_ledger(Path(own["folder"]).expanduser()):
        if "baseline" in own and "study" not in own:
            raise UserError("baseline: of which study? Give study=NAME as well.")
        written = report_ledger(own["folder"], own.get("output"), study=own.get("study"), rounds=int(rounds), **options)
    elif "study" in own:
        raise UserError(f"study={own['study']}: {own['folder']} is not a ledger. A folder of runs is one study.")
    else:
        written = [report(own["folder"], own.get("output"), rounds=int(rounds), **options)]
    for one in written:
        _show(one)


def _show(written: Written) -> None:
    """Print the main table and the paths of the files."""
    show(terminal(summary_document(written.findings)))
    print("\nwritten")
    for file in written.files:
        print(f"  {file}")


def main() -> None:
    """Entry point of `ner-lab report`."""
    run_command(_command)


if __name__ == "__main__":
    main()
