"""Records in a run folder: its state, scores and provenance."""

import json
import math
from pathlib import Path
from typing import Any

import yaml

from ner_lab.config.renames import with_current_names
from ner_lab.io.locks import is_locked
from ner_lab.io.safe_read import check_events, read_text, resolve_inside

FINISHED, FAILED, BROKEN = "finished", "failed", "broken"
RUNNING, UNFINISHED, MISSING = "running", "unfinished", "missing"
"""States of a run. finished: it has valid scores. failed: it recorded a failure. broken: its metrics.json is invalid.
running: a process holds the folder. unfinished: started, then killed. missing: not started."""
SPLITS = ("dev", "test")

_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LARGEST = 100_000_000  # maximum file size in bytes
_KINDS = {"history": list, "parameters": dict, "train_on": list}


class Unreadable(str):
    """The reason why a file could not be read."""


def read_metrics(folder: Path) -> tuple[str, str, dict[str, Any]]:
    """The state of the run, why it has no valid scores, and its metrics."""
    path = folder / "metrics.json"
    if path.exists():
        metrics = read_json(path)
        if fault := fault_of(metrics):
            return BROKEN, f"metrics.json {fault}", {}
        assert isinstance(metrics, dict)
        if metrics["status"] == "failed":
            return FAILED, str(metrics.get("failure") or "marked failed, without a reason"), metrics
        return FINISHED, "", metrics
    if is_locked(folder / ".lock"):
        return RUNNING, "running now", {}
    if isinstance(failure := read_json(folder / "failure.json"), dict):
        return FAILED, str(failure.get("reason") or "ended without metrics.json"), {}
    if (folder / "config.yaml").exists() or (folder / "run.json").exists():
        return UNFINISHED, "no metrics.json: killed, or stopped before its end", {}
    return MISSING, "not begun", {}


def fault_of(metrics: object) -> str:
    """Explain what is wrong with the content of a metrics.json; "" if it is valid."""
    if isinstance(metrics, Unreadable):
        return metrics
    if not isinstance(metrics, dict) or metrics.get("status") not in ("ok", "failed"):
        return "is not from a run: `status` must be ok or failed"
    for key, kind in _KINDS.items():
        if not isinstance(metrics.get(key, kind()), kind):
            return f"is not from a run: `{key}` must be a {kind.__name__}"
    if not all(map(is_number, metrics.get("parameters", {}).values())):
        return "is not from a run: `parameters` must be numbers"
    splits = [split for split in SPLITS if split in metrics]
    if not splits and metrics["status"] == "ok":
        return "has no dev or test scores"
    return next((fault for split in splits if (fault := _fault_of_scores(metrics[split], split))), "")


def _fault_of_scores(scores: object, split: str) -> str:
    if not isinstance(scores, dict) or not is_number(scores.get("f1")):
        return f"has no number for {split}.f1"
    for key in ("per_type", "oov"):
        parts = scores.get(key) or {}
        if not isinstance(parts, dict) or not all(isinstance(part, dict) for part in parts.values()):
            return f"has no scores in {split}.{key}"
    return ""


def read_json(path: Path) -> object:
    """Read a JSON file; return its content, or why it cannot be read."""
    try:
        return json.loads(read_text(resolve_inside(path, path.parent), _LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        return Unreadable(f"cannot be read as JSON ({_one_line(error)})")


def read_yaml(path: Path) -> object:
    """Read a YAML file; return its content, or why it cannot be read."""
    try:
        return parse_yaml(read_text(resolve_inside(path, path.parent), _LARGEST), path)
    except (OSError, ValueError) as error:
        return Unreadable(f"cannot be read ({_one_line(error)})")


def parse_yaml(text: str, path: Path) -> object:
    """Parse the YAML text of `path`; return its content, or why it cannot be read."""
    try:
        check_events(text, path)
        return yaml.load(text, Loader=_YAML)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return Unreadable(f"cannot be read as YAML ({_one_line(error)})")


def read_config(folder: Path) -> dict[str, Any]:
    """A run's config.yaml; empty if missing or unreadable."""
    config = read_yaml(folder / "config.yaml")
    return with_current_names(config) if isinstance(config, dict) else {}


def read_record(path: Path) -> dict[str, Any]:
    """run.json, with `versions`, `git` and `machine` always as dictionaries."""
    found = read_json(path)
    record = dict(found) if isinstance(found, dict) else {}
    for key in ("versions", "git", "machine"):
        given = record.get(key)
        kept = given.items() if isinstance(given, dict) else ()
        record[key] = {name: value for name, value in kept if isinstance(value, str) or name in ("threads", "changed")}
    if not isinstance(record.get("code"), str):
        record["code"] = None
    return record


def is_number(value: object) -> bool:
    """Whether it is a finite number and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
