"""`ner-lab sweep NAME`: run a study or show its progress."""

import logging
import sys
from pathlib import Path

from omegaconf import OmegaConf

from ner_lab.cli.app import run_command
from ner_lab.cli.parsers import sweep_parser
from ner_lab.cli.train import main as train
from ner_lab.config.study_files import SWEEPS_DIR, read_study_file, studies
from ner_lab.errors import UserError, nearest
from ner_lab.io.terminal import follow, start_logging, table
from ner_lab.studies.manifest import FILE, is_swept
from ner_lab.studies.status import overview, read_status
from ner_lab.tracking.wandb.sweep import sweep_text

log = logging.getLogger(__name__)

_SHOWING = {"--cfg", "-c", "--info", "-i"}
"""Hydra's flags that show a config and run nothing."""


def study_file(name: str) -> Path:
    """Find the file of a study: a path, or a name in `sweeps/` here or in the package."""
    if name.endswith(".yaml"):
        if not Path(name).is_file():
            raise UserError(f"{name}: there is no such file. `ner-lab sweep` lists the studies there are.")
        return Path(name).absolute()
    known = studies(Path("sweeps").absolute(), SWEEPS_DIR)
    if name not in known:
        raise UserError(f"no study '{name}'{nearest(name, known)} `ner-lab sweep` lists the studies there are.")
    return known[name]


def _list() -> None:
    rows = []
    for name, file in studies(Path("sweeps").absolute(), SWEEPS_DIR).items():
        question = OmegaConf.select(read_study_file(file), "study.question") or ""
        rows.append([name, " ".join(str(question).split())])
    log.info(
        "%s\n\nner-lab sweep NAME runs one; ner-lab sweep --help says more.", table(["study", "what it asks"], rows)
    )


def _named(file: Path) -> str:
    """The name of the study in a file."""
    return str(OmegaConf.select(read_study_file(file), "study.name") or file.stem)


def _status(name: str, overrides: list[str], *, live: bool) -> None:
    """Print the status of a folder with a record, or of the folder in which the study of this name runs."""
    given = [item.partition("=")[2].strip("'\"") for item in overrides if item.startswith("hydra.sweep.dir=")]
    if unknown := [item for item in overrides if not item.startswith("hydra.sweep.dir=")]:
        raise UserError(f"'{unknown[0]}': --status takes NAME or FOLDER, and hydra.sweep.dir=DIR.")
    usual = Path("outputs", Path(name).name.removesuffix(".yaml"))
    places = [Path(given[0])] if given else [Path(name), usual]
    folder = next((place for place in places if (place / FILE).is_file()), None)
    if folder is None:
        called = _named(study_file(name))
        folder = Path(given[0]) if given else Path("outputs", called)
    if not (folder / FILE).is_file():
        log.info("%s: not started yet. ner-lab sweep %s runs it.", folder, name)
        return
    if live:
        follow(lambda: overview(read_status(folder)), until=lambda: not is_swept(folder))
    else:
        log.info("%s", overview(read_status(folder)))


def _command() -> None:
    arguments = sys.argv[1:]
    start_logging()
    if not arguments:
        _list()
        return
    flags = {"--status", "--watch", "--wandb"} & set(arguments)
    name, *overrides = [item for item in arguments if item not in flags] or [""]
    if not name or name.startswith("-") or ("=" in name and not Path(name).exists()):
        raise UserError(f"'{name}': the study's name comes first. {sweep_parser().hint}")
    if "--wandb" in flags:
        sys.stdout.write(sweep_text(study_file(name), overrides))
        return
    if flags:
        _status(name, overrides, live="--watch" in flags)
        return
    file = study_file(name)
    read_study_file(file)
    mode = [] if _SHOWING & set(overrides) else ["-m"]
    sys.argv = [sys.argv[0], *mode, "--config-dir", str(file.parent), "--config-name", file.stem, *overrides]
    train()


def main() -> None:
    """Entry point of `ner-lab sweep`."""
    run_command(_command)


if __name__ == "__main__":
    main()
