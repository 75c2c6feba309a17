"""The runs of a study, read from their folders: planned, existing and comparable runs.

Only the records of a run (metrics.json, failure.json, run.json, config.yaml), study.yaml and, on
request, the prediction files are read. Folders named `attempts` hold earlier attempts; these and
hidden folders are skipped.
"""

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ner_lab.config.naming import parse_configuration
from ner_lab.data.tags import spans_of
from ner_lab.errors import UserError
from ner_lab.evaluation.error_analysis import Prediction, read_predictions
from ner_lab.io.safe_read import resolve_inside
from ner_lab.runs.records import (
    BROKEN,
    FAILED,
    FINISHED,
    MISSING,
    SPLITS,
    Unreadable,
    read_config,
    read_metrics,
    read_record,
    read_yaml,
)

__all__ = ["FINISHED", "SPLITS", "Configuration", "Published", "Run", "StudyRuns", "collect", "label_of", "read_config"]

_NOT_ENTERED = {"attempts", "checkpoints", "predictions", "report", "wandb", "csv", "tensorboard"}
_MARKS = {"metrics.json", "run.json", "failure.json"}  # files that mark a run folder
_TIME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")


@dataclass(eq=False)
class Run:
    """One run: a job of a study, or a run folder found in a tree.

    folder: its path, whether it exists or not.
    configuration: name of its configuration.
    label: the row's label in a study with rows.
    choices: swept key -> value, without the seed.
    seed: None if neither metrics.json nor the folder name nor config.yaml has it.
    state: one of the states in `ner_lab.runs.records`.
    reason: why it has no valid scores; "" for a finished run.
    metrics: content of metrics.json; empty if missing or unreadable.
    record: content of run.json; may be empty.
    counts: split -> counts of its sentences, if known without its predictions.
    faults: split -> why its predictions could not be read.
    """

    folder: Path
    configuration: str
    label: str | None
    choices: Mapping[str, str]
    seed: int | None
    state: str
    reason: str = ""
    metrics: dict[str, Any] = field(default_factory=dict, repr=False)
    record: dict[str, Any] = field(default_factory=dict, repr=False)
    counts: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    faults: dict[str, str] = field(default_factory=dict, repr=False)
    _sentences: dict[str, list[tuple[Prediction, tuple[int, int, int]]] | None] = field(
        default_factory=dict, repr=False
    )

    @property
    def code(self) -> str | None:
        """Checksum of the code of the run; the commit if there is no checksum."""
        return self.record.get("code") or self.record.get("git", {}).get("commit")

    @property
    def trained_on_dev(self) -> bool:
        """Whether dev was part of the training data, so that its scores cannot be used for model selection."""
        return "dev" in (self.metrics.get("train_on") or ())

    def predictions(self, split: str) -> list[Prediction] | None:
        """The sentences of predictions/SPLIT.conll. Do not modify: runs share the sentences on which they agree.

        None if the file is missing or unreadable; in the latter case `faults` has the reason.
        """
        if split not in self._sentences:
            self._sentences[split] = self._read(self.folder / "predictions" / f"{split}.conll", split)
        sentences = self._sentences[split]
        return None if sentences is None else [prediction for prediction, _ in sentences]

    def sentence_counts(self, split: str) -> np.ndarray | None:
        """Correct, predicted and gold spans of each sentence, (sentences, 3); None without predictions."""
        if split in self.counts:
            return self.counts[split]
        if self.predictions(split) is None:
            return None
        return np.array([counts for _, counts in self._sentences[split] or ()])

    def _read(self, path: Path, split: str) -> list[tuple[Prediction, tuple[int, int, int]]] | None:
        try:
            resolve_inside(path, self.folder)
        except UserError as error:
            self.faults[split] = str(error)
            return None
        try:
            text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
            if sentences := [_read_block(block) for part in text.split("\n\n") if (block := part.strip("\n"))]:
                return sentences
            self.faults[split] = f"{path}: no sentence in it."
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            try:
                return [(sentence, _counts_of(sentence)) for sentence in read_predictions(path)]
            except (OSError, ValueError) as error:  # its message has the line number
                self.faults[split] = str(error)
        return None


@functools.lru_cache(maxsize=1 << 20)
def _read_block(block: str) -> tuple[Prediction, tuple[int, int, int]]:
    """Parse a sentence and its counts. Cached, because most runs give most sentences the same tags."""
    words, gold, predicted = zip(*(line.split(" ") for line in block.split("\n")), strict=True)
    sentence = Prediction(list(words), spans_of(gold), spans_of(predicted))
    return sentence, _counts_of(sentence)


def _counts_of(sentence: Prediction) -> tuple[int, int, int]:
    return len(sentence.correct), len(sentence.predicted), len(sentence.gold)


@dataclass(eq=False)
class Configuration:
    """Runs that differ only in their seed.

    name: the folder of the configuration, or its path in a tree without a study.
    label: name in tables and plots: the row's label, or the choices in the study's order.
    choices: swept key -> value.
    runs: by seed, one per seed; if a seed has several runs, the one that counts.
    """

    name: str
    label: str
    choices: Mapping[str, str]
    runs: list[Run]

    @property
    def finished(self) -> list[Run]:
        """Runs with valid scores."""
        return self.in_state(FINISHED)

    @property
    def failed(self) -> list[Run]:
        """Runs marked as failed."""
        return self.in_state(FAILED)

    def in_state(self, *states: str) -> list[Run]:
        """Runs in one of `states`."""
        return [run for run in self.runs if run.state in states]


@dataclass(frozen=True)
class Published:
    """A published F1 in per cent. Values that the source does not give are None."""

    source: str
    dev: float | None = None
    test: float | None = None
    dev_std: float | None = None
    test_std: float | None = None
    n: int | None = None


@dataclass(eq=False)
class StudyRuns:
    """All runs of a folder.

    name, question: of the study; the folder's name and "" in a tree without study.yaml.
    factors: swept key -> label, in the study's order; without the seed.
    baseline: name of the baseline's configuration; None if not set.
    published: name of a configuration -> figures.
    configurations: in the study's order.
    planned: number of jobs in study.yaml; None in a tree without it.
    superseded: earlier runs of a configuration and seed, which do not count.
    stray: run folders that belong to no configuration of the study; left out.
    notes: remarks on the runs' inputs for the reader.
    """

    folder: Path
    name: str
    question: str
    factors: Mapping[str, str]
    baseline: str | None
    published: Mapping[str, Sequence[Published]]
    configurations: list[Configuration]
    planned: int | None = None
    command: Sequence[str] = ()
    superseded: list[Run] = field(default_factory=list)
    stray: list[Path] = field(default_factory=list)
    notes: Sequence[str] = ()

    @property
    def runs(self) -> list[Run]:
        """All runs that count, by configuration."""
        return [run for configuration in self.configurations for run in configuration.runs]

    def place(self, run: Run) -> str:
        """A run's folder, relative to the study's folder."""
        return os.path.relpath(run.folder, self.folder)


def collect(folder: str | Path) -> StudyRuns:
    """Read a study's folder, or any tree of run folders. Raises UserError if it contains no run.

    With study.yaml, its jobs define the configurations. Without it, a configuration is the path of its
    runs without `seed=N` and times, and choices are parsed from `key=value,key=value`.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Give the folder of a study or of runs, such as outputs/NAME.")
    study = _planned(folder) if (folder / "study.yaml").is_file() else _tree(folder)
    if all(run.state == MISSING for run in study.runs):
        begun = "The study is planned, but none of its jobs has started" if study.planned else "No run in it"
        raise UserError(
            f"{folder}: nothing to report. {begun}. Runs are made by `ner-lab train` or `ner-lab sweep NAME`; "
            "give a folder that has some, such as outputs/NAME."
        )
    return study


def _planned(folder: Path) -> StudyRuns:
    plan = _read_plan(folder / "study.yaml")
    factors = {str(key): str(label) for key, label in (plan.get("factors") or {}).items()}
    runs: list[Run] = []
    for job in plan["jobs"]:
        choices = {str(key): _word(value) for key, value in (job.get("choices") or {}).items()}
        place = folder / job["folder"]
        name, label = str(job["configuration"]), job.get("label")
        runs.append(_read_run(place, name, label, choices, _whole(job.get("seed"))))
    known = {run.configuration: run for run in runs}
    places = {run.folder for run in runs}
    stray = []
    for place in _run_folders(folder):
        name, seed, _ = _name_of(place, folder)
        if place in places:
            continue
        if name in known:  # another run of a configuration: another seed, or a job's folder with times in it
            runs.append(_read_run(place, name, known[name].label, known[name].choices, seed))
        else:
            stray.append(place)
    runs, superseded = _newest(runs)
    published, notes = _of_the_same_data(
        {
            str(name): [_published(entry, folder / "study.yaml") for entry in entries]
            for name, entries in (plan.get("published") or {}).items()
        },
        plan.get("data"),
        runs,
    )
    return StudyRuns(
        folder=folder,
        name=str(plan.get("name") or folder.name),
        question=str(plan.get("question") or ""),
        factors=factors,
        baseline=plan.get("baseline"),
        published=published,
        configurations=configurations(runs, factors),
        planned=len(plan["jobs"]),
        command=[str(word) for word in plan.get("command") or ()],
        superseded=superseded,
        stray=stray,
        notes=notes,
    )


def _of_the_same_data(
    published: Mapping[str, Sequence[Published]], corpus: str | None, runs: Sequence[Run]
) -> tuple[dict[str, Sequence[Published]], list[str]]:
    """The published figures of configurations that were run on the same corpus, and a note on the others."""
    others: dict[str, str] = {}
    for run in runs:
        if run.configuration in published and run.state == FINISHED and (reason := _other_data(run, corpus)):
            others.setdefault(run.configuration, reason)
    kept = {name: figures for name, figures in published.items() if name not in others}
    if not others:
        return kept, []
    reasons = ", ".join(dict.fromkeys(others.values()))
    return kept, [
        f"The published figures are of {corpus}. They are left out for {len(others)} "
        f"{'configuration' if len(others) == 1 else 'configurations'} that ran on other data ({reasons})."
    ]


def _other_data(run: Run, corpus: str | None) -> str | None:
    """The setting by which a run's data differ from a corpus; None if they are the same, or if unknown."""
    config = read_config(run.folder)
    data, trainer = config.get("data"), config.get("trainer")
    if corpus is None or not isinstance(data, dict):
        return None
    if data.get("name") != corpus:
        return f"data.name={data.get('name')}"
    if given := [split for split in ("train", "dev", "test") if data.get(split) is not None]:
        return f"data.{given[0]}=FILE"
    if data.get("map_types"):
        return "data.map_types"
    if data.get("counts") and not data.get("verify", True):
        return "data.verify=false"
    limit = trainer.get("limit_train_batches") if isinstance(trainer, dict) else None
    return None if limit is None else f"trainer.limit_train_batches={limit}"


def _tree(folder: Path) -> StudyRuns:
    runs = []
    for place in _run_folders(folder):
        name, seed, choices = _name_of(place, folder)
        runs.append(_read_run(place, name, None, choices, seed))
    runs, superseded = _newest(runs)
    factors = {key: key for key in dict.fromkeys(key for run in runs for key in run.choices)}
    return StudyRuns(
        folder=folder,
        name=folder.resolve().name,
        question="",
        factors=factors,
        baseline=None,
        published={},
        configurations=configurations(runs, factors),
        superseded=superseded,
    )


def _read_plan(path: Path) -> dict[str, Any]:
    plan = read_yaml(path)
    if isinstance(plan, Unreadable):
        raise UserError(f"{path} {plan}. Start the sweep again.")
    jobs = plan.get("jobs") if isinstance(plan, dict) else None
    needed = {"folder", "configuration", "seed"}
    if not isinstance(jobs, list) or not all(isinstance(job, dict) and needed <= job.keys() for job in jobs):
        raise UserError(
            f"{path}: no list `jobs` with folder, configuration and seed of each job. Start the sweep again."
        )
    assert isinstance(plan, dict)
    if outside := [job["folder"] for job in jobs if not _is_inside_study(job["folder"])]:
        raise UserError(f"{path}: the folder of a job must be inside the study's folder; got {outside[0]}.")
    return plan


def _is_inside_study(place: object) -> bool:
    """Whether a job's folder name is within the study's folder; it may still be a link to elsewhere."""
    return isinstance(place, str) and not Path(place).is_absolute() and ".." not in Path(place).parts


def _published(entry: Any, path: Path) -> Published:
    try:
        return Published(**entry)
    except TypeError:
        raise UserError(
            f"{path}: published figures take source, dev, test, dev_std, test_std, n; not {entry}."
        ) from None


def _run_folders(folder: Path) -> Iterator[Path]:
    """Folders with a record of a run, sorted by name, numbers by value."""
    for run_folder, folders, files in os.walk(folder):
        folders[:] = sorted(
            (name for name in folders if name not in _NOT_ENTERED and not name.startswith(".")), key=_natural
        )
        if _MARKS & set(files):
            yield Path(run_folder)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key: `seed=10` comes after `seed=9`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _name_of(path: Path, root: Path) -> tuple[str, int | None, dict[str, str]]:
    """Configuration, seed and choices parsed from the path of a run folder."""
    seed: int | None = None
    choices: dict[str, str] = {}
    names = []
    for part in path.relative_to(root).parts:
        if (match := re.fullmatch(r"seed=(\d+)", part)) is not None:
            seed = int(match[1])
        elif not _TIME.fullmatch(part):
            names.append(part)
            if re.match("[^,=]+=", part):
                choices |= parse_configuration(part)
    return "/".join(names) or root.resolve().name, seed, choices


def _read_run(folder: Path, name: str, label: str | None, choices: Mapping[str, str], seed: int | None) -> Run:
    state, reason, metrics = read_metrics(folder)
    recorded_seed = metrics.get("seed")
    if state != BROKEN and seed is not None and recorded_seed is not None and recorded_seed != seed:
        state, reason = BROKEN, f"metrics.json has seed {recorded_seed}, but the folder is for seed {seed}"
    if seed is None:
        seed = _whole(recorded_seed if recorded_seed is not None else read_config(folder).get("seed"))
    return Run(folder, name, label, choices, seed, state, reason, metrics, read_record(folder / "run.json"))


def _newest(runs: Iterable[Run]) -> tuple[list[Run], list[Run]]:
    """The newest ended run (finished or failed) of each configuration and seed, else the newest; and all other runs."""
    by_seed: dict[tuple[str, int | None], list[Run]] = {}
    for run in runs:
        by_seed.setdefault((run.configuration, run.seed), []).append(run)
    counting = [max(several, key=_age) if len(several) > 1 else several[0] for several in by_seed.values()]
    chosen = {id(run) for run in counting}
    superseded = [run for several in by_seed.values() for run in several if id(run) not in chosen]
    return counting, superseded


def _age(run: Run) -> tuple[bool, str, float]:
    """Sort key: ended runs after others, then by the time in the folder name or of its files."""
    timestamps = [part for part in run.folder.parts if _TIME.fullmatch(part)]
    files = [run.folder / name for name in sorted(_MARKS)]
    written = max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
    return run.state in (FINISHED, FAILED), timestamps[-1] if timestamps else "", written


def configurations(runs: Sequence[Run], factors: Mapping[str, str]) -> list[Configuration]:
    """Configurations in order of first appearance, their runs by seed."""
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.configuration, []).append(run)
    for several in grouped.values():
        several.sort(key=lambda run: (run.seed is None, run.seed or 0))
    return [
        Configuration(name, label_of(several[0], factors), several[0].choices, several)
        for name, several in grouped.items()
    ]


def label_of(run: Run, factors: Mapping[str, str]) -> str:
    """The label of a configuration: its row's label, its choices in the order of the factors, or its path."""
    if run.label is not None:
        return run.label
    if "/" in run.configuration or not run.choices:
        return run.configuration
    order = [key for key in factors if key in run.choices] + [key for key in run.choices if key not in factors]
    return " + ".join(_choice(factors.get(key, key), run.choices[key]) for key in order)


def _choice(factor: str, value: str) -> str:
    """Label of a choice: `cnn` is clear by itself; `none` and numbers (`0.5`, `5e-05`) need the factor's name."""
    if value in ("none", "null", "false"):
        return f"no {factor}"
    names_itself = re.search("[A-Za-z]", value) and value != "true" and not is_numeral(value)
    return value if names_itself else f"{factor} {value}"


def is_numeral(value: str) -> bool:
    """Whether a choice is written as a number: `0.5`, `5e-05`."""
    try:
        float(value)
    except ValueError:
        return False
    return True


def _whole(value: object) -> int | None:
    """A seed as an integer; None if it is not one."""
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else None


def _word(value: object) -> str:
    """A choice as written on the command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
