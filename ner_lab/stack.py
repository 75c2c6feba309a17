"""`ner-lab stack`: runs that differ in seeds, rates and dropout alone, trained as one model."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ner_lab.command import mistake_behind, run_command
from ner_lab.compose import CONF_DIR, check_keys, study_name
from ner_lab.errors import JobFailed, UserError
from ner_lab.job import main as train
from ner_lab.postponed import import_lightning
from ner_lab.run_folder import RunFolder
from ner_lab.study.elsewhere import note_failure
from ner_lab.study.files import read_study_file
from ner_lab.sweep import study_file

log = logging.getLogger(__name__)

_USAGE = """ner-lab stack seed=1,2,3,4,5 [GROUP=OPTION ...] [KEY=VALUE ...]   train all seeds as one model
ner-lab stack NAME [KEY=VALUE ...]                                the same for a study of sweeps/

It leaves a run folder of each seed, with what its lone run would have left, and the same numbers up to
rounding. Runs may also differ in dropout, learning rate and its decay, clipping, loss and early stopping:

  ner-lab stack seed=1,2,3 optimizer.lr=0.01,0.015 char_encoder=bilstm
  ner-lab stack chars_by_decoder 'seed=range(1,6)' trainer=gpu

Runs of other shapes are stacks of their own, one after another. It is `ner-lab train -m hydra/launcher=stack`,
and takes whatever that takes; folders, and what is skipped as finished, are those of ner-lab sweep.

hydra.launcher.members   runs in a stack at most       hydra.launcher.order=own|shared   whose batches all train on
hydra.launcher.together  true or false                 hydra.sweep.dir=DIR"""


def train_stacks(
    cfgs: Sequence[DictConfig],
    overrides: Sequence[Sequence[str]],
    *,
    members: int | None,
    order: str,
    together: bool | None,
) -> list[float | Exception]:
    """Train jobs, each given by its config with its `hydra` node and its overrides; their dev F1, or why not."""
    if members is not None and (type(members) is not int or members < 1):
        raise UserError(f"hydra.launcher.members is {members}; it must be 1 or more, or null for all of one shape.")
    tasks = [_task(cfg) for cfg in cfgs]
    import_lightning()
    from ner_lab.stacked.members import Asked
    from ner_lab.stacked.shape import stacks_of

    asked = [
        Asked(
            task,
            Path(cfg.hydra.sweep.dir).absolute() / cfg.hydra.sweep.subdir,
            name=f"{task.run_name}/seed={task.seed}",
            choices={name: choice for name, choice in cfg.hydra.runtime.choices.items() if "hydra/" not in name},
            overrides=[override for override in own if not override.startswith("hydra.")],
        )
        for task, cfg, own in zip(tasks, cfgs, overrides, strict=True)
    ]
    values: list[float | Exception] = [JobFailed("not run") for _ in cfgs]
    stacks = stacks_of(tasks, members)
    for number, numbers in enumerate(stacks, start=1):
        log.info("stack %d of %d: %d runs", number, len(stacks), len(numbers))
        outcomes = _outcomes([asked[one] for one in numbers], order, together)
        for one, outcome in zip(numbers, outcomes, strict=True):
            values[one] = _value(asked[one].folder, outcome)
    return values


def _outcomes(asked: Sequence[Any], order: str, together: bool | None) -> Sequence[dict[str, Any] | Exception]:
    """Of a stack; what ends it as a whole is the end of each of its runs, and not of other stacks."""
    from ner_lab.stacked.training import Stack

    stack = Stack(asked, order=order, together=together)
    try:
        return stack.train()
    except Exception as error:
        return [error if "not trained" in str(outcome) else outcome for outcome in stack.outcomes]


def _value(folder: Path, outcome: dict[str, Any] | Exception) -> float | Exception:
    if isinstance(outcome, Exception):
        return JobFailed(note_failure(RunFolder(folder), outcome, mistake_behind(outcome)))
    if outcome["status"] != "ok":
        return JobFailed(str(outcome["failure"]))
    return float(outcome["dev"]["f1"])


def _task(cfg: DictConfig) -> DictConfig:
    """The config of a job as its training sees it, checked to the last key."""
    HydraConfig.instance().set_config(cfg)
    hydra = cfg.hydra
    extra = [s.path for s in hydra.runtime.config_sources if s.schema == "file" and Path(s.path) != CONF_DIR]
    task = OmegaConf.create(cfg)  # a copy, which `run_name` is resolved in
    with read_write(task), open_dict(task):
        task.run_name = str(cfg.run_name)
        task.study.name = study_name(cfg, hydra.job.config_name)
        del task["hydra"]
    check_keys(task, dict(hydra.runtime.choices), extra)
    return task


def _command() -> None:
    arguments = sys.argv[1:]
    if not arguments or any(item in ("-h", "--help") for item in arguments):
        print(_USAGE)
        raise SystemExit(0 if arguments else 2)
    source: list[str] = []
    if "=" not in arguments[0] and not arguments[0].startswith("-"):
        file = study_file(arguments.pop(0))
        read_study_file(file)
        source = ["--config-dir", str(file.parent), "--config-name", file.stem]
    sys.argv = [sys.argv[0], "-m", *source, "hydra/launcher=stack", *arguments]
    train()


def main() -> None:
    """Entry point of `ner-lab stack`."""
    run_command(_command)


if __name__ == "__main__":
    main()
