"""The two sides of a comparison: paired finished runs with predictions for the same sentences."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ner_lab.errors import UserError
from ner_lab.evaluation.error_analysis import Prediction, read_predictions
from ner_lab.io.safe_read import resolve_inside
from ner_lab.reporting.study_runs import FINISHED, Run, collect, read_config

NAMES = ("A", "B")
_NAMED, _GLIMPSE = 4, 8  # maximum number of configurations and words in an error message
_NO_SETTINGS = ("_partial_", "_convert_")


@dataclass(frozen=True)
class Side:
    """One side.

    folder: as given. runs: one per pair, in the order of the seeds. predictions: of each run.
    """

    name: str
    folder: Path
    runs: Sequence[Run]
    predictions: Sequence[Sequence[Prediction]]

    @property
    def pooled(self) -> list[Prediction]:
        """The sentences of all runs, concatenated."""
        return [sentence for run in self.predictions for sentence in run]

    @property
    def settings(self) -> dict[str, str]:
        """Config keys and the runs' values as YAML; several values are listed one after another."""
        flat = [_flat(read_config(run.folder)) for run in self.runs]
        keys = dict.fromkeys(key for config in flat for key in config)
        return {key: ", ".join(dict.fromkeys(config[key] for config in flat if key in config)) for key in keys}


@dataclass(frozen=True)
class Pair:
    """Both sides, and notes on how they were paired."""

    a: Side
    b: Side
    split: str
    notes: Sequence[str]

    @property
    def seeds(self) -> list[int | None]:
        """Seeds of side A; the same for side B, unless each side has only one run."""
        return [run.seed for run in self.a.runs]


def read_pair(a: str | Path, b: str | Path, split: str) -> Pair:
    """Read two run folders, or two configuration folders of a study, whose runs are paired by seed."""
    folders = [Path(folder).expanduser() for folder in (a, b)]
    if folders[0].resolve() == folders[1].resolve():
        raise UserError(f"{a} and {b} are the same folder. Give two different ones.")
    found, older = zip(*(_runs_in(folder) for folder in folders), strict=True)
    twice = {run.folder.resolve() for run in found[0]} & {run.folder.resolve() for run in found[1]}
    if twice:
        raise UserError(f"{min(twice)} is on both sides. Give two folders, neither inside the other.")
    pairs, notes = _paired(folders, found)
    notes += [f"left out of {name}: {n} older with the same seed" for name, n in zip(NAMES, older, strict=True) if n]
    sides = []
    for number, (name, folder) in enumerate(zip(NAMES, folders, strict=True)):
        runs = [pair[number] for pair in pairs]
        sides.append(Side(name, folder, runs, [_predictions(run, split) for run in runs]))
    first = sides[0]
    for side in sides:
        for run, predictions in zip(side.runs, side.predictions, strict=True):
            _check_same_sentences(first.runs[0], first.predictions[0], run, predictions, split)
    return Pair(sides[0], sides[1], split, [*notes, *_warnings(sides, split)])


def _runs_in(folder: Path) -> tuple[list[Run], int]:
    """The runs of the configuration in `folder`, one per seed, and the number of older ones."""
    study = collect(folder)
    configurations = study.configurations
    if len(configurations) > 1:
        names = [configuration.name for configuration in configurations]
        more = ", ..." if len(names) > _NAMED else ""
        raise UserError(
            f"{folder} has runs of {len(names)} configurations: {', '.join(names[:_NAMED])}{more}. "
            f"Give the folder of one, such as {folder / names[0]}."
        )
    runs = configurations[0].runs
    if not configurations[0].finished:
        raise UserError(
            f"{runs[0].folder} is not a finished run: {runs[0].reason.rstrip('.')}. Only finished runs can be compared."
        )
    return runs, len(study.superseded)


def _paired(folders: Sequence[Path], found: Sequence[list[Run]]) -> tuple[list[tuple[Run, Run]], list[str]]:
    """The runs of each side, paired by seed; a single run on each side needs no common seed."""
    if all(len(runs) == 1 for runs in found):
        return [(found[0][0], found[1][0])], []
    by_seed = [{run.seed: run for run in runs if run.state == FINISHED and run.seed is not None} for runs in found]
    common = sorted(by_seed[0].keys() & by_seed[1].keys())
    if not common:
        have = [", ".join(str(seed) for seed in sorted(seeds)) or "none" for seeds in by_seed]
        raise UserError(
            f"no seed in common: A ({folders[0]}) has finished seeds {have[0]}; B ({folders[1]}) has {have[1]}. "
            "Runs are paired by seed; give single runs to compare those of different seeds."
        )
    notes = [
        f"left out of {name}: seed {run.seed} ({_why_alone(run)})"
        for name, runs in zip(NAMES, found, strict=True)
        for run in runs
        if run.seed not in common
    ]
    return [(by_seed[0][seed], by_seed[1][seed]) for seed in common], notes


def _why_alone(run: Run) -> str:
    return "the other side has no finished run of it" if run.state == FINISHED else run.reason


def _predictions(run: Run, split: str) -> list[Prediction]:
    path = run.folder / "predictions" / f"{split}.conll"
    if path.is_file():
        return read_predictions(resolve_inside(path, run.folder))
    there = sorted(path.stem for path in (run.folder / "predictions").glob("*.conll"))
    instead = f"There are predictions for {', '.join(there)}: give split={there[0]}." if there else "There are none."
    raise UserError(f"{run.folder}: no predictions/{split}.conll. {instead}")


def _check_same_sentences(
    run: Run, predictions: Sequence[Prediction], other: Run, others: Sequence[Prediction], split: str
) -> None:
    for number, (one, two) in enumerate(zip_longest(predictions, others), 1):
        if one and two and one[:2] == two[:2]:  # words and gold
            continue
        if one and two and one.words == two.words:
            what, where = "different gold entities", f"'{' '.join(one.words[:_GLIMPSE])}'"
        else:
            what, where = "different sentences", " and ".join(_glimpses(one, two))
        raise UserError(
            f"{run.folder} and {other.folder} have {what} in predictions/{split}.conll: the first is sentence "
            f"{number:,}, {where}. Only runs on the same {split} file can be compared."
        )


def _glimpses(*sentences: Prediction | None) -> list[str]:
    """Some words of each, from the first difference on."""
    words = [sentence.words if sentence else [] for sentence in sentences]
    place = next(n for n, (one, two) in enumerate(zip_longest(*words)) if one != two)
    return [f"'{' '.join(row[place : place + _GLIMPSE])}'" if row[place:] else "nothing" for row in words]


def _warnings(sides: Sequence[Side], split: str) -> list[str]:
    codes = [{run.code for run in side.runs} for side in sides]
    found = []
    if len(codes[0] | codes[1]) > 1:
        shown = [", ".join(sorted(str(code or "unknown")[:8] for code in side)) for side in codes]
        found.append(f"made by several states of the code: A {shown[0]}; B {shown[1]}")
    if split == "dev" and (names := [side.name for side in sides if any(run.trained_on_dev for run in side.runs)]):
        found.append(f"{' and '.join(names)} trained on dev, so scores on dev say nothing")
    return found


def _flat(tree: dict[str, Any], place: str = "") -> dict[str, str]:
    """`{"encoder": {"dim": 2}}` -> `{"encoder.dim": "2"}`; the class of a part is under the part's own name."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{place}{key}.")
        elif key == "_target_":
            flat[place.rstrip(".")] = ".".join(str(value).split(".")[-2:])
        elif key not in _NO_SETTINGS:
            written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            flat[f"{place}{key}"] = written
    return flat
