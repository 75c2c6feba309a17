"""`ner-lab evaluate RUN [data=...]`: score a run's tagger on its own or other data."""

import logging
import sys

from ner_lab.cli.app import config_dirs_of, keyword_arguments, run_command
from ner_lab.errors import UserError
from ner_lab.evaluation.conlleval import score_table
from ner_lab.inference.evaluate import evaluate
from ner_lab.io.terminal import start_logging
from ner_lab.runs.folder import RunFolder

log = logging.getLogger(__name__)

_KEYS = ("run", "splits", "output")
_USAGE = """ner-lab evaluate RUN [data=OPTION] [data.KEY=VALUE ...] [--splits dev,test] [--output DIR]
                 [--config-dir DIR]

Scores the best checkpoint of a run. Without `data` it is the run's own corpus, and the scores are
those of its metrics.json. With `data` it is another corpus, read as that option says and normalised
as the tagger was trained: data=conll2003 data.dir=DIR, or data=files data.test=FILE. Such files have the
columns and separator of the run's data, unless data.columns or data.separator are given. Where they
name entity types otherwise than the run: data.map_types={PERSON: PER}.

output        a folder for evaluation.json and predictions/SPLIT.conll; without it nothing is written
--config-dir  a folder with options of your own, DIR/data/NAME.yaml for data=NAME"""


def _command() -> None:
    config_dirs, arguments = config_dirs_of(sys.argv[1:])
    own, overrides = keyword_arguments(arguments, _KEYS, _USAGE, ["run"])
    if not own.get("run"):
        raise UserError(f"which run? Give its folder.\n\n{_USAGE}")
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
