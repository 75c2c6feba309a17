"""The state of the job in a run folder, and whether its config and code match those requested now."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ner_lab.config.paths import absolute_paths
from ner_lab.config.renames import with_current_names
from ner_lab.io.safe_read import read_yaml, resolve_inside
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.provenance import code_sum
from ner_lab.runs.records import read_json

DONE, FAILED, RUNNING, UNFINISHED, NEW = "done", "failed", "running", "unfinished", "left"
"""done: metrics.json without failure. failed: it ended, and says why. running: a process holds the folder.
unfinished: begun, then killed. left: not begun."""

_INDIFFERENT = {"study", "logger", "run_name"}  # a result is the same whatever they are, and
_INDIFFERENT_ANYWHERE = "cache_dir"
_NUMBERS = ("train_seconds", "data_seconds", "train_tokens_per_second")


def job_name(run: RunFolder) -> str:
    """Configuration and seed."""
    return f"{run.path.parent.name}/{run.path.name}"


def state_of(run: RunFolder) -> str:
    """The state of a run, one of the states above."""
    if run.is_held():
        return RUNNING
    if (metrics := read_metrics(run)) is not None:
        return DONE if metrics.get("status") == "ok" else FAILED
    if run.failure.exists():
        return FAILED
    return UNFINISHED if run.config.exists() else NEW


def read_metrics(run: RunFolder) -> dict[str, Any] | None:
    """metrics.json; None if missing or unreadable."""
    metrics = _read(run.metrics)
    return metrics if metrics is not None and _is_of_a_run(metrics) else None


def _is_of_a_run(metrics: Mapping[str, Any]) -> bool:
    """Whether the values used in calculations are numbers, if present."""
    of_splits = [metrics[split] for split in ("dev", "test") if split in metrics]
    epochs, sources = metrics.get("history", []), metrics.get("sources") or {}
    if not isinstance(epochs, list) or not isinstance(sources, dict):
        return False
    if not all(isinstance(one, dict) for one in (*of_splits, *epochs, *sources.values())):
        return False
    numbers = [*(split.get("f1") for split in of_splits), *(metrics.get(name, 0) for name in _NUMBERS)]
    numbers += [epoch.get(name, 0) for epoch in epochs for name in ("seconds", "tokens_per_second")]
    return all(type(number) in (int, float) for number in numbers) and all("sha256" in one for one in sources.values())


def failure_of(run: RunFolder) -> str:
    """Why a job failed, in one line; empty if unknown."""
    recorded = _read(run.failure)
    if recorded is not None:
        return str(recorded.get("reason", ""))
    return str((read_metrics(run) or {}).get("failure") or "")


def progress_of(run: RunFolder) -> dict[str, Any]:
    """Last progress of a running job: current `epoch`, `epochs`, `share` of all steps, `f1`, `best`."""
    return _read(run.progress) or {}


def differences(run: RunFolder, cfg: DictConfig) -> list[str]:
    """Differences between the config of a folder's run and `cfg`: `key: then -> now`; empty if there are none."""
    try:
        then = flat_config(with_current_names(read_yaml(resolve_inside(run.config, run.path))))
    except (OSError, ValueError, AttributeError) as error:
        return [f"config.yaml: cannot be read ({error})"]
    asked: Any = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    absolute_paths(asked)
    now = flat_config(asked)
    pairs = {key: (then.get(key, _ABSENT), now.get(key, _ABSENT)) for key in sorted(then.keys() | now.keys())}
    # compare as written: 1 batch is one, 1.0 is all of them
    return [f"{key}: {old} -> {new}" for key, (old, new) in pairs.items() if repr(old) != repr(new)]


def other_code(run: RunFolder) -> str | None:
    """The commit of a finished run if its code differs from the current code; None if it is the same."""
    record = _read(run.record) or {}
    if record.get("code") == code_sum():
        return None
    return str((record.get("git") or {}).get("commit") or record.get("versions", {}).get("ner-lab") or "unknown")[:8]


def flat_config(cfg: Mapping[str, Any] | DictConfig, place: str = "") -> dict[str, Any]:
    """Config keys that affect the result, by full name."""
    flat: dict[str, Any] = {}
    for key, value in cfg.items():
        where = place + str(key)
        if where in _INDIFFERENT or key == _INDIFFERENT_ANYWHERE:
            continue
        if isinstance(value, DictConfig | dict) and value:
            flat |= flat_config(value, f"{where}.")
        else:
            flat[where] = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return flat


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON file that holds an object; None if missing or unreadable."""
    content = read_json(path)
    return content if isinstance(content, dict) else None


_ABSENT = "(none)"
