"""The final summary of a sweep."""

import logging
from collections.abc import Sequence
from pathlib import Path

from ner_lab.config.grid import Job
from ner_lab.io.terminal import start_logging
from ner_lab.runs.state import DONE
from ner_lab.studies.status import overview, read_status

log = logging.getLogger(__name__)


def say_how_it_went(folder: Path, jobs: Sequence[Job]) -> None:
    """Print the table of the sweep's jobs from their folders, failed jobs with reasons, and the next step."""
    start_logging()  # a launcher may have left the log of its last job open
    known = [{"folder": job.folder, "configuration": job.configuration, "label": job.label} for job in jobs]
    statuses = read_status(folder, known)
    log.info("\n%s", overview(statuses))
    place = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    steps = [f"ner-lab report {place}"] if any(status.state == DONE for status in statuses) else []
    if any(status.state != DONE for status in statuses):
        steps.append("the same command again runs what is not done")
    log.info("\nstudy folder   %s\nnext\n  %s", place, "\n  ".join(steps))
