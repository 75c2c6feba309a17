"""A run folder: its layout, and how it is written and read."""

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from ner_lab.config.renames import with_current_names
from ner_lab.config.untrusted import read_config_file
from ner_lab.errors import UserError
from ner_lab.io.atomic import sync_folder, write_atomic
from ner_lab.io.locks import is_locked, try_lock
from ner_lab.io.safe_read import read_json_file, read_text, resolve_inside
from ner_lab.io.secrets import redacted, refuse_secrets
from ner_lab.runs.checkpoint import read_checkpoint_file, write_checkpoint_file
from ner_lab.runs.provenance import _record
from ner_lab.runs.records import read_json

log = logging.getLogger(__name__)

_OF_AN_ATTEMPT = (
    *("config.yaml", "run.json", "metrics.json", "progress.json", "failure.json"),
    *("checkpoints", "predictions", "wandb", "csv", "tensorboard"),
)
_CURVES = ("csv", "tensorboard")
_APPENDED_TO = (*_CURVES, "wandb", "predictions", "checkpoints")
_OF_A_RECORD = {"choices": dict, "overrides": list, "versions": dict, "code": str, "git": dict | None}
_LOGS = ("train.log", "console.log", "wandb_id", ".lock")
_STATE = {"state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers", "progress", "generators", "about"}
"""What a checkpoint to resume from holds at least (`ner_lab.training.state`)."""
_LARGEST_METRICS = 100_000_000  # bytes; ours have some ten thousand
_LOG_LINES = 12  # of a failed run that failure.json keeps
_TRIES, _PAUSE = 20, 0.05  # to hold a folder, and seconds between two


class RunFolder:
    """Paths within a run folder.

    config.yaml         the resolved config
    run.json            command, choices, versions, git commit and checksum of the code, machine
    metrics.json        scores and figures; written last, so a run that has it is finished
    checkpoints/best.ckpt         weights of the epoch kept
    checkpoints/state.ckpt        the last epoch of a training under way, to resume from; state-1.ckpt: the one before
    predictions/dev.conll, test.conll    token gold predicted, in IOB2
    progress.json       progress of the training
    failure.json        why the run ended without metrics.json
    train.log           log of all attempts; console.log: the output of a job of a sweep
    attempts/1/ ...     files of earlier attempts: killed, failed, or replaced
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        self.config = self.path / "config.yaml"
        self.record = self.path / "run.json"
        self.metrics = self.path / "metrics.json"
        self.checkpoints = self.path / "checkpoints"
        self.checkpoint = self.checkpoints / "best.ckpt"
        self.state = self.checkpoints / "state.ckpt"
        self.state_before = self.checkpoints / "state-1.ckpt"
        self.predictions = self.path / "predictions"
        self.progress = self.path / "progress.json"
        self.failure = self.path / "failure.json"
        self.attempts = self.path / "attempts"
        self._lock_path = self.path / ".lock"
        self._lock: IO[str] | None = None
        self._lock_is_new = False
        self._created: list[Path] = []
        self.started = False
        """Whether this process has begun a run here: from then on the folder's files are its own."""

    def hold(self, cfg: DictConfig) -> dict[str, Any] | None:
        """Lock the folder for this process without changing its files; return the checkpoint to resume from, if any.

        Only a stopped or killed attempt with the same config can be resumed. A folder that holds a finished run, or in
        which another process is training, is refused. `release` unlocks the folder.
        """
        refuse_secrets(OmegaConf.to_container(cfg, resolve=True))
        self._refuse_finished()
        self._created = missing_folders(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._own(self._lock_path)
        self._lock_is_new = not self._lock_path.exists()
        self._hold()
        self._refuse_finished()  # another process may have finished it meanwhile
        self._refuse_links()
        return self._left_by_the_same(cfg)

    def start(
        self,
        cfg: DictConfig,
        choices: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
        *,
        resumes: bool = False,
    ) -> None:
        """Write the run's metadata to the locked folder; set aside the files of an attempt that is not resumed."""
        self.started = True
        if resumes:
            self._note_resumption()
            return
        self.set_aside()
        write_atomic(self.config, OmegaConf.to_yaml(cfg, resolve=True))
        record = {"choices": dict(choices or {}), "overrides": [redacted(word) for word in overrides], **_record()}
        write_atomic(self.record, json.dumps(record, indent=2) + "\n")

    def _left_by_the_same(self, cfg: DictConfig) -> dict[str, Any] | None:
        """The checkpoint of an attempt with this config; None if there is no usable one."""
        if self.metrics.exists() or not self.config.is_file() or not self.record.is_file():
            return None
        try:
            then = with_current_names(OmegaConf.create(self.config.read_text(encoding="utf-8")))
        except (ValueError, YAMLError):  # damaged
            return None
        if OmegaConf.to_yaml(then) != OmegaConf.to_yaml(cfg, resolve=True):
            return None
        return self.read_state()

    def write_failure(self, reason: str, lines: Sequence[str] = (), **facts: Any) -> None:
        """Write why the run failed, if it has no metrics.json; `lines`: the end of its log or traceback."""
        failure = {"reason": redacted(reason), "log": [redacted(line) for line in lines[-_LOG_LINES:]], **facts}
        write_atomic(self.failure, json.dumps(failure, indent=2) + "\n")

    def may_resume(self) -> bool:
        """Whether a stopped or killed training left a checkpoint; `hold` returns it if its config is the same."""
        return not self.metrics.exists() and (self.state.exists() or self.state_before.exists())

    def read_state(self) -> dict[str, Any] | None:
        """The latest checkpoint to resume from that can be read, and whose best epoch is there as well."""
        for place in (self.state, self.state_before):
            if not place.exists():
                continue
            try:
                state = read_checkpoint_file(self._own(place))
                if not state.keys() >= _STATE:
                    raise UserError("it was written by another version of ner_lab or another program.")
                kept = state["progress"]["kept"]
                if kept is not None and (there := self.read_checkpoint()["epoch"] + 1) < kept:
                    raise UserError(f"{self.checkpoint}: it is from epoch {there}, but epoch {kept} was kept.")
            except (UserError, KeyError, TypeError) as error:
                log.warning("%s: training cannot resume from this checkpoint: %s", place, error)
            else:
                return state
        return None

    def refuse_old_state(self) -> None:
        """Refuse to resume from what earlier versions saved, which may be of the middle of an epoch."""
        for place in (self.state, self.state_before):
            with contextlib.suppress(UserError, OSError):
                if "place" in read_checkpoint_file(self._own(place)):
                    break
        else:
            return
        raise UserError(
            f"{place}: an earlier version of ner_lab saved it, possibly within an epoch, and training resumes at the "
            f"start of an epoch. Train from the beginning in another folder: ner-lab train --from {self.path}"
        )

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Write the checkpoint of an epoch to resume from; the one before it stays beside it."""
        self.checkpoints.mkdir(exist_ok=True)
        draft = self.state.with_suffix(".new")
        write_checkpoint_file(draft, state)
        if self.state.exists():
            os.replace(self.state, self.state_before)
        os.replace(draft, self.state)
        sync_folder(self.checkpoints)

    def has_failure(self, reason: str) -> bool:
        """Whether failure.json gives this reason already."""
        failure = read_json(self.failure)
        return isinstance(failure, dict) and failure.get("reason") == redacted(reason)

    def drop_state(self) -> None:
        """Delete the resume checkpoint; a finished run does not need it."""
        for place in (self.state, self.state_before, self.state.with_suffix(".new")):
            place.unlink(missing_ok=True)

    def write_checkpoint(self, content: Mapping[str, Any]) -> None:
        """Write the checkpoint of an epoch: `state_dict`, `hyper_parameters`, `epoch`."""
        self.checkpoints.mkdir(exist_ok=True)
        write_checkpoint_file(self.checkpoint, content)

    def _note_resumption(self) -> None:
        """Record each resumption of a training in run.json."""
        self.failure.unlink(missing_ok=True)
        record = self.read_record()
        now = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **_record()}
        record["resumed"] = [*record.get("resumed", []), now]
        write_atomic(self.record, json.dumps(record, indent=2) + "\n")

    def _refuse_finished(self) -> None:
        if self.is_finished():
            raise UserError(f"{self.path} holds a finished run. Choose another hydra.run.dir, or move that run away.")

    def is_finished(self) -> bool:
        """Whether a run finished here and is not marked failed; an unreadable metrics.json counts as finished."""
        try:
            return json.loads(read_text(self.metrics, _LARGEST_METRICS)).get("status") != "failed"
        except FileNotFoundError:
            return False
        except (ValueError, AttributeError, RecursionError):
            return True

    def set_aside(self) -> Path | None:
        """Move the files of an earlier run into `attempts/N`, except logs and the run's identity."""
        return self._move_away(_OF_AN_ATTEMPT)

    def set_aside_curves(self) -> Path | None:
        """Like `set_aside`, for logger files that cannot be appended to."""
        return self._move_away(_CURVES)

    def _move_away(self, names: Sequence[str]) -> Path | None:
        left = [place for name in names if (place := self.path / name).exists()]
        if not left:
            return None
        number = 1 + max((int(old.name) for old in self.attempts.glob("*") if old.name.isdigit()), default=0)
        target = self.attempts / str(number)
        target.mkdir(parents=True)
        for place in left:
            place.rename(target / place.name)
        return target

    def _hold(self) -> None:
        """Lock the folder for this process until `release` or until the process ends in any way."""
        if self._lock is not None:
            return
        lock = self._lock_path.open("w")
        for _ in range(_TRIES):  # checking whether the folder is locked locks it for a moment
            if try_lock(lock):
                self._lock = lock
                return
            time.sleep(_PAUSE)
        lock.close()
        raise UserError(
            f"{self.path}: another process trains in this folder. Wait for it, or choose another hydra.run.dir."
        )

    def release(self) -> None:
        """Unlock the folder; remove what `hold` created for a run that was then refused."""
        if self._lock is None:
            return
        if self.metrics.exists():
            self.progress.unlink(missing_ok=True)
        if not self.started and self._lock_is_new:
            self._lock_path.unlink(missing_ok=True)
        self._lock.close()
        self._lock = None
        if not self.started:
            remove_empty(self._created)

    def is_held(self) -> bool:
        """Whether a process is training in this folder now."""
        return is_locked(self._lock_path)

    def read_config(self, *, trained: bool = True, trusted: Sequence[str] = ()) -> DictConfig:
        """The resolved config of the run, checked as untrusted (`ner_lab.config.untrusted`).

        trained: the run must have a checkpoint. trusted: other packages whose classes it may name.
        """
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder. Give the folder of a run, outputs/.../seed=1/...")
        if not self.config.is_file() or (trained and not self.checkpoint.is_file()):
            missing = self.config if not self.config.is_file() else self.checkpoint
            raise UserError(f"{self.path}: {missing.relative_to(self.path)} is missing. Did the run finish?")
        return read_config_file(self._own(self.config), trusted)

    def read_record(self) -> dict[str, Any]:
        """run.json."""
        record = read_json_file(self._own(self.record))
        for key, kind in _OF_A_RECORD.items():
            if not isinstance(record.get(key), kind):
                raise UserError(f"{self.record}: not the record of a run: {key} is missing or has the wrong type.")
        return record

    def _refuse_links(self) -> None:
        """Refuse links that lead out of the folder, also within folders that loggers append to."""
        for name in (*_OF_AN_ATTEMPT, *_LOGS, self.attempts.name):
            self._own(self.path / name)
        for folder, folders, files in (found for name in _APPENDED_TO for found in os.walk(self.path / name)):
            # wandb's folder has its own link to its log in the user's cache, which it replaces
            for name in (*folders, *(() if "wandb" in Path(folder).relative_to(self.path).parts else files)):
                self._own(Path(folder, name))

    def _own(self, place: Path) -> Path:
        """A path within the folder; UserError if a link leads out of it."""
        return resolve_inside(place, self.path)

    def read_checkpoint(self) -> dict[str, Any]:
        """The checkpoint: `state_dict` and `hyper_parameters`, loaded without running any code from it."""
        checkpoint = read_checkpoint_file(self._own(self.checkpoint))
        weights = checkpoint.get("state_dict")
        if not isinstance(weights, dict) or not isinstance(checkpoint.get("hyper_parameters"), dict):
            raise UserError(f"{self.checkpoint}: not the checkpoint of a tagger: it lacks its weights or vocabularies.")
        return checkpoint

    def read_weights(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The tagger's weights, and the matching vocabularies as plain data."""
        checkpoint = self.read_checkpoint()
        weights = {
            key.removeprefix("tagger."): value
            for key, value in checkpoint["state_dict"].items()
            if str(key).startswith("tagger.")
        }
        vocabs = checkpoint["hyper_parameters"].get("vocabs")
        if not isinstance(vocabs, dict):
            raise UserError(f"{self.checkpoint}: not the checkpoint of a tagger: it lacks its vocabularies.")
        return weights, vocabs

    def write_metrics(self, metrics: dict[str, Any], name: str = "metrics.json") -> Path:
        """Write scores atomically."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, _compact(json.dumps(metrics, indent=2)) + "\n")
        return target


def missing_folders(folder: Path) -> list[Path]:
    """`folder` and its parents that do not exist, innermost first."""
    folder = folder.absolute()
    return [place for place in (folder, *folder.parents) if not os.path.exists(place)]


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders in the given order, up to the first that is not empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _compact(text: str) -> str:
    """Indented JSON with each list of numbers on one line."""
    numbers = re.compile(r"\[\s+((?:-?[\d.eE+-]+|null)(?:,\s+(?:-?[\d.eE+-]+|null))*)\s+\]")
    return numbers.sub(lambda match: "[" + re.sub(r",\s+", ", ", match[1]) + "]", text)
