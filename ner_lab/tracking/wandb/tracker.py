"""Weights & Biases tracker: one run for each run folder, offline without an API key, never a prompt."""

import hashlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger

from ner_lab.errors import check_choice, invalid_value
from ner_lab.io.atomic import write_atomic
from ner_lab.tracking import metric_names as names
from ner_lab.tracking.base import Tracker
from ner_lab.tracking.wandb import tables as wandb_results
from ner_lab.tracking.wandb.process import TEARDOWN_TIMEOUT, end_process, refusal_in, remove_import_hooks
from ner_lab.tracking.wandb.server import ask, has_key, is_wandb_error, reason, run_with_timeout, timeout_message

log = logging.getLogger(__name__)

ID_FILE = "wandb_id"
"""File of a run folder: the run's id at W&B, the same for every attempt at the run."""
_MAX_TAG_LENGTH = 64  # characters that W&B accepts
_WITHOUT_SERVER = ("offline", "dryrun", "disabled")
_START_TIMEOUT = 60.0  # seconds for wandb's service process to start


class WandbTracker(Tracker):
    """Settings as in `conf/logger/wandb.yaml`; offline runs are in `RUN/wandb`.

    Every number is in the run folder first. W&B errors cause a warning, never fail the run, and take no
    more time than `init_timeout` and `finish_timeout`.

    A resumed training continues its W&B run: online after the rows that the server has, offline in a second
    folder with the same id, which `wandb sync` sends to the same run. Epochs that the earlier attempt had
    logged after its last checkpoint are logged again, with the same numbers.

    Metadata that W&B would collect by itself is disabled, because it may be private: the command line, the
    addresses of git and of installed packages, the script. The config has our own record of the choices,
    versions and commit.
    """

    continues = True

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
        finish_timeout: float,
        log_predictions: bool,
        log_checkpoint: bool,
        error_rows: int,
    ) -> None:
        check_choice("logger.mode", mode, ("auto", "online", "offline", "disabled"))
        for name, seconds in (("init_timeout", init_timeout), ("finish_timeout", finish_timeout)):
            if seconds < 0:
                raise invalid_value(f"logger.{name}", seconds, "a number of seconds, at least 0")
        if error_rows < 0:
            raise invalid_value("logger.error_rows", error_rows, "at least 0")
        self.project = project
        self.entity = entity
        self.group = group
        self.tags = list(tags)
        self.mode = mode
        self.base_url = base_url
        self.init_timeout = init_timeout
        self.finish_timeout = finish_timeout
        self.log_predictions = log_predictions
        self.log_checkpoint = log_checkpoint
        self.error_rows = error_rows
        self._run: Any = None
        self._warned = False
        self._timed_out = False

    def open(self, run: Path, name: str, config: dict[str, Any], metadata: Mapping[str, Any]) -> list[Logger]:
        os.environ.setdefault("WANDB_BASE_URL", self.base_url)
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # waits for the server at the end, also offline
        settings = self._settings(run, name, config, metadata)
        try:
            self._run = self._start_with_fallback(run, settings)
        except Exception as error:
            self._warn(error, "run")
            return []
        self._guard("run", remove_import_hooks)
        self._guard("config", lambda: self._add_swept_groups(config))
        self._guard("names of curves", self._define_curves)
        self._guard(
            "names of input files", lambda: self._log_inputs(metadata.get("sources") or {}), seconds=self.init_timeout
        )
        return [_Curves(self._run, self._guard)]

    def finish(self, run: Path, metrics: Mapping[str, Any]) -> None:
        if self._run is None:
            return
        limit = self.finish_timeout
        self._guard("summary", lambda: self._run.summary.update(wandb_results.summary(metrics)))
        self._guard("tables", lambda: self._run.log(wandb_results.tables(run, metrics, self.error_rows)), seconds=limit)
        self._guard("artifacts", lambda: self._log_outputs(run), seconds=limit)

    def close(self, failed: bool) -> None:
        if self._run is not None:
            # wandb has its own limit, but may not reach the code that applies it
            seconds = self.finish_timeout + TEARDOWN_TIMEOUT
            self._guard("end", lambda: run_with_timeout(lambda: self._end(failed), seconds, "it does not end"))
            self._run = None
            if self._warned:  # its process may be gone, and wandb would report that again at Python's exit
                end_process()

    def _end(self, failed: bool) -> None:
        self._run.finish(exit_code=1 if failed else 0)
        if (refusal := refusal_in(self._run.settings.log_internal)) is not None:
            raise ConnectionError(refusal)

    def _guard(self, what: str, fn: Callable[[], Any], *, seconds: float | None = None) -> None:
        """Run `fn`; a W&B error causes one warning, and training continues without what failed.

        Args:
            what: what W&B is to take, for the warning.
            fn: a call of wandb.
            seconds: time limit of a call that waits for the server. After one timeout such calls are skipped.
        """
        if seconds is not None and self._timed_out:
            return
        try:
            if seconds is None:
                fn()
            else:
                run_with_timeout(fn, seconds, f"no answer in {seconds:g} s")
        except Exception as error:
            self._warn(error, what)

    def _warn(self, error: Exception, what: str) -> None:
        """Warn once about what W&B does not take; if the error is a bug of ours, raise it again."""
        if not is_wandb_error(error):
            raise error
        self._timed_out = self._timed_out or isinstance(error, TimeoutError)
        if not self._warned:
            later = "" if self._run is None else "; `wandb sync` sends the rest"
            log.warning("W&B does not take the %s (%s). The run folder has everything%s.", what, reason(error), later)
        self._warned = True

    def _start_with_fallback(self, run: Path, settings: Mapping[str, Any]) -> Any:
        """Start the run, offline if no server can be reached."""
        mode = os.environ.get("WANDB_MODE") or self._wanted_mode()
        if mode in _WITHOUT_SERVER:
            return self._start(settings, mode)
        earlier = set((run / "wandb").glob("run-*"))
        try:
            if not has_key(os.environ["WANDB_BASE_URL"]):
                raise PermissionError("no API key; `wandb login` stores one")  # wandb itself would ask for it
            return self._start(settings, mode)
        except Exception as error:
            if not is_wandb_error(error):
                raise
            log.warning("W&B is not available (%s). The run is logged offline; `wandb sync` sends it.", reason(error))
        end_process()
        for folder in set((run / "wandb").glob("run-*")) - earlier:
            shutil.rmtree(folder, ignore_errors=True)
        return self._start(settings, "offline")

    def _wanted_mode(self) -> str:
        if self.mode != "auto":
            return self.mode
        return "online" if has_key(os.environ["WANDB_BASE_URL"]) else "offline"

    def _settings(self, run: Path, name: str, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
        study = config.get("study") or {}
        choices = dict(metadata.get("choices") or {})
        return {
            "id": _run_id(run),
            # a run that starts over has moved the earlier attempt's folder away
            "resume": "allow" if any((run / "wandb").glob("*run-*")) else None,
            "project": self.project,
            "entity": self.entity,
            "group": self.group or study.get("name") or config.get("run_name"),
            "job_type": "train",
            "tags": tags_of(self.tags, study, choices, config),
            "name": name,
            "dir": run,
            "config": {**config, **{key: value for key, value in metadata.items() if key != "sources"}},
        }

    def _start(self, settings: Mapping[str, Any], mode: str) -> Any:
        """Start the run; with a server, wait at most `init_timeout` seconds for it."""
        import wandb

        offline = mode in _WITHOUT_SERVER

        def start() -> Any:
            return wandb.init(
                **settings,
                mode=mode,  # type: ignore[arg-type]
                settings=wandb.Settings(
                    init_timeout=_START_TIMEOUT if offline else self.init_timeout,
                    finish_timeout=self.finish_timeout,
                    finish_timeout_raises=True,
                    silent=True,
                    console="off",
                    disable_code=True,
                    disable_git=True,
                    disable_job_creation=True,
                    save_code=False,
                    x_disable_meta=True,
                    x_save_requirements=False,
                    program="ner-lab",
                ),
            )

        if offline:
            return start()
        base_url = os.environ["WANDB_BASE_URL"]
        message = timeout_message(base_url, self.init_timeout)
        started = time.monotonic()
        # wandb itself retries beyond its own limit
        run_with_timeout(lambda: ask(base_url, self.init_timeout), self.init_timeout, message)
        return run_with_timeout(start, max(1.0, self.init_timeout - (time.monotonic() - started)), message)

    def _add_swept_groups(self, config: Mapping[str, Any]) -> None:
        """Add an agent's `encoder=bilstm`, which occupies the key of that group, under full key names beside it."""
        if os.environ.get("WANDB_SWEEP_ID"):
            for group, keys in config.items():
                if isinstance(keys, Mapping) and not isinstance(self._run.config.get(group, keys), Mapping):
                    self._run.config.update({f"{group}.{key}": value for key, value in keys.items()})

    def _define_curves(self) -> None:
        """Define curves over epochs, and the best dev F1 as the run's summary value."""
        self._run.define_metric(names.EPOCH, hidden=True)
        for pattern in ("train/*", "dev/*"):
            self._run.define_metric(pattern, step_metric=names.EPOCH)
        self._run.define_metric(names.DEV_F1, step_metric=names.EPOCH, summary="max")

    def _log_inputs(self, sources: Mapping[str, Mapping[str, str]]) -> None:
        """Log input files by reference, with names and checksums, for lineage; not their content."""
        import wandb

        groups = {"dataset": {k: v for k, v in sources.items() if k != "vectors"}}
        groups["vectors"] = {k: v for k, v in sources.items() if k == "vectors"}
        for kind, files in groups.items():
            if not files:
                continue
            checksums = " ".join(f"{key} {file['sha256']}" for key, file in sorted(files.items()))
            name = f"{kind}-{hashlib.sha256(checksums.encode()).hexdigest()[:12]}"
            artifact = wandb.Artifact(name, type=kind, metadata={key: dict(file) for key, file in files.items()})
            for key, file in files.items():
                artifact.add_reference(Path(file["path"]).as_uri(), name=key)
            if self._run.offline or self._run.disabled:
                self._run.log_artifact(artifact)
            else:
                self._run.use_artifact(artifact)

    def _log_outputs(self, run: Path) -> None:
        import wandb

        outputs = [("predictions", run / "predictions", self.log_predictions)]
        outputs += [("model", run / "checkpoints", self.log_checkpoint)]
        for kind, folder, is_sent in outputs:
            if is_sent and folder.is_dir():
                artifact = wandb.Artifact(f"{kind}-{self._run.id}", type=kind)
                artifact.add_dir(str(folder))
                if kind == "model":
                    artifact.add_file(str(run / "config.yaml"))
                self._run.log_artifact(artifact)


class _Curves(WandbLogger):
    """Lightning's logger of a run; W&B errors do not stop the training."""

    def __init__(self, run: Any, guard: Callable[[str, Callable[[], Any]], None]) -> None:
        super().__init__(experiment=run)
        self.guard = guard

    def log_hyperparams(self, params: Any) -> None:
        """Ignored: the run already has its config."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.guard("curves", lambda: super(_Curves, self).log_metrics(metrics, step))


def tags_of(
    given: Sequence[str], study: Mapping[str, Any], choices: Mapping[str, str], config: Mapping[str, Any]
) -> list[str]:
    """Tags of a run: the given tags, the study, and its choice of each factor of the study."""
    tags = [*given, *([study["name"]] if study.get("name") else [])]
    for factor in study.get("factors") or {}:
        value: Any = choices.get(factor, config)
        if value is config:
            for key in str(factor).split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
        tags.append(f"{factor}={value}")
    return [tag[:_MAX_TAG_LENGTH] for tag in dict.fromkeys(tags)]


def _run_id(run: Path) -> str:
    """The run's id: from an agent of a W&B sweep, else from an earlier attempt, else new."""
    path = run / ID_FILE
    previous = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    from_agent = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
    run_id = from_agent or previous or secrets.token_hex(4)
    if run_id != previous:
        write_atomic(path, f"{run_id}\n")
    return run_id
