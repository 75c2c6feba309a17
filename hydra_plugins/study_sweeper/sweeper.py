"""`hydra/sweeper=study`, the default of `ner-lab train -m` and `ner-lab sweep`.

Hydra imports this module at every start, so the code for sweeps is imported only when needed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.process_launcher.launcher import ProcessLauncher


class StudySweeper(Sweeper):
    """Sweeps over all combinations of values, or over variants and seeds; settings of `conf/hydra/sweeper/study.yaml`.

    Passes all jobs to the launcher at once, whichever it is, each with a folder named by its choices, and
    writes `study.yaml`, the record that `ner-lab sweep --status` and `ner-lab report` read.
    """

    def __init__(
        self,
        *,
        params: Mapping[str, Any] | None,
        variants: Mapping[str, Mapping[str, Any]] | None,
        include: Sequence[str] | None,
        rows: Mapping[str, Mapping[str, Any]] | None = None,
        only: Sequence[str] | None = None,
    ) -> None:
        """`rows` and `only` are the former names of `variants` and `include`."""
        self.params = params or {}
        self.variants = variants or rows or {}
        self.include = include if only is None else only
        former = {"hydra.sweeper.rows": rows, "hydra.sweeper.only": only}
        self.deprecated = [name for name, value in former.items() if value is not None]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from ner_lab.config.compose import override_parser

        self.config = config
        self.load = hydra_context.config_loader.load_sweep_config
        self.parse = override_parser(hydra_context.config_loader)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs; raises `JobsFailed` when all have ended and some failed."""
        from ner_lab.config.compose import readable
        from ner_lab.config.grid import expand, included_variants
        from ner_lab.config.renames import warn_deprecated
        from ner_lab.errors import JobElsewhere, JobsFailed, UserError
        from ner_lab.io.terminal import start_logging
        from ner_lab.studies.manifest import recorded
        from ner_lab.studies.status import log_summary

        start_logging()
        for name in self.deprecated:
            warn_deprecated(name)
        variants = included_variants(self.variants, self.include)
        study = expand(self.parse, self.params, self.variants, arguments, self.config.seed)
        jobs = [job for job in study if job.label is None or job.label in variants]
        folder = Path(self.config.hydra.sweep.dir).absolute()
        batch = [[*readable(job.overrides), f"hydra.sweep.subdir='{job.folder}'"] for job in jobs]
        refusals = (UserError, HydraException, OmegaConfBaseException)
        with recorded(folder, self.config.study, jobs, others=study, refusals=refusals):
            ours = isinstance(self.launcher, ProcessLauncher)
            due = batch if ours else self._due(batch)
            try:
                returns = self.launcher.launch(due, initial_job_idx=0) if due else []
            except refusals:
                raise
            except BaseException as error:
                log_summary(folder, jobs)
                if ours or not isinstance(error, Exception):
                    raise
                text = "\n".join(str(error).splitlines()[:3])
                raise JobsFailed(f"the launcher gave up ({type(error).__name__}): {text}") from error
        failed = [
            done
            for done in returns
            if done.status != JobStatus.COMPLETED and not isinstance(done._return_value, JobElsewhere)
        ]
        log_summary(folder, jobs)
        if failed:
            raise JobsFailed(f"{len(failed)} of {len(jobs)} jobs failed")
        return returns

    def _due(self, batch: list[list[str]]) -> list[list[str]]:
        """The unfinished jobs for another launcher, after checking that it can run all jobs."""
        from ner_lab.runs.folder import RunFolder
        from ner_lab.studies.other_launchers import refuse_processes
        from ner_lab.studies.pending import are_due

        cfgs = [self.load(self.config, overrides) for overrides in batch]
        for cfg in cfgs:
            refuse_processes(cfg)
        runs = [RunFolder(Path(cfg.hydra.sweep.dir).absolute() / cfg.hydra.sweep.subdir) for cfg in cfgs]
        return [overrides for overrides, is_due in zip(batch, are_due(runs, cfgs), strict=True) if is_due]
