"""`hydra/launcher=process`, the default of `ner-lab train -m` and `ner-lab sweep`.

Hydra imports this module at every start, so the code for sweeps is imported only when needed.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from ner_lab.config.grid import Job


class ProcessLauncher(Launcher):
    """Starts jobs as `ner-lab train` in single-run mode; settings as in `conf/hydra/launcher/process.yaml`.

    A job does not see that it belongs to a sweep: it has its own folder, no rank variables, and the GPUs assigned
    to it. So `trainer=ddp` works within a job, and a failing job does not affect others.
    """

    def __init__(
        self,
        *,
        n_jobs: int | None,
        gpus: Sequence[Any] | None,
        jobs_per_gpu: int,
        on_config_change: str,
        changed: str | None = None,
    ) -> None:
        """`changed` is the former name of `on_config_change`."""
        self.n_jobs = n_jobs
        self.gpus = gpus
        self.jobs_per_gpu = jobs_per_gpu
        self.on_config_change = changed or on_config_change
        self.deprecated = ["hydra.launcher.changed"] if changed else []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run unfinished jobs; a job's value is its dev F1, or an error with the reason if it failed."""
        from ner_lab.config.renames import warn_deprecated
        from ner_lab.studies.launcher import launch
        from ner_lab.studies.manifest import recorded

        for name in self.deprecated:
            warn_deprecated(name)
        load = self.hydra_context.config_loader.load_sweep_config
        batch, new = self._named(job_overrides)
        jobs = [(overrides, load(self.config, overrides)) for overrides in batch]
        folder = Path(self.config.hydra.sweep.dir).absolute()
        with recorded(folder, self.config.study, new) if new else nullcontext():
            values = launch(
                jobs,
                self.config,
                n_jobs=self.n_jobs,
                gpus=self.gpus,
                jobs_per_gpu=self.jobs_per_gpu,
                on_config_change=self.on_config_change,
            )
        returns = []
        for (overrides, cfg), value in zip(jobs, values, strict=True):
            status = JobStatus.FAILED if isinstance(value, Exception) else JobStatus.COMPLETED
            done = JobReturn(overrides=overrides, cfg=cfg, working_dir=cfg.hydra.sweep.subdir, status=status)
            done.return_value = value
            returns.append(done)
        return returns

    def _named(self, job_overrides: Sequence[Sequence[str]]) -> "tuple[list[list[str]], list[Job]]":
        """The overrides of all jobs, with a folder each, and the jobs whose folders the sweeper did not name."""
        from ner_lab.config.compose import override_parser, readable
        from ner_lab.config.grid import fixed_keys, named_job

        if all(any(item.startswith("hydra.sweep.subdir=") for item in overrides) for overrides in job_overrides):
            return [list(overrides) for overrides in job_overrides], []
        parse = override_parser(self.hydra_context.config_loader)
        fixed = fixed_keys(parse, self.config.hydra.sweeper.get("params") or {}, self.config.hydra.overrides.task)
        jobs = [named_job(parse, overrides, fixed, self.config.seed) for overrides in job_overrides]
        return [[*readable(job.overrides), f"hydra.sweep.subdir='{job.folder}'"] for job in jobs], jobs
