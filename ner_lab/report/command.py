"""`ner-lab report FOLDER`: a study's runs, or any tree of runs, as tables, plots and tests."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ner_lab.command import keyword_arguments, run_command
from ner_lab.errors import UserError
from ner_lab.plain_files import own_place
from ner_lab.report import content, tables
from ner_lab.report.findings import ROUNDS, Findings, find
from ner_lab.report.page import page
from ner_lab.report.plots import draw
from ner_lab.report.runs import collect
from ner_lab.terminal import table
from ner_lab.whole import write_whole

_KEYS = ("folder", "output", "split", "baseline", "rounds")
_USAGE = """ner-lab report FOLDER [output=DIR] [split=test|dev] [baseline=CONFIGURATION] [rounds=10000]

Tables, plots and tests of the runs in a folder: a study's (outputs/NAME), or any tree of runs. Works at
any time, also while a study is half done, and reads what the runs wrote, nothing else.

output    where to write report.md, report.html, table.tex, CSV and plots/ (FOLDER/report)
split     what tests and effects are about (test, or dev where no run has test)
baseline  what the others are held against: its choices or label (the study's, else the first)
rounds    of approximate randomisation over sentences, for each comparison"""


@dataclass(frozen=True)
class Written:
    """A report: what was found, and the files it was written to."""

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
    """Write the report of a folder of runs to `output`, by default FOLDER/report."""
    study = collect(folder)
    findings = find(study, split=split, baseline=baseline, rounds=rounds)
    target = Path(output).expanduser() if output is not None else own_place(study.folder / "report", study.folder)
    own_place(target / "plots", target)
    target.mkdir(parents=True, exist_ok=True)
    figures = draw(findings, target / "plots")
    texts = {
        "report.md": tables.markdown(findings, figures, target),
        "report.html": page(findings, figures),
        "table.tex": tables.latex(findings),
        "table.csv": tables.csv_table(findings),
        "runs.csv": tables.csv_runs(findings),
        "types.csv": tables.csv_types(findings),
    }
    for name, text in texts.items():
        write_whole(target / name, text)
    return Written(findings, [target / name for name in texts])


def _command() -> None:
    arguments = [f"folder={word}" if _is_folder(word) else word for word in sys.argv[1:]]
    if len(folders := [argument for argument in arguments if argument.startswith("folder=")]) > 1:
        raise UserError(f"{' '.join(folders)}: a report is about one folder; that above both will do.")
    own, data = keyword_arguments(arguments, _KEYS, _USAGE)
    if data:
        raise UserError(f"'{data[0]}': report takes no data options; it reads what the runs wrote.\n\n{_USAGE}")
    if not own.get("folder"):
        raise UserError(f"which folder? Give that of a study or of runs, outputs/NAME.\n\n{_USAGE}")
    rounds = own.get("rounds", str(ROUNDS))
    if not rounds.isdecimal() or int(rounds) < 1:
        raise UserError(f"rounds={rounds}: expected a whole number, at least 1, such as {ROUNDS}.")
    written = report(
        own["folder"], own.get("output"), split=own.get("split"), baseline=own.get("baseline"), rounds=int(rounds)
    )
    _show(written)


def _is_folder(word: str) -> bool:
    """Whether an argument is a folder rather than KEY=VALUE; a configuration's folder holds `=` as well."""
    key, equals, _ = word.partition("=")
    return not word.startswith("-") and key not in _KEYS and (not equals or "/" in key or os.path.isdir(word))


def _show(written: Written) -> None:
    """The main table and the way to the files."""
    findings = written.findings
    main = content.tabulate(findings, content.main_columns(findings))
    print("\n".join([findings.study.name, *content.headline(findings), *(f"note: {note}" for note in findings.notes)]))
    print("\n" + table(main.header, [[cell.text for cell in row] for row in main.rows]) + "\n")
    for sentence in content.in_short(findings):
        print(sentence.replace("`", ""))
    print("\nwritten")
    for file in written.files:
        print(f"  {file}")


def main() -> None:
    """Entry point of `ner-lab report`."""
    run_command(_command)


if __name__ == "__main__":
    main()
