"""`ner-lab results add`: add finished runs to the ledger, one small file each."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ner_lab.cli.app import run_command
from ner_lab.cli.parsers import results_parser
from ner_lab.config.naming import SEED
from ner_lab.config.study_files import SWEEPS_DIR, studies
from ner_lab.errors import UserError
from ner_lab.reporting.analysis import named
from ner_lab.reporting.ledger.configuration import beside, rows_of
from ner_lab.reporting.ledger.files import Added, begin, match, put, studies_of, write_study
from ner_lab.reporting.ledger.record import identity_of_run, record_of
from ner_lab.reporting.study_runs import Run, StudyRuns, collect
from ner_lab.runs.records import BROKEN, FAILED, FINISHED, MISSING


def add(
    folders: Sequence[str | Path], ledger: str | Path = "results", *, notes: Sequence[str] = (), replace: bool = False
) -> Added:
    """Add runs, or the finished runs of studies and trees, to a ledger.

    UserError for a folder without runs. `Added.refused` has a line for each refused run.
    """
    ledger = Path(ledger).expanduser()
    added = Added()
    found = [_finished(Path(folder), added) for folder in folders]
    begin(ledger)
    shipped = studies(SWEEPS_DIR)
    for study, runs in found:
        own = study.planned is not None and study.name not in shipped
        if own and runs:
            write_study(ledger, study.name, _described(study))
        for run in runs:
            try:
                identity = identity_of_run(run)
                record = record_of(run, identity, notes)
            except UserError as error:
                added.refused.append(str(error))
                continue
            rows = rows_of(identity, shipped)
            if study.planned is not None and not (settings := _beside(run)):
                rows[study.name] = run.configuration
            elif study.planned is not None and study.name not in rows:
                listed = ", ".join(f"{key}={value}" for key, value in settings.items())
                added.apart.append(f"{run.folder}: no row of {study.name}, because it had {listed}")
            record["studies"] = studies_of(rows)
            put(ledger, record, added, run.folder, replace=replace)
    return added


def _runs_of(folder: Path) -> tuple[StudyRuns, list[Run]]:
    """The runs in a folder, and the study or tree they belong to, which may be above the folder."""
    folder = folder.expanduser().absolute()
    for place in [folder, *folder.parents[:3]]:
        if (place / "study.yaml").is_file():
            study = collect(place)
            if within := [run for run in study.runs if run.folder.is_relative_to(folder)]:
                return study, within
    tree = collect(folder)
    return tree, tree.runs


def _finished(folder: Path, added: Added) -> tuple[StudyRuns, list[Run]]:
    """The finished runs in a folder; failed runs and unfinished runs given directly are refused, others are listed."""
    study, runs = _runs_of(folder)
    finished, left = [], []
    for run in runs:
        if run.state == FINISHED:
            finished.append(run)
        elif run.state in (FAILED, BROKEN) or run.folder == folder.expanduser().absolute():
            added.refused.append(f"{run.folder}: {run.state}: {run.reason}.")
        elif run.state != MISSING:
            left.append(study.place(run))
    if left:
        print(f"{study.name}: not finished, left out: {named(left).replace('`', '')}")
    return study, finished


def _beside(run: Run) -> dict[str, str]:
    """Overrides of a run that are not in its study and change the result."""
    recorded = run.record.get("overrides")
    overrides = [str(word) for word in recorded] if isinstance(recorded, list) else []
    return {key: value for key, value in beside(overrides, run.choices).items() if key != SEED}


def _described(study: StudyRuns) -> dict[str, Any]:
    """The stored description of a study whose file is not in the package."""
    return {
        "question": study.question,
        "factors": dict(study.factors),
        "baseline": study.baseline,
        "published": {
            name: [{key: value for key, value in vars(figure).items() if value is not None} for figure in figures]
            for name, figures in study.published.items()
        },
        "configurations": [
            {"name": row.name, "label": row.runs[0].label, "choices": dict(row.choices)} for row in study.configurations
        ],
    }


def _command() -> None:
    parser = results_parser()
    parsed = parser.parse_words(sys.argv[1:])
    action, *words = parsed.words or [""]
    if action not in ("add", "match"):
        raise UserError(f"results: which action? Give add or match. {parser.hint}")
    if any(not note.strip() for note in parsed.note):
        raise UserError(f"--note is empty. Give a text in quotes. {parser.hint}")
    notes = [" ".join(note.split()) for note in parsed.note]
    named_ledgers = [word.partition("=")[2] for word in words if word.startswith("ledger=")]
    folders = [word for word in words if not word.startswith("ledger=")]
    ledger = [*(parsed.ledger or ()), *named_ledgers, "results"][0]
    if action == "match":
        if folders or notes or parsed.replace:
            raise UserError(f"match takes --ledger DIR only. {parser.hint}")
        _show(Added(extended=match(Path(ledger).expanduser(), studies(SWEEPS_DIR))))
        return
    if not folders:
        raise UserError(f"which runs? Give folders of runs or studies, outputs/NAME. {parser.hint}")
    added = add(folders, ledger, notes=notes, replace=parsed.replace)
    _show(added)
    if added.refused:
        raise UserError("\n".join(added.refused))


def _show(added: Added) -> None:
    groups: Mapping[str, Sequence[Path]] = {
        "added": added.new,
        "replaced": added.replaced,
        "added to what was there": added.extended,
        "in the ledger already": added.known,
    }
    for what, files in groups.items():
        for file in files:
            print(f"{what}: {file}")
    for line in added.apart:
        print(line)


def main() -> None:
    """Entry point of `ner-lab results`."""
    run_command(_command)


if __name__ == "__main__":
    main()
