"""flair's tagger in the sizes of Ma & Hovy (2016), and its training loop; needs the extra `bench`.

It has no character CNN: its letters go through a BiLSTM of 25 a direction (Lample et al. 2016).
"""

import itertools
import os
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # it asks hubs for what it is given here

import flair
import torch
from flair.data import Dictionary
from flair.data import Sentence as FlairSentence
from flair.datasets import DataLoader, FlairDatapointDataset
from flair.embeddings import CharacterEmbeddings, StackedEmbeddings, WordEmbeddings
from flair.models import SequenceTagger
from flair.training_utils import store_embeddings

from ner_lab.data.sentence import Sentence
from ner_lab.data.tags import spans_of

flair.device = torch.device("cpu")


def sentences(read: list[Sentence]) -> list[FlairSentence]:
    """Sentences with their entities as flair holds them; words are taken as they are."""
    made = []
    for one in read:
        sentence = FlairSentence(list(one.words))
        for kind, start, end in spans_of(one.tags):
            sentence[start:end].add_label("ner", kind)
        made.append(sentence)
    return made


def tagger(training: list[FlairSentence]) -> SequenceTagger:
    """Random vectors, fine-tuned; dropout .5, no word dropout, no projection: as near to ours as its options go."""
    letters, types = Dictionary(add_unk=True), Dictionary(add_unk=False)
    for letter in sorted({letter for sentence in training for token in sentence for letter in token.text}):
        letters.add_item(letter)
    for kind in sorted({label.value for sentence in training for label in sentence.get_labels("ner")}):
        types.add_item(kind)
    types.span_labels = True  # each type becomes the four tags of BIOES
    words = sorted({token.text for sentence in training for token in sentence})
    vocabulary = {word: number for number, word in enumerate(words)}
    table = WordEmbeddings(None, fine_tune=True, vocab=vocabulary, embedding_length=100, name="random")
    torch.nn.init.uniform_(table.embedding.weight, -0.17, 0.17)
    return SequenceTagger(
        hidden_size=200,
        embeddings=StackedEmbeddings([table, CharacterEmbeddings(letters)]),
        tag_dictionary=types,
        tag_type="ner",
        tag_format="BIOES",
        use_crf=True,
        reproject_embeddings=False,
        dropout=0.5,
        word_dropout=0.0,
        locked_dropout=0.0,
    )


class FlairTraining:
    """The inner loop of flair's ModelTrainer (loader, loss, backward, clipping, step), without its bookkeeping."""

    def __init__(self, training: list[FlairSentence]) -> None:
        self._training = FlairDatapointDataset(training)
        self._model = tagger(training)
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.015, momentum=0.9)
        self._batches: dict[int, Iterator[Any]] = {}

    def run(self, batch_size: int, seconds: float) -> float:
        """Train for about so long, on from where it stood -> tokens per second."""
        if batch_size not in self._batches:
            self._batches[batch_size] = self._forever(batch_size)
        self._model.train()
        tokens = 0
        begun = time.perf_counter()
        for batch in self._batches[batch_size]:
            tokens += sum(len(sentence) for sentence in batch)
            self._model.zero_grad()
            loss, _ = self._model.forward_loss(batch)
            loss.backward()
            store_embeddings(batch, "none")
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), 5.0)
            self._optimizer.step()
            if (passed := time.perf_counter() - begun) >= seconds:
                break
        return tokens / passed

    def _forever(self, batch_size: int) -> Iterator[Any]:
        for _ in itertools.count():
            yield from DataLoader(self._training, batch_size=batch_size, shuffle=True)
