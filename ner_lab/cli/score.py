"""`ner-lab score FILE...`: score prediction files of any system as conlleval does, and compare several."""

import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ner_lab.cli.app import run_command
from ner_lab.cli.parsers import score_parser
from ner_lab.data.readers.conll import read_text
from ner_lab.data.sentence import DOCSTART
from ner_lab.data.tags import as_written, spans_of, split_tag
from ner_lab.errors import UserError, shown
from ner_lab.evaluation.conlleval import schemes_of, score_table, score_tags
from ner_lab.evaluation.error_analysis import Prediction, sentence_counts
from ner_lab.io.terminal import start_logging, table
from ner_lab.reporting.significance import holm, randomise

log = logging.getLogger(__name__)

_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class ScoredFile:
    """A prediction file. words, gold, predicted: by sentence; gold and predicted in IOB2, not repaired."""

    path: Path
    words: list[list[str]]
    gold: list[list[str]]
    predicted: list[list[str]]
    lines: list[int]
    """Number of each sentence's first line"""
    scores: dict[str, Any]
    """As in metrics.json: `precision`, `recall`, `f1` in per cent, counts, `accuracy`, `f1_strict`, `per_type`"""

    @property
    def predictions(self) -> list[Prediction]:
        rows = zip(self.words, self.gold, self.predicted, strict=True)
        return [Prediction(words, spans_of(gold), spans_of(predicted)) for words, gold, predicted in rows]


def score_file(path: str | Path) -> ScoredFile:
    """Read and score one file; UserError with the line number if it is not a prediction file."""
    path = Path(path).expanduser()
    sentences = list(_sentences(path))
    if not sentences:
        raise UserError(f"{path}: no sentence in it. Expected a token, its gold and its predicted tag on each line.")
    lines = [number for number, _ in sentences]
    words = [[row[0] for row in rows] for _, rows in sentences]
    tags = [[[row[place] for row in rows] for _, rows in sentences] for place in (-2, -1)]
    try:
        schemes = schemes_of(tags[0], tags[1])
    except ValueError as error:
        raise UserError(f"{path}: {error}. Write all tags of a column in one scheme.") from None
    scores = score_tags(tags[0], tags[1], schemes)
    gold, predicted = (
        [as_written(row, scheme) for row in column] for column, scheme in zip(tags, schemes, strict=True)
    )
    return ScoredFile(path, words, gold, predicted, lines, scores)


def compare_files(files: Sequence[ScoredFile], *, rounds: int = 10_000) -> list[dict[str, Any]]:
    """Compare each further file with the first: `difference` of F1 in points, its 95 % interval, `p`, and `p_holm`."""
    first = files[0]
    for other in files[1:]:
        _refuse_other_sentences(first, other)
    counts = [sentence_counts(file.predictions) for file in files]
    tests = [randomise([counts[0]], [count], rounds=rounds) for count in counts[1:]]
    corrected = holm([test.p for test in tests])
    return [
        {
            "file": str(file.path),
            "difference": test.difference,
            "low": test.low,
            "high": test.high,
            "p": test.p,
            "p_holm": p,
        }
        for file, test, p in zip(files[1:], tests, corrected, strict=True)
    ]


def _sentences(path: Path) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield (number of the first line, rows of cells) for each sentence."""
    rows: list[list[str]] = []
    begin = 0
    for number, line in enumerate([*read_text(path).split("\n"), ""], 1):
        text = line.strip(" \t\r")
        if not text or text.split(maxsplit=1)[0] == DOCSTART:
            if rows:
                yield begin, rows
            rows = []
            continue
        cells = text.split("\t") if "\t" in text else _BLANKS.split(text)
        if len(cells) < 3:
            raise UserError(
                f"{path}:{number}: {len(cells)} columns, expected at least 3: token, gold tag, predicted tag. "
                f"It is {shown(text)}."
            )
        for tag, what in ((cells[-2], "gold"), (cells[-1], "predicted")):
            try:
                split_tag(tag)
            except ValueError as error:
                raise UserError(
                    f"{path}:{number}: {error}. The last two columns must be gold and predicted tags; this is the "
                    f"{what} one."
                ) from None
        begin = begin if rows else number
        rows.append(cells)


def _doubts(file: ScoredFile) -> list[str]:
    """A warning if gold and predicted tags have no entity type in common: they may be chunks and entities."""
    per_type = file.scores["per_type"]
    gold, predicted = ({name for name, row in per_type.items() if row[side]} for side in ("gold", "predicted"))
    if not gold or not predicted or gold & predicted:
        return []
    return [
        f"{file.path}: no type of the gold tags ({', '.join(sorted(gold))}) is one of the predicted ones "
        f"({', '.join(sorted(predicted))}). Are the last two columns gold and predicted tags?"
    ]


def _refuse_other_sentences(first: ScoredFile, other: ScoredFile) -> None:
    """Refuse files with other sentences or gold entities: a comparison would be meaningless."""
    for number, (begin, words, gold) in enumerate(zip(other.lines, other.words, other.gold, strict=True)):
        if number >= len(first.words):
            break
        if words != first.words[number]:
            places = [
                place for place, pair in enumerate(zip(words, first.words[number], strict=False)) if len({*pair}) > 1
            ]
            place = places[0] if places else min(len(words), len(first.words[number]))
            raise UserError(
                f"{other.path}:{begin + place}: not the sentence of {first.path}:{first.lines[number] + place}. "
                "Files that are compared must have the same tokens in the same order."
            )
        if spans_of(gold) != spans_of(first.gold[number]):
            pairs = zip(gold, first.gold[number], strict=True)
            place = next(place for place, (here, there) in enumerate(pairs) if here != there)
            raise UserError(
                f"{other.path}:{begin + place}: the gold entities of this sentence are not those of "
                f"{first.path}:{first.lines[number] + place}. Files that are compared must have the same gold tags."
            )
    if len(first.words) != len(other.words):
        raise UserError(
            f"{other.path}: {len(other.words):,} sentences, and {first.path} has {len(first.words):,}. "
            "Files that are compared must have the same sentences."
        )


def _comparison_table(files: Sequence[ScoredFile], tests: Sequence[dict[str, Any]]) -> str:
    header = ["file", "precision", "recall", "F1", "difference", "95 % interval", "p", "p (Holm)"]
    rows: list[list[object]] = []
    for file, test in zip(files, [None, *tests], strict=True):
        cells: list[object] = [str(file.path), *(file.scores[name] for name in ("precision", "recall", "f1"))]
        if test is not None:
            interval = f"{test['low']:+.2f} to {test['high']:+.2f}"
            cells += [f"{test['difference']:+.2f}", interval, f"{test['p']:.4f}", f"{test['p_holm']:.4f}"]
        rows.append([*cells, *[""] * (len(header) - len(cells))])
    return table(header, rows)


def _command() -> None:
    parsed = score_parser().parse_words(sys.argv[1:])
    names = parsed.words
    if not names:
        raise UserError(f"which files? Give one or more. {score_parser().hint}")
    start_logging()
    files = [score_file(name) for name in names]
    tests = compare_files(files) if len(files) > 1 else []
    for doubt in (doubt for file in files for doubt in _doubts(file)):
        log.warning("%s", doubt)
    if parsed.json:
        figures = [{"file": str(file.path), **file.scores} for file in files]
        print(json.dumps({"files": figures, "comparisons": tests}, indent=2))
        return
    for file in files:
        schemes = file.scores["schemes"]
        log.info(
            "%s\n  tags in %s (gold) and %s (predicted)\n",
            score_table({str(file.path): file.scores}),
            *schemes.values(),
        )
    if tests:
        log.info("%s", _comparison_table(files, tests))
        log.info("difference: F1 minus that of %s; p by approximate randomisation over sentences", files[0].path)


def main() -> None:
    """Entry point of `ner-lab score`."""
    run_command(_command)


if __name__ == "__main__":
    main()
