"""Weights & Biases: one run for each run folder, offline without a key, never a question."""

import logging
import netrc
import os
import secrets
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_lightning.loggers import Logger

from ner_lab.errors import UserError
from ner_lab.logger.tracker import Tracker

log = logging.getLogger(__name__)

IDENTITY = "wandb_id"
"""File of a run folder: the run's name at W&B, the same for every attempt at the run."""
_LONGEST_TAG = 64  # characters that W&B takes


class WandbTracker(Tracker):
    """Settings as in `conf/logger/wandb.yaml`; offline runs lie in `RUN/wandb`.

    Every number is in the run folder first; whatever befalls W&B costs a warning, never the run.
    """

    def __init__(
        self,
        *,
        project: str,
        entity: str | None,
        group: str | None,
        tags: Sequence[str],
        mode: str,
        base_url: str,
        init_timeout: float,
        log_predictions: bool,
        log_checkpoint: bool,
        error_rows: int,
    ) -> None:
        if mode not in ("auto", "online", "offline", "disabled"):
            raise UserError(f"logger.mode is '{mode}'. It takes auto, online, offline or disabled.")
        if error_rows < 0:
            raise UserError(f"logger.error_rows is {error_rows}; it must be 0 or more.")
        self.project = project
        self.entity = entity
        self.group = group
        self.tags = list(tags)
        self.mode = mode
        self.base_url = base_url
        self.init_timeout = init_timeout
        self.log_predictions = log_predictions
        self.log_checkpoint = log_checkpoint
        self.error_rows = error_rows
        self._run: Any = None

    def open(self, run: Path, name: str, config: dict[str, Any], facts: Mapping[str, Any]) -> list[Logger]:
        os.environ.setdefault("WANDB_BASE_URL", self.base_url)
        os.environ.setdefault("WANDB_SILENT", "true")
        from pytorch_lightning.loggers import WandbLogger  # wandb takes a second to import

        mode = os.environ.get("WANDB_MODE") or self._wanted_mode()
        settings = self._settings(run, name, config, facts)
        try:
            self._run = self._start(settings, mode)
        except Exception as error:
            if mode in ("offline", "disabled"):
                raise
            reason = " ".join(str(error).split())[:200]
            log.warning("W&B cannot be reached (%s); this run is logged offline: wandb sync sends it later.", reason)
            self._forget(run)
            self._run = self._start(settings, "offline")
        logger = WandbLogger(experiment=self._run)
        self._define_curves()
        self._tell("input files", lambda: self._log_inputs(facts.get("sources") or {}))
        return [logger]

    def finish(self, run: Path, metrics: Mapping[str, Any]) -> None:
        if self._run is None:
            return
        from ner_lab.logger import wandb_results

        self._tell("summary", lambda: self._run.summary.update(wandb_results.summary(metrics)))
        self._tell("tables", lambda: self._run.log(wandb_results.tables(run, metrics, self.error_rows)))
        self._tell("artifacts", lambda: self._log_outputs(run))

    def close(self, failed: bool) -> None:
        if self._run is not None:
            self._tell("end", lambda: self._run.finish(exit_code=1 if failed else 0))
            self._run = None

    def _tell(self, what: str, act: Callable[[], Any]) -> None:
        """What W&B cannot take is said and left out: the run folder has it all."""
        import wandb

        try:
            act()
        except (wandb.errors.Error, OSError) as error:
            log.warning("W&B did not take the %s (%s); the run folder has everything.", what, error)

    def _wanted_mode(self) -> str:
        if self.mode != "auto":
            return self.mode
        return "online" if _has_key(self.base_url) else "offline"

    def _settings(self, run: Path, name: str, config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        study = config.get("study") or {}
        choices = dict(facts.get("choices") or {})
        return {
            "id": _identity(run),
            "project": self.project,
            "entity": self.entity,
            "group": self.group or study.get("name") or config.get("run_name"),
            "job_type": "train",
            "tags": tags_of(self.tags, study, choices, config),
            "name": name,
            "dir": run,
            "config": {**config, **{key: value for key, value in facts.items() if key != "sources"}},
        }

    def _start(self, settings: Mapping[str, Any], mode: str) -> Any:
        """Start the run; where a server is to be reached, wait `init_timeout` seconds for it and no longer."""
        import wandb

        def start() -> Any:
            return wandb.init(
                **settings,
                mode=mode,  # type: ignore[arg-type]
                settings=wandb.Settings(init_timeout=self.init_timeout, silent=True, console="off"),
            )

        if mode != "online":
            return start()
        base_url = os.environ["WANDB_BASE_URL"]
        _answers(base_url, self.init_timeout)  # wandb itself tries again and again, beyond its own limit
        return _within(self.init_timeout, start, f"no answer from {base_url} in {self.init_timeout:g} s")

    def _forget(self, run: Path) -> None:
        """End wandb's own process, since one that still waits for a server holds the run's id, and what it began."""
        import wandb

        _within(5.0, lambda: wandb.teardown(exit_code=1), "wandb's process does not end")
        for begun in (run / "wandb").glob("run-*"):
            shutil.rmtree(begun, ignore_errors=True)

    def _define_curves(self) -> None:
        """Curves over epochs, and the best dev F1 as what stands for the run."""
        self._run.define_metric("epoch", hidden=True)
        for names in ("train/*", "dev/*"):
            self._run.define_metric(names, step_metric="epoch")
        self._run.define_metric("dev/f1", step_metric="epoch", summary="max")

    def _log_inputs(self, sources: Mapping[str, Mapping[str, str]]) -> None:
        """The files read, by reference: their names and checksums, so that lineage is seen, not their content."""
        import wandb

        groups = {"dataset": {k: v for k, v in sources.items() if k != "vectors"}}
        groups["vectors"] = {k: v for k, v in sources.items() if k == "vectors"}
        for kind, files in groups.items():
            if not files:
                continue
            sums = "".join(sorted(file["sha256"] for file in files.values()))
            name = f"{kind}-{sums[:12]}"
            artifact = wandb.Artifact(name, type=kind, metadata={key: dict(file) for key, file in files.items()})
            for key, file in files.items():
                artifact.add_reference(Path(file["path"]).as_uri(), name=key, checksum=False)
            if self._run.offline or self._run.disabled:
                self._run.log_artifact(artifact)
            else:
                self._run.use_artifact(artifact)

    def _log_outputs(self, run: Path) -> None:
        import wandb

        wanted = [("predictions", run / "predictions", self.log_predictions)]
        wanted += [("model", run / "checkpoints", self.log_checkpoint)]
        for kind, folder, is_wanted in wanted:
            if is_wanted and folder.is_dir():
                artifact = wandb.Artifact(f"{kind}-{self._run.id}", type=kind)
                artifact.add_dir(str(folder))
                if kind == "model":
                    artifact.add_file(str(run / "config.yaml"))
                self._run.log_artifact(artifact)


def tags_of(
    stated: Sequence[str], study: Mapping[str, Any], choices: Mapping[str, str], config: Mapping[str, Any]
) -> list[str]:
    """Tags of a run: those stated, the study, and its choice of each factor of the study."""
    tags = [*stated, *([study["name"]] if study.get("name") else [])]
    for factor in study.get("factors") or {}:
        value: Any = choices.get(factor, config)
        if value is config:
            for key in str(factor).split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
        tags.append(f"{factor}={value}")
    return [tag[:_LONGEST_TAG] for tag in dict.fromkeys(tags)]


def _identity(run: Path) -> str:
    """The run's id: what an agent of a W&B sweep gives, else what an earlier attempt had, else a new one."""
    if os.environ.get("WANDB_SWEEP_ID") and (given := os.environ.get("WANDB_RUN_ID")):
        return given
    place = run / IDENTITY
    if place.is_file() and (known := place.read_text(encoding="utf-8").strip()):
        return known
    fresh = secrets.token_hex(4)
    place.write_text(f"{fresh}\n", encoding="utf-8")
    return fresh


def _answers(url: str, seconds: float) -> None:
    """Whether anything at all answers there; raises OSError where nothing does."""
    try:
        with urllib.request.urlopen(url, timeout=seconds):
            pass
    except urllib.error.HTTPError:  # an answer, if not a friendly one
        pass


def _within(seconds: float, act: Callable[[], Any], otherwise: str) -> Any:
    """What `act` gives, or TimeoutError with `otherwise` when it takes longer: it then goes on unheeded."""
    result: dict[str, Any] = {}

    def work() -> None:
        try:
            result["value"] = act()
        except BaseException as error:
            result["error"] = error

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        raise TimeoutError(otherwise)
    if "error" in result:
        raise result["error"]
    return result["value"]


def _has_key(base_url: str) -> bool:
    """Whether a key is at hand: in the environment, or where `wandb login` keeps it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(base_url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
