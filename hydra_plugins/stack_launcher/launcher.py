"""`hydra/launcher=stack`, the launcher of `ner-lab stack`.

Hydra imports this module at every start: what it needs for a sweep is imported when there is one.
"""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StackLauncher(Launcher):
    """Trains jobs that differ in seeds, rates and dropout alone as one.

    Settings as in `conf/hydra/launcher/stack.yaml`.
    """

    def __init__(self, *, members: int | None, order: str, together: bool | None) -> None:
        self.members = members
        self.order = order
        self.together = together

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train all jobs, stack after stack; a job's value is its dev F1, a failed one's an error that says why."""
        from ner_lab.stack import train_stacks

        load = self.hydra_context.config_loader.load_sweep_config
        cfgs = [load(self.config, list(overrides)) for overrides in job_overrides]
        values = train_stacks(cfgs, job_overrides, members=self.members, order=self.order, together=self.together)
        returns = []
        for overrides, cfg, value in zip(job_overrides, cfgs, values, strict=True):
            status = JobStatus.FAILED if isinstance(value, Exception) else JobStatus.COMPLETED
            done = JobReturn(overrides=overrides, cfg=cfg, working_dir=cfg.hydra.sweep.subdir, status=status)
            done.return_value = value
            returns.append(done)
        return returns
