"""`ner-lab dashboard NAME`: create a W&B workspace and report for the runs of a study."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

from ner_lab.cli.app import run_command
from ner_lab.cli.parsers import dashboard_parser, parse_settings
from ner_lab.cli.sweep import study_file
from ner_lab.config.study_files import read_study_file
from ner_lab.errors import UserError
from ner_lab.io.terminal import start_logging
from ner_lab.studies.manifest import FILE, read_record
from ner_lab.tracking.wandb.dashboard import Study, report, workspace
from ner_lab.tracking.wandb.server import BASE_URL, ask, has_key, is_wandb_error

log = logging.getLogger(__name__)

_SECONDS = 20.0  # timeout for the server


def read_study(name: str) -> Study:
    """Read a study from its record in a folder, or from the file of its name."""
    if (Path(name) / FILE).is_file():
        record: Any = read_record(Path(name))
    else:
        file = study_file(name)
        study: Any = read_study_file(file).get("study") or {}
        record = {"name": file.stem, **{key: value for key, value in study.items() if value is not None}}
    return Study(
        name=str(record["name"]),
        factors={str(key): str(label) for key, label in (record.get("factors") or {}).items()},
        question=record.get("question"),
        baseline=record.get("baseline"),
    )


def save(study: Study, entity: str | None, project: str, base_url: str) -> tuple[str, str]:
    """Save workspace and report; return their URLs."""
    if not has_key(base_url):
        raise UserError("W&B needs a key to save a dashboard: wandb login, or WANDB_API_KEY.")
    os.environ["WANDB_BASE_URL"] = base_url
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        ask(base_url, _SECONDS)
        if entity is None:
            import wandb

            entity = str(wandb.Api(timeout=int(_SECONDS)).default_entity)
        saved = workspace(study, entity, project).save(), report(study, entity, project).save()
        return saved[0].url, saved[1].url
    except Exception as error:
        if not is_wandb_error(error):
            raise
        raise UserError(f"W&B did not save the dashboard: {error}") from None


def _command() -> None:
    own, data = parse_settings(dashboard_parser(), sys.argv[1:])
    if data or not own.get("name"):
        raise UserError(f"which study? Give its name. {dashboard_parser().hint}")
    start_logging()
    study = read_study(own["name"])
    base_url = own.get("base_url") or os.environ.get("WANDB_BASE_URL") or BASE_URL
    places = save(study, own.get("entity"), own.get("project", "ner_lab"), base_url)
    log.info("workspace  %s\nreport     %s", *places)


def main() -> None:
    """Entry point of `ner-lab dashboard`."""
    run_command(_command)


if __name__ == "__main__":
    main()
