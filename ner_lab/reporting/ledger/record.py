"""The ledger record of a finished run: figures and their origin, without corpus text or paths."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ner_lab.config.renames import with_current_names
from ner_lab.errors import UserError
from ner_lab.io.safe_read import read_json_file, read_yaml
from ner_lab.reporting.ledger.configuration import Identity, identity_of
from ner_lab.reporting.ledger.sentence_counts import encode
from ner_lab.reporting.study_runs import Run
from ner_lab.runs.records import SPLITS, is_number

_FIGURES = ("best_epoch", "epochs", "train_seconds", "train_tokens_per_second")
_MACHINE = ("processor", "threads")


def identity_of_run(run: Run) -> Identity:
    """The configuration of a finished run; UserError if its records do not contain it."""
    record = read_json_file(run.folder / "run.json")
    config = with_current_names(read_yaml(run.folder / "config.yaml"))
    choices, overrides = record.get("choices"), record.get("overrides")
    if not isinstance(choices, dict) or not isinstance(overrides, list):
        raise UserError(f"{run.folder / 'run.json'}: no `choices` and `overrides` in it, so no configuration.")
    if not isinstance(config, DictConfig):
        raise UserError(f"{run.folder / 'config.yaml'}: not a config: it has no keys.")
    return identity_of(config, {str(key): str(value) for key, value in choices.items()}, list(map(str, overrides)))


def record_of(run: Run, identity: Identity, notes: Sequence[str] = ()) -> dict[str, Any]:
    """The record of a finished run. UserError without a seed, or if the predictions are not those scored."""
    metrics, made = run.metrics, run.record
    if run.seed is None:
        raise UserError(f"{run.folder}: neither metrics.json nor config.yaml tells its seed.")
    git = made["git"]
    found = {
        "choices": dict(identity.choices),
        "settings": dict(identity.settings),
        "seed": run.seed,
        "studies": [],
        "notes": list(notes),
        "train_on": [str(split) for split in metrics.get("train_on") or ()],
        **{name: metrics[name] for name in _FIGURES if is_number(metrics.get(name))},
        "parameters": _numbers(metrics.get("parameters")),
        "curve": _curve(metrics.get("history") or ()),
        "machine": {key: made["machine"][key] for key in _MACHINE if key in made["machine"]},
        "versions": made["versions"],
        "commit": git.get("commit"),
        "changed": git.get("changed"),
        "code": made["code"],
        "inputs": _inputs(metrics.get("sources")),
    }
    if others := _other_code(made):
        found["resumed_with"] = others
    for split in SPLITS:
        if split in metrics:
            found[split] = {**_numbers(metrics[split]), **_sentences(run, split)}
    return found


def _sentences(run: Run, split: str) -> dict[str, str]:
    counts = run.sentence_counts(split)
    if counts is None:
        if fault := run.faults.get(split):
            raise UserError(fault)
        return {}
    scored = [run.metrics[split].get(name) for name in ("correct", "predicted", "gold")]
    if None not in scored and counts.sum(axis=0).tolist() != scored:
        raise UserError(f"{run.folder}: predictions/{split}.conll is not what metrics.json scored: other counts.")
    return {"sentence_counts": encode(counts)}


def _numbers(tree: object) -> dict[str, Any]:
    """Keep only the numbers of a tree."""
    if not isinstance(tree, dict):
        return {}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found[str(key)] = _numbers(value)
        elif is_number(value):
            found[str(key)] = value
    return found


def _curve(history: Sequence[Any]) -> list[list[float | None]]:
    """Number, dev F1 (four decimals) and seconds (two decimals) of each epoch."""
    return [
        [entry.get("epoch"), _rounded((entry.get("dev") or {}).get("f1"), 4), _rounded(entry.get("seconds"), 2)]
        for entry in history
    ]


def _rounded(value: Any, places: int) -> float | None:
    return round(value, places) if is_number(value) else None


def _inputs(sources: object) -> dict[str, str]:
    """SHA-256 of each input file."""
    if not isinstance(sources, dict):
        return {}
    files = {str(name): str(file.get("sha256")) for name, file in sources.items() if isinstance(file, dict)}
    return {name: total for name, total in files.items() if re.fullmatch("[0-9a-f]{64}", total)}


def _other_code(made: Mapping[str, Any]) -> list[str]:
    """Checksums of the code with which a stopped training was resumed, if different."""
    resumed = [entry.get("code") for entry in made.get("resumed") or () if isinstance(entry, dict)]
    return sorted({str(code) for code in resumed if code not in (None, made["code"])})


def place_of(record: Mapping[str, Any]) -> Path:
    """The path of a record in its ledger: `conll2003/char_encoder=cnn,decoder=crf/seed=1-eca241fc.json`."""
    corpus = record["choices"].get("data") or "files"
    if corpus == "files":
        corpus = f"files-{record['inputs'].get('train', 'unknown')[:8]}"
    name = Identity(record["choices"], record["settings"]).name
    return Path(corpus, name, f"seed={record['seed']}-{code_of(record)[:8]}.json")


def code_of(record: Mapping[str, Any]) -> str:
    """The commit; the code's checksum if there is no commit, or if the code was changed since."""
    return str((record["commit"] if not record["changed"] else None) or record["code"] or "unknown")
