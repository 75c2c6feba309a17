"""`ner-lab train` as started by Hydra: a single job or one job of a multirun.

Nothing here imports torch before configs are composed and checked, and errors and `--help` are handled.
"""

import gc
import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ner_lab.cli.app import config_dirs_of, mistake_behind, run_command, stop
from ner_lab.cli.rerun import rerun_requested
from ner_lab.cli.run_callback import new_folders_removed_if_empty
from ner_lab.config.compose import (
    CONF_DIR,
    check_keys,
    check_words,
    files_named,
    find_conflicting_overrides,
    flags_last,
    readable,
    register_resolvers,
    study_name,
)
from ner_lab.config.renames import current_words, rename_keys
from ner_lab.errors import JobFailed, UserError
from ner_lab.runs.folder import RunFolder
from ner_lab.studies.other_launchers import finished_value, note_failure, refuse_processes

log = logging.getLogger(__name__)


@hydra.main(config_path=str(CONF_DIR), config_name="config", version_base="1.3")
def _job(cfg: DictConfig) -> float:
    """Run one Hydra job and return its dev F1, which sweepers use."""
    hydra_config = HydraConfig.get()
    runtime, in_sweep = hydra_config.runtime, hydra_config.mode == RunMode.MULTIRUN
    extra = [s.path for s in runtime.config_sources if s.schema == "file" and Path(s.path) != CONF_DIR]
    folder = Path(runtime.output_dir)
    words: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)  # unresolved, with `${...}`
    cfg.study.name = study_name(cfg, hydra_config.job.config_name)
    try:
        for twice in find_conflicting_overrides(words):
            log.warning("%s", twice)
        rename_keys(cfg)
        check_keys(cfg, dict(runtime.choices), extra)
        if in_sweep:
            refuse_processes(cfg)
            if (finished := finished_value(RunFolder(folder), cfg)) is not None:
                return finished
        from ner_lab.training.train import train

        gc.freeze()  # imported objects are never freed, so no collection needs to scan them
        choices = {name: choice for name, choice in runtime.choices.items() if not name.startswith("hydra/")}
        metrics = train(cfg, folder, f"{cfg.run_name}/seed={cfg.seed}", choices, words)
    except Exception as error:
        mistake = mistake_behind(error)
        if in_sweep:  # the launcher continues with the other jobs
            raise JobFailed(note_failure(RunFolder(folder), error, mistake)) from None
        if mistake is None:
            raise
        stop(mistake)  # Hydra would print its own message before run_command handles the error
    return metrics["dev"]["f1"] if metrics else 0.0


def _checked_job() -> None:
    dirs, _ = config_dirs_of(sys.argv[1:])
    if len(dirs) > 1:
        raise UserError(
            f"--config-dir is given {len(dirs)} times ({', '.join(dirs)}), and one folder counts. Put your options "
            "into one, or name the others by 'hydra.searchpath=[file:///FOLDER]'."
        )
    shown = {"--cfg", "-c", "--info", "-i"} & {word.partition("=")[0] for word in sys.argv[1:]}
    if shown and {"--multirun", "-m"} & set(sys.argv[1:]):
        raise UserError(
            f"{shown.pop()} shows the config of one job: leave out --multirun, and give each key one value."
        )
    check_words(sys.argv[1:])
    sys.argv[1:] = readable(flags_last(current_words(sys.argv[1:])))
    with files_named(dirs), new_folders_removed_if_empty():
        _job()


def main() -> None:
    """Entry point of `ner-lab train` and of `python -m ner_lab.cli.train`."""
    register_resolvers()
    # distributed processes start as `python -m ner_lab.cli.train`, however this process was started
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("ner_lab.cli.train")
    run_command(rerun_requested(sys.argv[1:]) or _checked_job)


if __name__ == "__main__":
    main()
