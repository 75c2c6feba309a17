"""Checks that the runs of a study share code, versions, machine and config."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ner_lab.io.safe_read import read_text, resolve_inside
from ner_lab.reporting.study_runs import Run, StudyRuns
from ner_lab.runs.records import FINISHED, SPLITS, parse_yaml

_OWN_TO_RUN = re.compile(r"^(?:seed|run_name):.*\n?", re.MULTILINE)
_FREE = ("seed", "run_name", "logger", "study", "data.cache_dir")  # keys that do not affect results, and the seed
_SHOWN = 4  # maximum number of differing config keys, and of values per key, that are listed


def differences(study: StudyRuns) -> list[str]:
    """Describe differences between a study's runs in code, versions, machine and config."""
    runs = [run for run in study.runs if run.state == FINISHED]
    found = []
    if len(codes := Counter(run.code or "unknown" for run in runs)) > 1:
        found.append(
            f"The runs were made by {len(codes)} states of the code: {_shares({c[:8]: n for c, n in codes.items()})}. "
            "What differs between them may be the code's doing."
        )
    packages = dict.fromkeys(package for run in runs for package in run.record.get("versions", {}))
    for package in packages:
        if len(versions := Counter(str(run.record.get("versions", {}).get(package)) for run in runs)) > 1:
            found.append(f"The runs were made with several versions of {package}: {_shares(versions)}.")
    if len(machines := Counter(machine_of(run) for run in runs)) > 1:
        found.append(
            f"The runs were made on {len(machines)} kinds of machine, so times do not compare: {_shares(machines)}."
        )
    for split in SPLITS:
        if len(sizes := Counter(size for run in runs if (size := _size(run, split)))) > 1:
            found.append(
                f"Not all runs were scored on the same {split} sentences, of which there are {_shares(sizes)}."
            )
    return found + _config_differences(study, runs)


def _size(run: Run, split: str) -> str:
    return str(run.metrics.get(split, {}).get("sentences", ""))


def machine_of(run: Run) -> str:
    """Processor and threads of a run."""
    machine = run.record.get("machine", {})
    parts = [str(machine[key]) for key in ("processor", "system") if machine.get(key)][:1]
    threads = machine.get("threads")
    return ", ".join(parts + ([f"{threads} thread{'s' * (threads != 1)}"] if threads else [])) or "unknown"


def _config_differences(study: StudyRuns, runs: Sequence[Run]) -> list[str]:
    """Keys of config.yaml that differ but should not.

    A swept key outside the config, such as `paper`, may set any other key. In that case, as in a tree without
    a study, only the runs of one configuration are compared with each other.
    """
    flat: dict[str, dict[str, str]] = {}
    configs: list[tuple[Run, dict[str, str]]] = []
    for run in runs:
        try:
            path = resolve_inside(run.folder / "config.yaml", run.folder)
            text = _OWN_TO_RUN.sub("", read_text(path))
        except (OSError, ValueError):
            continue
        if text not in flat:
            content = parse_yaml(text, path)
            flat[text] = _flat(content) if isinstance(content, dict) else {}
        configs.append((run, flat[text]))
    swept = [key.lstrip("+~").rpartition("@")[2].replace("/", ".") for key in study.factors]
    everywhere = {key for _, config in configs for key in config}
    apart = study.planned is None or not all(any(_within(key, factor) for key in everywhere) for factor in swept)
    groups: dict[str, list[dict[str, str]]] = {}
    for run, config in configs:
        groups.setdefault(run.configuration if apart else "", []).append(config)
    keys = sorted(key for key in everywhere if not any(_within(key, free) for free in (*_FREE, *swept)))
    found = []
    for group in groups.values():
        distinct = {id(config): config for config in group}.values()
        odd = [key for key in keys if len({config.get(key) for config in distinct}) > 1] if len(distinct) > 1 else []
        for key in odd:
            found.append(f"{key} ({_shares(Counter(config.get(key, 'absent') for config in group))})")
    if not found:
        return []
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return [
        "Runs that should differ in what was swept alone differ in their config as well: "
        f"{', '.join(found[:_SHOWN])}{more}."
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def _within(key: str, place: str) -> bool:
    return key == place or key.startswith(f"{place}.")


def _shares(counts: Mapping[str, int]) -> str:
    """`3f2a (12 runs), 77c1 (6 runs)`"""
    most = sorted(counts.items(), key=lambda item: -item[1])
    named = ", ".join(f"{what} ({number} run{'s' * (number != 1)})" for what, number in most[:_SHOWN])
    return named + (f", {len(most) - _SHOWN} more" if len(most) > _SHOWN else "")
