"""Reads a ledger of results: the records of runs, and the studies they belong to.

results/ledger.json                            marks the folder
results/CORPUS/CONFIGURATION/seed=N-CODE.json  one run each, as written by `ner-lab results add`
results/studies/NAME.json                      studies whose file is not in sweeps/
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from ner_lab.config.naming import configuration_name, parse_configuration
from ner_lab.config.study_files import SWEEPS_DIR, jobs_of, read_study_file, studies
from ner_lab.errors import UserError, nearest
from ner_lab.io.safe_read import read_text, resolve_inside
from ner_lab.reporting.ledger.sentence_counts import decode
from ner_lab.reporting.study_runs import Published, Run, StudyRuns, configurations
from ner_lab.runs.records import FINISHED, MISSING, SPLITS, fault_of

MARK = "ledger.json"
FORMAT = 1
STUDIES = "studies"
OTHERS = "other_runs"
"""The name under which runs of no study are reported."""
_NEEDED = {"choices": dict, "settings": dict, "studies": list, "notes": list, "seed": int, "inputs": dict}
_COPIED = ("seed", "train_on", "best_epoch", "epochs", "train_seconds", "train_tokens_per_second", "parameters")


class Entry(NamedTuple):
    """A record and its path."""

    path: Path
    record: dict[str, Any]


class RowOfStudy(NamedTuple):
    """A configuration of a study. seeds: those in the study; empty if it does not list them."""

    name: str
    label: str | None
    choices: Mapping[str, str]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Described:
    """The description of a study; published: configuration -> figures."""

    name: str
    question: str
    factors: Mapping[str, str]
    baseline: str | None
    published: Mapping[str, Sequence[Published]]
    rows: Sequence[RowOfStudy]


def is_ledger(folder: Path) -> bool:
    """Whether a folder is a ledger of results."""
    return (folder / MARK).is_file()


def read_ledger(folder: Path) -> list[Entry]:
    """All records, sorted by path. UserError for an invalid file or another format."""
    mark = _read(folder / MARK, folder)
    if mark.get("format") != FORMAT:
        raise UserError(f"{folder / MARK}: format {mark.get('format')}, expected {FORMAT}. Update ner_lab.")
    return [Entry(path, read_entry(path, folder)) for path in _files(folder)]


def read_entry(path: Path, ledger: Path) -> dict[str, Any]:
    """Read one record; UserError if it is invalid."""
    record = _read(path, ledger)
    for key, kind in _NEEDED.items():
        if not isinstance(record.get(key), kind):
            raise UserError(f"{path}: not the record of a run: no `{key}`. Delete it, and add its run again.")
    return record


def rows_in(record: Mapping[str, Any]) -> dict[str, str]:
    """The studies of a record: study name -> the record's configuration in it."""
    return {str(study["name"]): str(study["configuration"]) for study in record["studies"]}


def study_names(entries: Sequence[Entry]) -> list[str]:
    """Names of the studies of all records, in order; last `OTHERS`, if some records belong to none."""
    names = sorted({name for entry in entries for name in rows_in(entry.record)})
    return names + [OTHERS] * any(not rows_in(entry.record) for entry in entries)


def collect_from_ledger(folder: Path, entries: Sequence[Entry], name: str) -> StudyRuns:
    """The runs of a study in the ledger, and its planned ones; UserError for an unknown name."""
    known = study_names(entries)
    if name == OTHERS and name in known:
        return _others(folder, entries)
    described = describe(folder, name)
    if described is None:
        raise UserError(f"study={name}: no such study in {folder}{nearest(name, known)} There are: {', '.join(known)}.")
    rows = {row.name: row for row in described.rows}
    runs, stray = [], []
    for entry in entries:
        if (configuration := rows_in(entry.record).get(name)) in rows:
            row = rows[configuration]
            runs.append(_run_of(entry, row.name, row.label, row.choices))
        elif configuration is not None:
            stray.append(entry.path)
    runs, superseded = _one_a_seed(runs)
    notes = _notes(runs)
    have = {(run.configuration, run.seed) for run in runs}
    planned = sum(len(row.seeds) for row in described.rows)
    for row in described.rows:
        for seed in row.seeds:
            if (row.name, seed) not in have:
                place = folder / name / row.name / f"seed={seed}"
                runs.append(Run(place, row.name, row.label, row.choices, seed, MISSING, "not run yet"))
    order = {row: place for place, row in enumerate(rows)}
    runs.sort(key=lambda run: order[run.configuration])
    return StudyRuns(
        folder=folder,
        name=name,
        question=described.question,
        factors=described.factors,
        baseline=described.baseline,
        published=described.published,
        configurations=configurations(runs, described.factors),
        planned=planned or None,
        superseded=superseded,
        stray=stray,
        notes=notes,
    )


def describe(folder: Path, name: str) -> Described | None:
    """Describe a study: from its file in sweeps/, else from the ledger; None if both are missing."""
    file = studies(SWEEPS_DIR).get(name)
    if file is not None:
        return _from_file(name, file)
    kept = folder / STUDIES / f"{name}.json"
    return _from_record(name, _read(kept, folder)) if kept.is_file() else None


def _from_file(name: str, file: Path) -> Described:
    study_file = read_study_file(file)
    study: Any = OmegaConf.to_container(study_file.study)
    rows: dict[str, RowOfStudy] = {}
    for job in jobs_of(study_file):
        row = rows.setdefault(job.configuration, RowOfStudy(job.configuration, job.label, job.choices, ()))
        rows[row.name] = row._replace(seeds=(*row.seeds, int(job.seed)))
    labels = {row.label: row.name for row in rows.values() if row.label is not None}

    def place(text: str) -> str:
        return labels.get(text) or configuration_name(parse_configuration(text))

    published = study.get("published") or {}
    baseline = study.get("baseline")
    return Described(
        name,
        str(study.get("question") or ""),
        {str(key): str(label) for key, label in (study.get("factors") or {}).items()},
        None if baseline is None else place(str(baseline)),
        {place(str(row)): _figures(entries) for row, entries in published.items()},
        list(rows.values()),
    )


def _from_record(name: str, kept: Mapping[str, Any]) -> Described:
    try:
        return Described(
            name,
            str(kept["question"]),
            dict(kept["factors"]),
            kept["baseline"],
            {row: _figures(entries) for row, entries in kept["published"].items()},
            [RowOfStudy(row["name"], row["label"], row["choices"], ()) for row in kept["configurations"]],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{STUDIES}/{name}.json: not what is kept of a study ({error}). Add the study again.") from None


def _figures(entries: Any) -> list[Published]:
    return [Published(**entry) for entry in (entries if isinstance(entries, list) else [entries])]


def _others(folder: Path, entries: Sequence[Entry]) -> StudyRuns:
    """Runs of no study, named by the choices in which they differ."""
    loose = [entry for entry in entries if not rows_in(entry.record)]
    every = [{**entry.record["choices"], **entry.record["settings"]} for entry in loose]
    keys = dict.fromkeys(key for choices in every for key in choices)
    varied = [key for key in keys if len({choices.get(key) for choices in every}) > 1]
    runs = []
    for entry, choices in zip(loose, every, strict=True):
        name = f"{entry.path.parent.parent.name}/{entry.path.parent.name}"
        own = {key: choices[key] for key in varied if key in choices}
        runs.append(_run_of(entry, name, ", ".join(f"{key}={own[key]}" for key in own) or name, own))
    runs, superseded = _one_a_seed(runs)
    factors = {key: key for key in varied}
    rows = configurations(runs, factors)
    return StudyRuns(folder, OTHERS, "", factors, None, {}, rows, superseded=superseded, notes=_notes(runs))


def _run_of(entry: Entry, name: str, label: str | None, choices: Mapping[str, str]) -> Run:
    """Turn a record into a finished run."""
    path, record = entry
    splits = {split: dict(record[split]) for split in SPLITS if isinstance(record.get(split), dict)}
    try:
        counts = {
            split: decode(scores["sentence_counts"]) for split, scores in splits.items() if "sentence_counts" in scores
        }
        curve = [
            {"epoch": epoch, "dev": {"f1": f1}, "seconds": seconds} for epoch, f1, seconds in record.get("curve") or ()
        ]
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: not the record of a run ({error}). Delete it, and add its run again.") from None
    metrics = {"status": "ok", **{key: record[key] for key in _COPIED if key in record}, **splits, "history": curve}
    if fault := fault_of(metrics):
        raise UserError(f"{path} {fault}. Delete it, and add its run again.")
    made = {
        "versions": record.get("versions") or {},
        "git": {"commit": record.get("commit"), "changed": record.get("changed")} if record.get("commit") else {},
        "code": record.get("code"),
        "machine": record.get("machine") or {},
        "notes": record["notes"],
        "inputs": record["inputs"],
    }
    nothing = dict.fromkeys(SPLITS)
    return Run(
        path, name, label, choices, record["seed"], FINISHED, "", metrics, made, counts=counts, _sentences={**nothing}
    )


def _one_a_seed(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """One run of each configuration and seed, preferring the code of most of its configuration; and all others."""
    made = Counter((run.configuration, run.code) for run in runs)
    ranked = sorted(runs, key=lambda run: (-made[run.configuration, run.code], str(run.code)))
    chosen: dict[tuple[str, int | None], Run] = {}
    for run in ranked:
        chosen.setdefault((run.configuration, run.seed), run)
    kept = {id(run) for run in chosen.values()}
    return [run for run in runs if id(run) in kept], [run for run in runs if id(run) not in kept]


def _notes(runs: Sequence[Run]) -> list[str]:
    """Notes on inputs, with the number of runs; and splits whose files are not the same for all runs."""
    noted = Counter(note for run in runs for note in run.record["notes"])
    said = [f"{note} ({_share(number, len(runs))})." for note, number in noted.items()]
    for split in ("train", "dev", "test"):
        files = Counter(run.record["inputs"][split] for run in runs if split in run.record["inputs"])
        if len(files) > 1:
            said.append(f"The runs had {len(files)} different files of {split}.")
    return said


def _share(number: int, total: int) -> str:
    return "all runs" if number == total else f"{number} of {total} runs"


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("*/*/seed=*.json")):
        if path.relative_to(folder).parts[0] not in (STUDIES, "report"):
            yield path


def _read(path: Path, ledger: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(resolve_inside(path, ledger)))
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}). Delete it, and add its run again.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: not the record of a run.")
    return found
