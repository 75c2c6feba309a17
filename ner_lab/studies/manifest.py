"""`study.yaml`, the record of a study in its folder: its question and its jobs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ner_lab.config.grid import Job
from ner_lab.config.naming import configuration_name, parse_configuration
from ner_lab.errors import UserError, nearest
from ner_lab.io.atomic import write_atomic
from ner_lab.io.locks import is_locked, locked
from ner_lab.io.safe_read import read_yaml
from ner_lab.runs.folder import missing_folders, remove_empty
from ner_lab.runs.provenance import command_line

FILE = "study.yaml"
_LOCK = ".lock"
_LARGEST = 100_000_000  # bytes
_OF_A_JOB = {"folder", "configuration", "label", "choices", "seed"}
_FIGURES = {"dev", "test", "dev_std", "test_std", "n", "source"}


@contextmanager
def recorded(
    folder: Path,
    study: DictConfig,
    jobs: Sequence[Job],
    *,
    others: Sequence[Job] = (),
    refusals: tuple[type[Exception], ...] = (UserError,),
) -> Iterator[None]:
    """Write `study.yaml` while the jobs run; jobs refused before they start leave no trace in it.

    others: jobs of the study that are not run now. refusals: errors that occur only before the first start.
    """
    path = folder / FILE
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    created = missing_folders(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / _LOCK, shared=True):  # several sweeps may share a folder's jobs
        write_record(folder, study, jobs, others)
        try:
            yield
        except refusals:
            if before is not None:
                write_atomic(path, before)
            else:
                path.unlink(missing_ok=True)
            if created and [file.name for file in folder.iterdir()] == [_LOCK]:
                (folder / _LOCK).unlink()
                remove_empty(created)
            raise


def is_swept(folder: Path) -> bool:
    """Whether a sweep is running in this folder now."""
    return is_locked(folder / _LOCK, shared=True)


def write_record(folder: Path, study: DictConfig, jobs: Sequence[Job], others: Sequence[Job] = ()) -> None:
    """Write `study.yaml`; jobs of earlier sweeps into the same folder stay recorded.

    others: jobs of the study that are not run now; the study may refer to their labels.
    """
    earlier = read_record(folder)["jobs"] if (folder / FILE).exists() else []
    mine = {job.folder: _plain(job) for job in jobs}
    all_jobs = _in_order([*(job for job in earlier if job["folder"] not in mine), *mine.values()])
    labelled = [*map(_plain, others), *all_jobs]
    places = {str(job["label"]): str(job["configuration"]) for job in labelled if job["label"] is not None}
    published = study.published or {}
    record = {
        "name": str(study.name or folder.name),
        "question": study.question,
        "factors": _factors(study, all_jobs),
        "baseline": None if study.baseline is None else _configuration(str(study.baseline), places),
        "data": study.get("data"),
        "published": {
            _configuration(str(name), places): _entries(str(name), figures) for name, figures in published.items()
        },
        "command": command_line(),
        "jobs": all_jobs,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / FILE, OmegaConf.to_yaml(OmegaConf.create(record)))


def read_record(folder: Path) -> dict[str, Any]:
    """Read `study.yaml`; raises UserError if it is missing."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder}: no {FILE} there. Give the folder of a study, or start it: ner-lab sweep NAME.")
    try:
        record = OmegaConf.to_container(read_yaml(path, _LARGEST))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Move it away and start the study again.") from None
    jobs = record.get("jobs") if isinstance(record, dict) else None
    if not isinstance(jobs, list) or not all(isinstance(job, dict) and job.keys() >= _OF_A_JOB for job in jobs):
        raise UserError(f"{path}: no list of jobs in it. Move it away and start the study again.")
    return record  # type: ignore[return-value]


def _plain(job: Job) -> dict[str, Any]:
    return {
        "folder": job.folder,
        "configuration": job.configuration,
        "label": job.label,
        "choices": dict(job.choices),
        "seed": job.seed,
    }


def _factors(study: DictConfig, jobs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Labels of the swept keys: first those named by the study, in its order."""
    swept = {key for job in jobs for key in job["choices"]}
    named = {str(key): str(label) for key, label in (study.factors or {}).items()}
    order = [key for key in named if key in swept] + sorted(swept - named.keys())
    return {key: named.get(key) or key for key in order}


def _configuration(name: str, places: Mapping[str, str]) -> str:
    """The configuration given by a row's label or by choices in any order."""
    if name in places:
        return places[name]
    if "=" not in name:
        raise UserError(f"study: no row '{name}'{nearest(name, places)} Give a row's label, or KEY=VALUE,KEY=VALUE.")
    return configuration_name(parse_configuration(name))


def _entries(name: str, figures: Any) -> list[dict[str, Any]]:
    """Published figures of a configuration, given as one mapping or a list."""
    listed = figures if OmegaConf.is_list(figures) else [figures]
    if odd := [entry for entry in listed if not OmegaConf.is_dict(entry)]:
        raise UserError(
            f"study.published '{name}': '{odd[0]}', expected {{test: 91.21, source: ...}} or a list of such."
        )
    entries = [dict(entry) for entry in listed]
    for entry in entries:
        if unknown := [str(key) for key in entry if key not in _FIGURES]:
            known = ", ".join(sorted(_FIGURES))
            raise UserError(f"study.published '{name}': unknown key '{unknown[0]}'; use {known}.")
    return entries


def _in_order(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Configurations in order of first appearance, with the seeds of each together."""
    place: dict[str, int] = {}
    for job in jobs:
        place.setdefault(job["configuration"], len(place))
    return sorted(jobs, key=lambda job: (place[job["configuration"]], isinstance(job["seed"], str), job["seed"]))
