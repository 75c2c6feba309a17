"""Writes the ledger: new, existing and refused records."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ner_lab.errors import UserError
from ner_lab.io.atomic import write_atomic
from ner_lab.io.safe_read import resolve_inside
from ner_lab.reporting.ledger.configuration import Identity, rows_of
from ner_lab.reporting.ledger.record import place_of
from ner_lab.reporting.ledger.report import FORMAT, MARK, STUDIES, is_ledger, read_entry, read_ledger, rows_in

_OF_THE_LEDGER = ("studies", "notes")
"""Keys that adding a run once more may extend."""


@dataclass
class Added:
    """The result of adding runs.

    new, replaced, extended, known: files of the ledger; `known` are unchanged.
    refused: why a run was refused. apart: why a run counts for no row of the study whose folder it is in.
    """

    new: list[Path] = field(default_factory=list)
    replaced: list[Path] = field(default_factory=list)
    extended: list[Path] = field(default_factory=list)
    known: list[Path] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)


def begin(ledger: Path) -> None:
    """Initialise the folder as a ledger; UserError if it contains other files."""
    if is_ledger(ledger):
        return
    if ledger.exists() and (not ledger.is_dir() or any(ledger.iterdir())):
        raise UserError(f"{ledger}: not a ledger and not empty. Give an empty or new folder: ledger=DIR.")
    ledger.mkdir(parents=True, exist_ok=True)
    write_atomic(ledger / MARK, f'{{"format": {FORMAT}}}\n')


def put(ledger: Path, record: Mapping[str, Any], added: Added, run: Path, *, replace: bool) -> None:
    """Write the record of `run`, or extend the existing one; the result is noted in `added`."""
    path = resolve_inside(ledger / place_of(record), ledger)
    if not path.exists():
        _write(path, record)
        added.new.append(path)
        return
    there = read_entry(path, ledger)
    both = {**record, "notes": list(dict.fromkeys([*there["notes"], *record["notes"]]))}
    both["studies"] = studies_of({**rows_in(there), **rows_in(record)})
    if _content(there) != _content(record):
        if not replace:
            added.refused.append(
                f"{run}: the ledger has another run of this configuration, seed and commit: {path}. "
                "To put this one in its place: --replace."
            )
            return
        _write(path, both)
        added.replaced.append(path)
    elif both != there:
        _write(path, both)
        added.extended.append(path)
    else:
        added.known.append(path)


def match(ledger: Path, files: Mapping[str, Path]) -> list[Path]:
    """Update each record's rows after a change of the studies in `files`; return the changed records."""
    changed = []
    for path, record in read_ledger(ledger):
        found = rows_of(Identity(record["choices"], record["settings"]), files)
        studies = studies_of({**rows_in(record), **found})
        if studies != record["studies"]:
            _write(path, {**record, "studies": studies})
            changed.append(path)
    return changed


def studies_of(rows: Mapping[str, str]) -> list[dict[str, str]]:
    """`studies` of a record: its configuration in each study."""
    return [{"name": name, "configuration": rows[name]} for name in sorted(rows)]


def write_study(ledger: Path, name: str, study: Mapping[str, Any]) -> None:
    """Store the description of a study whose file is not in the package."""
    _write(resolve_inside(ledger / STUDIES / f"{name}.json", ledger), study)


def _content(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that comes from the run itself."""
    return json.loads(json.dumps({key: value for key, value in record.items() if key not in _OF_THE_LEDGER}))


def _write(path: Path, record: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(_lines(record)))


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    """JSON with one key per line, so that two records can be compared line by line."""
    keys = sorted(record)
    yield "{\n"
    for key in keys:
        value = json.dumps(record[key], ensure_ascii=False, allow_nan=False)
        yield f"{json.dumps(key)}: {value}{',' * (key != keys[-1])}\n"
    yield "}\n"
