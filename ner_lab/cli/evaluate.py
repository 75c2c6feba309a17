"""`ner-lab evaluate RUN [data=...]`: score a run's tagger on its own or other data."""

import logging
import sys

from ner_lab.cli.app import config_dirs_of, run_command
from ner_lab.cli.parsers import evaluate_parser, parse_settings
from ner_lab.errors import UserError
from ner_lab.evaluation.conlleval import score_table
from ner_lab.inference.evaluate import evaluate
from ner_lab.io.terminal import start_logging
from ner_lab.runs.folder import RunFolder

log = logging.getLogger(__name__)


def _command() -> None:
    config_dirs, arguments = config_dirs_of(sys.argv[1:])
    own, overrides = parse_settings(evaluate_parser(), arguments)
    if not own.get("run"):
        raise UserError(f"which run? Give its folder. {evaluate_parser().hint}")
    start_logging()
    splits = [name for name in own.get("splits", "").split(",") if name]
    scored = evaluate(own["run"], overrides, splits, config_dirs)
    scores = {name: split.scores for name, split in scored.items()}
    log.info("%s", score_table(scores))
    if own.get("output"):
        folder = RunFolder(own["output"])
        for name, split in scored.items():
            split.write(folder.predictions / f"{name}.conll")
        written = folder.write_metrics({"run": own["run"], "data": overrides, **scores}, "evaluation.json")
        log.info("\nwritten to %s", written.parent)


def main() -> None:
    """Entry point of `ner-lab evaluate`."""
    run_command(_command)


if __name__ == "__main__":
    main()
