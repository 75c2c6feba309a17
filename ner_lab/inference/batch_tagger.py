"""Tags batches of sentences: from words to the indices of their best tags."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, chain

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ner_lab.data.batching.batch import eval_batches, tokens_at_once
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import encode, form_table
from ner_lab.data.sentence import Sentence
from ner_lab.data.tags import OPENED_BY_I, as_written
from ner_lab.data.vocab import Vocabs
from ner_lab.inference.word_cache import Spellings
from ner_lab.models.features.base import FeatureSet
from ner_lab.models.tagger import Tagger


class BatchTagger:
    """A tagger for words alone: other columns that it was trained with are filled with `_`."""

    def __init__(self, tagger: Tagger, vocabs: Vocabs, options: DataOptions, features: FeatureSet) -> None:
        self._tagger = tagger
        self._vocabs = vocabs
        self._options = options
        self._features = features
        self._spellings = Spellings(tagger.embedder, partial(form_table, vocabs=vocabs, options=options))
        self._tokens_at_once = tokens_at_once(options.eval_batch_tokens, len(vocabs.tags))
        scheme = vocabs.tags.scheme
        self._written = None if scheme in OPENED_BY_I else as_written(vocabs.tags.items, scheme)

    @property
    def on_cpu(self) -> bool:
        return self._device.type == "cpu"

    @property
    def _device(self) -> torch.device:
        return next(self._tagger.parameters()).device

    def tags(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """The best tags of sentences in IOB2; a sentence without words gets an empty list."""
        filled = [words for words in sentences if words]
        labels = self.labels(filled).tolist() if filled else []
        names = self._written or self._vocabs.tags.items
        every = [names[label] for label in labels]
        ends = accumulate(map(len, sentences))
        tags = [every[end - len(words) : end] for words, end in zip(sentences, ends, strict=True)]
        return tags if self._written else [as_written(row, self._vocabs.tags.scheme) for row in tags]

    def labels(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Indices of the best tags of all words, sentence after sentence; each sentence has at least one word."""
        self._tagger.eval()
        with torch.inference_mode():
            if self._vocabs.features.columns or len(self._vocabs.features.sparse):
                return self._by_sentences(sentences)
            return self._by_spellings(sentences)

    def _by_spellings(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Tag when a word's vector depends only on its spelling."""
        lengths = np.array([len(words) for words in sentences])
        starts = np.cumsum(lengths) - lengths
        rows, vectors = self._spellings.rows(list(chain.from_iterable(sentences)))
        labels = np.zeros(len(rows), dtype=np.int64)
        for chosen in batches_of(lengths, self._tokens_at_once):
            own = lengths[chosen]
            steps = np.arange(own[0])
            mask = steps < own[:, None]
            tokens = starts[chosen][:, None] + steps * mask
            inputs = F.embedding(self._tensor(rows[tokens]), vectors)  # (batch, time, dim)
            best = self._tagger.decode_vectors(inputs, *(self._tensor(array) for array in (own, mask)))
            labels[tokens[mask]] = best.cpu().numpy()[mask]
        return labels

    def _by_sentences(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Tag when features depend on the sentence."""
        columns = [name for name in self._options.columns if name not in ("word", "tag")]
        rows = [
            Sentence(list(words), ["O"] * len(words), {name: ["_"] * len(words) for name in columns})
            for words in sentences
        ]
        split, _ = encode(rows, self._vocabs, self._options, self._features)
        labels = np.zeros(len(split.forms), dtype=np.int64)
        for batch in eval_batches(split, self._tokens_at_once):
            mask = batch.mask.numpy()
            steps = np.arange(mask.shape[1])
            tokens = split.starts[batch.sentences.numpy()][:, None] + steps
            labels[tokens[mask]] = self._tagger.decode(batch.to(self._device)).cpu().numpy()[mask]
        return labels

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def batches_of(lengths: np.ndarray, tokens: int, least: int = 16) -> Iterator[np.ndarray]:
    """Indices of the sentences of each batch, longest first, with about `tokens` tokens.

    All sentences of a batch have the same length, so there is no padding, unless that would leave fewer
    than `least` sentences in it.
    """
    order = np.argsort(-lengths, kind="stable")
    sorted_lengths = lengths[order]
    begin = 0
    while begin < len(order):
        longest = int(sorted_lengths[begin])
        most = begin + max(1, tokens // max(longest, 1))
        end = int(np.searchsorted(-sorted_lengths, -longest, side="right"))  # after the last of this length
        end = min(max(end, begin + least), most, len(order))
        yield order[begin:end]
        begin = end
