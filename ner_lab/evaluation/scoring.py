"""Score a tagger on a split: counts, strict F1, predictions in CoNLL columns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import TextColumn

from ner_lab.data.batching.batch import BatchPlan, eval_batches, tokens_at_once
from ner_lab.data.encoding import EncodedSplit
from ner_lab.data.readers.conll import write_columns
from ner_lab.data.tags import as_written, spans_of
from ner_lab.evaluation.conlleval import strict_f1
from ner_lab.evaluation.oov import oov_scores
from ner_lab.evaluation.precision_recall import percent
from ner_lab.evaluation.span_f1 import SpanF1
from ner_lab.io.atomic import whole_file
from ner_lab.io.terminal import bar
from ner_lab.models.tagger import Tagger

_COUNTED = 2**17  # tokens whose tags are compared at a time


@dataclass
class Scored:
    """A split with its predictions, in file order."""

    split: EncodedSplit
    gold: list[list[str]]
    """IOB2, as the file has it: an I- that opens an entity stays an I-"""
    predicted: list[list[str]]
    """IOB2, as predicted: improper sequences are not repaired"""
    scores: dict[str, Any]
    """`SpanF1.compute()`, `f1_strict`, `improper_gold` (sentences whose gold tags are no proper IOB2), and `oov`
    where it is known of the words (see `ner_lab.evaluation.oov`)"""

    def write(self, path: Path) -> None:
        """Write `token gold predicted` with a blank line between sentences, as conlleval reads it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as out:
            rows = zip(range(len(self.split)), self.gold, self.predicted, strict=True)
            write_columns(out, ([self.split.words_of(number), gold, tags] for number, gold, tags in rows))


def predict_labels(
    tagger: Tagger, split: EncodedSplit, batch_tokens: int, *, show_bar: bool = False
) -> list[list[int]]:
    """Indices of the best tags of every sentence, in the split's order."""
    device = next(tagger.parameters()).device
    predicted: list[list[int]] = [[] for _ in range(len(split))]
    was_training = tagger.training
    tagger.eval()
    with torch.inference_mode(), bar(TextColumn(""), shown=show_bar) as progress:
        task = progress.add_task(f"tagging {split.name}", total=len(split))
        for batch in eval_batches(split, batch_tokens):
            best = tagger.decode(batch.to(device)).tolist()
            for number, length, row in zip(batch.sentences.tolist(), batch.lengths.tolist(), best, strict=True):
                predicted[number] = row[:length]
            progress.advance(task, len(batch))
    tagger.train(was_training)
    return predicted


def score(
    tagger: Tagger,
    split: EncodedSplit,
    labels: list[str],
    scheme: str,
    batch_tokens: int,
    word_classes: Mapping[str, str] | None = None,
) -> Scored:
    """Tag the entire split and score it; `labels` are the tags by index, in `scheme`.

    word_classes: of each spelling (`Vocabs.word_classes`), for scores by class.
    """
    guesses = predict_labels(tagger, split, tokens_at_once(batch_tokens, len(labels)), show_bar=True)
    metric = SpanF1(labels, scheme, sync_on_compute=False)
    gold, predicted = [], []
    for number, guess in enumerate(guesses):
        truth = split.labels[split.starts[number] : split.starts[number + 1]].tolist()
        gold.append(as_written([labels[label] for label in truth], scheme))
        predicted.append(as_written([labels[label] for label in guess], scheme))
    for padded in _padded(guesses, split):
        metric.update(*padded)
    improper = _as_in_file(gold, split)
    scores = metric.compute() | {"f1_strict": strict_f1(gold, predicted), "improper_gold": improper}
    if improper:
        same = sum(map(eq, chain(*gold), chain(*predicted)))
        scores["accuracy"] = percent(same, len(split.labels))
    if word_classes:
        words = (split.words_of(number) for number in range(len(split)))
        spans = ([spans_of(tags) for tags in rows] for rows in (gold, predicted))
        if (by_class := oov_scores(zip(words, *spans, strict=True), word_classes)) is not None:
            scores["oov"] = by_class
    return Scored(split, gold, predicted, scores)


def _as_in_file(gold: list[list[str]], split: EncodedSplit) -> int:
    """Restore each I- that the file has in place of the B- required by its scheme; return the number of sentences."""
    sentences = np.searchsorted(split.starts, split.unopened, side="right") - 1
    for sentence, word in zip(sentences.tolist(), (split.unopened - split.starts[sentences]).tolist(), strict=True):
        gold[sentence][word] = f"I{gold[sentence][word][1:]}"
    return len(set(sentences.tolist()))


def _padded(guesses: list[list[int]], split: EncodedSplit) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield predicted labels, gold labels and mask, each (sentences, time), for some sentences at a time."""
    for sentences in BatchPlan(split.sentence_lengths, batch_size=None, batch_tokens=_COUNTED, shuffle=False).batches():
        lengths = torch.from_numpy(split.sentence_lengths[sentences])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        guess, gold = torch.zeros(2, *mask.shape, dtype=torch.long)
        guess[mask] = torch.tensor([label for number in sentences for label in guesses[number]], dtype=torch.long)
        starts = split.starts[sentences]
        places = torch.from_numpy(starts)[:, None] + torch.arange(mask.shape[1])
        gold[mask] = torch.from_numpy(split.labels)[places[mask]]
        yield guess, gold, mask
