"""`ner-lab results add`: add finished runs to the ledger, one small file each."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ner_lab.cli.app import keyword_arguments, run_command
from ner_lab.config.naming import SEED
from ner_lab.config.study_files import SWEEPS_DIR, studies
from ner_lab.errors import UserError
from ner_lab.reporting.analysis import named
from ner_lab.reporting.ledger.configuration import beside, rows_of
from ner_lab.reporting.ledger.files import Added, begin, match, put, studies_of, write_study
from ner_lab.reporting.ledger.record import identity_of_run, record_of
from ner_lab.reporting.study_runs import Run, StudyRuns, collect
from ner_lab.runs.records import BROKEN, FAILED, FINISHED, MISSING

_KEYS = ("ledger",)
_USAGE = """ner-lab results add RUN_OR_STUDY... [--note TEXT] [--replace] [--ledger results]
ner-lab results match [--ledger results]

`add` puts finished runs into the ledger, a small file each: configuration, seed, scores, counts of each sentence,
learning curve, time, machine, versions, commit, checksums of the inputs. No text of the corpus, no path.
`ner-lab report results` makes tables, plots and tests of it. Adding a run again changes nothing; from another study
it adds the study's name. Runs of a study that are not finished are named and left out. A failed or unfinished
run is refused (exit code 2), and so is a second run of one configuration and seed on one commit. A run belongs to
every study of sweeps/ that has its configuration; `match` looks for these again, after studies have changed.

--note TEXT   on the inputs of these runs, such as "58,513 of 400,000 vectors estimated"; may be repeated
--replace     put a run in the place of another of its configuration, seed and commit
--ledger      the folder (results)"""


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


def _options(arguments: Sequence[str]) -> tuple[list[str], list[str], bool, list[str]]:
    """Parse folders, notes, whether to replace, and KEY=VALUE."""
    folders, notes, replace, others = [], [], False, []
    words = iter(arguments)
    for word in words:
        if word == "--replace":
            replace = True
        elif word == "--note" or word.startswith("--note="):
            note = word.partition("=")[2] if "=" in word else next(words, "")
            if not note.strip():
                raise UserError(f"--note: which? Give it in quotes.\n\n{_USAGE}")
            notes.append(" ".join(note.split()))
        elif word == "--ledger":
            others += [word, next(words, "")]
        elif word.startswith("-") or word.partition("=")[0] in _KEYS:
            others.append(word)
        else:
            folders.append(word)
    return folders, notes, replace, others


def _command() -> None:
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(_USAGE)
        return
    if not arguments or arguments[0] not in ("add", "match"):
        raise UserError(f"results: what to do? There are `add` and `match`.\n\n{_USAGE}")
    folders, notes, replace, others = _options(arguments[1:])
    own, data = keyword_arguments(others, _KEYS, _USAGE)
    if data:
        raise UserError(f"'{data[0]}': results takes no data options.\n\n{_USAGE}")
    ledger = own.get("ledger", "results")
    if arguments[0] == "match":
        if folders or notes or replace:
            raise UserError(f"match takes --ledger DIR alone.\n\n{_USAGE}")
        _show(Added(extended=match(Path(ledger).expanduser(), studies(SWEEPS_DIR))))
        return
    if not folders:
        raise UserError(f"which runs? Give folders of runs or studies, outputs/NAME.\n\n{_USAGE}")
    added = add(folders, ledger, notes=notes, replace=replace)
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
