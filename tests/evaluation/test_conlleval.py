"""Spans, counts and printed figures are conlleval's on random tags of every scheme, proper or not; seqscore agrees."""

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conlleval import chunks_of, conlleval
from seqscore.encoding import get_encoding
from seqscore.validation import validate_labels
from torch import Tensor, nn

from ner_lab.data.batching.batch import Batch
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import prepare
from ner_lab.data.tags import SCHEMES, as_iob, as_written, is_proper, spans_of
from ner_lab.evaluation.conlleval import score_table
from ner_lab.evaluation.scoring import score
from ner_lab.evaluation.span_f1 import SpanF1
from ner_lab.models.features.none import NoFeatures
from ner_lab.models.word_embedding.none import NoWords

TYPES = ("PER", "LOC", "creative-work", "B-PER", "O")
LETTERS = {"IO": "I", "IOB1": "IB", "IOB2": "IB", "IOBES": "IBES", "BILOU": "IBLU"}
LABELS = {scheme: ["O", *(f"{a}-{b}" for b in TYPES for a in letters)] for scheme, letters in LETTERS.items()}
AS_IOB = str.maketrans("ESLU", "IBIB")
LONGEST = 12


class Pair(NamedTuple):
    """A sentence's gold tags and a guess at them, in one scheme."""

    gold: list[str]
    guess: list[str]


def entity(rng: random.Random, scheme: str, before: str) -> list[str]:
    """An entity as the scheme writes it behind the tag `before`."""
    kind, length = rng.choice(TYPES), rng.choice((1, 1, 1, 2, 2, 3, 5))
    opening = {"IO": "I", "IOB1": "B" if before[2:] == kind else "I"}.get(scheme, "B")
    letters = opening + "I" * (length - 1)
    if scheme in ("IOBES", "BILOU"):
        single, last = "SE" if scheme == "IOBES" else "UL"
        letters = single if length == 1 else "B" + "I" * (length - 2) + last
    return [f"{letter}-{kind}" for letter in letters]


def proper(rng: random.Random, scheme: str) -> list[str]:
    tags: list[str] = []
    while len(tags) < rng.randint(0, LONGEST):
        tags += entity(rng, scheme, tags[-1] if tags else "O") if rng.random() < 0.6 else ["O"]
    return tags


def noisy(rng: random.Random, scheme: str, tags: list[str], share: float) -> list[str]:
    return [rng.choice(LABELS[scheme]) if rng.random() < share else tag for tag in tags]


def pairs(seed: int, scheme: str) -> Iterator[Pair]:
    """Without end: proper tags, tags with mistakes in them, and nothing but noise; some sentences are empty."""
    rng = random.Random(f"{seed} {scheme}")
    while True:
        gold = proper(rng, scheme)
        other = proper(rng, scheme)[: len(gold)]
        yield Pair(gold, list(gold))
        yield Pair(gold[: len(other)], other)
        yield Pair(gold, noisy(rng, scheme, gold, 0.2))
        yield Pair(noisy(rng, scheme, gold, 0.1), noisy(rng, scheme, gold, 0.3))
        yield Pair(*(noisy(rng, scheme, gold, 1.0) for _ in range(2)))


def some(scheme: str, number: int) -> list[Pair]:
    """So many tag sequences, two in each pair."""
    return list(islice(pairs(number, scheme), number // 2))


def letter_by_letter(tags: list[str]) -> list[str]:
    return [tag[0].translate(AS_IOB) + tag[1:] for tag in tags]


def lines_of(sentences: list[Pair]) -> list[str]:
    """A file of predictions, all letters rewritten as B and I."""
    lines = []
    for pair in sentences:
        rows = zip(letter_by_letter(pair.gold), letter_by_letter(pair.guess), strict=True)
        lines += [*(f"x {gold} {guess}" for gold, guess in rows), ""]
    return lines


def counted(metric: SpanF1, sentences: list[Pair], labels: list[str]) -> None:
    """Count a batch, with noise at padding."""
    number = {tag: index for index, tag in enumerate(labels)}
    lengths = torch.tensor([len(pair.gold) for pair in sentences])
    mask = torch.arange(int(lengths.max()) + 1) < lengths[:, None]
    tensors = [torch.randint(len(labels), mask.shape) for _ in range(2)]
    for tensor, side in zip(tensors, ("gold", "guess"), strict=True):
        tensor[mask] = torch.tensor([number[tag] for pair in sentences for tag in getattr(pair, side)])
    metric.update(tensors[1], tensors[0], mask)


amounts = pytest.mark.parametrize("number", [2_000, pytest.param(100_000, marks=pytest.mark.soak)])
schemes = pytest.mark.parametrize("scheme", SCHEMES)


@amounts
@schemes
def test_spans_and_counts_are_conllevals_on_random_sequences(scheme: str, number: int) -> None:
    made = some(scheme, number)
    shares = [sum(is_proper(pair[side], scheme) for pair in made) / len(made) for side in (0, 1)]
    assert all(0.2 < share < 0.95 for share in shares) or scheme == "IO", "proper ones and improper ones"
    assert {0, 1} < {len(pair.gold) for pair in made}
    labels = LABELS[scheme]
    for begin in range(0, len(made), 250):
        batch = made[begin : begin + 250]
        for pair in batch:
            for tags in pair:
                assert as_iob(tags) == letter_by_letter(tags)
                assert spans_of(tags) == chunks_of(letter_by_letter(tags)), tags
        metric = SpanF1(labels, scheme)
        counted(metric, batch, labels)
        found, report = metric.compute(), conlleval(lines_of(batch))
        for name, row in found["per_type"].items():  # type: ignore[attr-defined]
            counts = (report.correct[name], report.found[name], report.gold[name])
            assert (row["correct"], row["predicted"], row["gold"]) == counts, name
            assert [f"{row[figure]:.2f}" for figure in ("precision", "recall", "f1")] == report.figures(name)
        assert [f"{found[figure]:.2f}" for figure in ("precision", "recall", "f1")] == report.figures(*TYPES)
        assert found["tokens"] == report.tokens


@amounts
@schemes
def test_a_file_of_predictions_has_the_spans_in_memory(scheme: str, number: int) -> None:
    for pair in some(scheme, number):
        for tags in pair:
            assert chunks_of(as_written(tags, scheme)) == spans_of(tags), tags


ENCODINGS = {"IO": "IO", "IOB1": "IOB", "IOB2": "BIO", "IOBES": "BIOES", "BILOU": "BILOU"}


def seqscores_spans(tags: list[str], encoding: str) -> list[tuple[str, int, int]]:
    """What seqscore reads, after it has mended the tags by conlleval's rules."""
    reading = get_encoding(encoding)
    if encoding in ("BIO", "IOB"):
        tags = list(validate_labels(tags, reading, repair="conlleval").repaired_labels) or tags
    return [(mention.type, mention.span.start, mention.span.end) for mention in reading.decode_labels(tags)]


@amounts
@schemes
def test_spans_are_seqscores_after_conllevals_repair(scheme: str, number: int) -> None:
    read = 0
    for pair in some(scheme, number):
        for tags in filter(None, pair):
            spans = spans_of(tags)
            assert seqscores_spans(letter_by_letter(tags), "BIO") == spans, tags
            if scheme in ("IO", "IOB1") or is_proper(tags, scheme):
                assert seqscores_spans(tags, ENCODINGS[scheme]) == spans, tags
                read += 1
    assert read > number / 4


class Recital(nn.Module):
    """A tagger that recites rows of labels, each by the number of its sentence."""

    def __init__(self, rows: list[list[int]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.rows = rows

    def decode(self, batch: Batch) -> Tensor:
        best = torch.zeros(batch.mask.shape, dtype=torch.long)
        for row, number in enumerate(batch.sentences.tolist()):
            best[row, : batch.lengths[row]] = torch.tensor(self.rows[number])
        return best


@schemes
def test_a_table_of_scores_prints_what_conlleval_prints_of_the_file_of_predictions(scheme: str, tmp_path: Path) -> None:
    rng = random.Random(scheme)
    gold = [tags for tags in (proper(rng, scheme) for _ in range(400)) if tags]
    text = "".join("".join(f"w{place} {tag}\n" for place, tag in enumerate(tags)) + "\n" for tags in gold)
    for split in ("train", "dev"):
        (tmp_path / f"{split}.conll").write_text(text, encoding="utf-8")
    options = DataOptions(
        name="files",
        train=str(tmp_path / "train.conll"),
        dev=str(tmp_path / "dev.conll"),
        cache_dir=str(tmp_path / "cache"),
        scheme=scheme,
    )
    prepared = prepare(options, NoFeatures(), NoWords())
    guesses = [noisy(rng, scheme, tags, 0.3) for tags in gold]
    rows = [[prepared.labels.index(tag) for tag in tags] for tags in guesses]
    scored = score(Recital(rows), prepared.splits["dev"], prepared.labels, scheme, 200)  # type: ignore[arg-type]
    scored.write(tmp_path / "predictions.conll")
    report = conlleval((tmp_path / "predictions.conll").read_text(encoding="utf-8").splitlines())
    _, _, *table = score_table({"dev": scored.scores}).splitlines()
    printed = {row.split()[0]: row.split()[1:] for row in table}
    for name in sorted(TYPES):
        counts = [str(counts[name]) for counts in (report.gold, report.found, report.correct)]
        assert printed[name] == report.figures(name) + counts
    assert printed["all"][:3] == report.figures(*TYPES)
    assert f"accuracy {report.accuracy} %" in table[-1]
    assert report.tokens == sum(map(len, gold))
