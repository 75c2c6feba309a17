"""`hydra/sweeper=study`, the default of `ner-lab train -m` and `ner-lab sweep`.

Hydra imports this module at every start: what it needs for a sweep is imported when there is one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StudySweeper(Sweeper):
    """Every combination of swept values, or of rows and seeds; settings as in `conf/hydra/sweeper/study.yaml`.

    Hands all jobs to the launcher at once, whichever it is, each with a folder named by its choices, and
    writes `study.yaml`, the record that `ner-lab sweep --status` and `ner-lab report` read.
    """

    def __init__(
        self,
        *,
        params: Mapping[str, Any] | None,
        rows: Mapping[str, Mapping[str, Any]] | None,
        only: Sequence[str] | None,
    ) -> None:
        self.params = params or {}
        self.rows = rows or {}
        self.only = only

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.parser = OverridesParser.create(config_loader=hydra_context.config_loader)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs; raises `JobsFailed` when all have ended and some did not end well."""
        from ner_lab.errors import JobsFailed
        from ner_lab.study.closing import say_how_it_went
        from ner_lab.study.jobs import chosen_rows, expand
        from ner_lab.study.record import recorded

        rows = chosen_rows(self.rows, self.only)
        jobs = expand(self.parser.parse_overrides, self.params, rows, arguments, self.config.seed)
        folder = Path(self.config.hydra.sweep.dir).absolute()
        batch = [[*job.overrides, f"hydra.sweep.subdir='{job.folder}'"] for job in jobs]
        with recorded(folder, self.config.study, jobs):
            returns = self.launcher.launch(batch, initial_job_idx=0)
        failed = [done for done in returns if done.status != JobStatus.COMPLETED]
        say_how_it_went(folder, jobs)
        if failed:
            raise JobsFailed(f"{len(failed)} of {len(jobs)} jobs failed")
        return returns
