"""A ledger of results read back: the records of runs, and the studies they are part of.

results/ledger.json                            marks the folder
results/CORPUS/CONFIGURATION/seed=N-CODE.json  a run each, as `ner-lab results add` writes them
results/studies/NAME.json                      studies whose file is not in sweeps/
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ner_lab.errors import UserError
from ner_lab.plain_files import own_place, read_text

MARK = "ledger.json"
FORMAT = 1
STUDIES = "studies"
_NEEDED = {"choices": dict, "settings": dict, "studies": list, "notes": list, "seed": int, "inputs": dict}


class Entry(NamedTuple):
    """A record and its place."""

    path: Path
    record: dict[str, Any]


def is_ledger(folder: Path) -> bool:
    """Whether a folder is a ledger of results."""
    return (folder / MARK).is_file()


def read_ledger(folder: Path) -> list[Entry]:
    """All records, in the order of their places. UserError for a file that is none, and for another format."""
    mark = _read(folder / MARK, folder)
    if mark.get("format") != FORMAT:
        raise UserError(f"{folder / MARK}: format {mark.get('format')}, expected {FORMAT}. Update ner_lab.")
    return [Entry(path, read_entry(path, folder)) for path in _files(folder)]


def read_entry(path: Path, ledger: Path) -> dict[str, Any]:
    """One record; UserError for what is none."""
    record = _read(path, ledger)
    for key, kind in _NEEDED.items():
        if not isinstance(record.get(key), kind):
            raise UserError(f"{path}: not the record of a run: no `{key}`. Delete it, and add its run again.")
    return record


def rows_in(record: Mapping[str, Any]) -> dict[str, str]:
    """The studies of a record: name -> the configuration it is of there."""
    return {str(study["name"]): str(study["configuration"]) for study in record["studies"]}


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("*/*/seed=*.json")):
        if path.relative_to(folder).parts[0] not in (STUDIES, "report"):
            yield path


def _read(path: Path, ledger: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(own_place(path, ledger)))
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}). Delete it, and add its run again.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: not the record of a run.")
    return found
