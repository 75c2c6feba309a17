"""Batches: which sentences go together, and what a batch holds."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ner_lab.data.encode import EncodedSplit
from ner_lab.data.vocab import UNK


@dataclass
class Batch:
    """Some sentences of a split. Dimensions: batch, time, forms, letters, columns."""

    words: Tensor
    """(batch, time) word numbers, 0 at padding"""
    chars: Tensor
    """(forms, letters) character numbers of the batch's distinct spellings, 0 behind the last letter"""
    char_lengths: Tensor
    """(forms,) letters of each spelling"""
    forms: Tensor
    """(batch, time) row of `chars` for each token; any row at padding"""
    categories: Tensor
    """(batch, time, columns) values of the dense features, 0 at padding"""
    sparse: Tensor
    """(active,) numbers of the sparse features of all tokens, one token after another"""
    sparse_offsets: Tensor
    """(batch * time,) where each token's sparse features begin in `sparse`; empty without them"""
    tags: Tensor
    """(batch, time) gold labels, 0 at padding"""
    mask: Tensor
    """(batch, time) bool, True for a token"""
    lengths: Tensor
    """(batch,) tokens of each sentence"""
    sentences: Tensor
    """(batch,) number of each sentence in its split"""
    global_sentences: int = 0
    """Sentences of the whole batch over all processes"""
    global_tokens: int = 0
    """Tokens of the whole batch over all processes"""
    counts: bool = True
    """False for a filler: a process whose part of a small batch is empty repeats a sentence, uncounted"""

    def to(self, device: Any, non_blocking: bool = False) -> "Batch":
        tensors: dict[str, Any] = {
            field.name: value.to(device, non_blocking=non_blocking)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **tensors)

    def __len__(self) -> int:
        return len(self.lengths)


class BatchPlan:
    """An order of batches for each epoch, a function of (seed, epoch) alone.

    Sentences are shuffled, sorted by length (the shuffle decides among equal ones), cut into
    batches of `batch_size` sentences or at most `batch_tokens` tokens, and the batches shuffled.
    Without `group_by_length` there is no sorting; without `shuffle` batches go from long to short.
    With several processes each gets its part of every batch, so `batch_size` is the global one.

    Yields (sentence numbers of this process, sentences of the global batch, its tokens, whether
    they count): where a batch has fewer sentences than there are processes, the idle ones repeat
    one of them, so that all take the same number of steps.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        batch_size: int | None,
        batch_tokens: int | None = None,
        group_by_length: bool = True,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.group_by_length = group_by_length
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def batches(self) -> list[np.ndarray]:
        """All global batches of this epoch, in order."""
        generator = np.random.default_rng([self.seed, self.epoch])
        order = np.arange(len(self.lengths))
        if self.shuffle:
            generator.shuffle(order)
        if self.group_by_length:
            order = order[np.argsort(-self.lengths[order], kind="stable")]
        batches = self._cut(order)
        if self.shuffle:
            batches = [batches[number] for number in generator.permutation(len(batches))]
        return batches

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        if self.batch_tokens is None:
            assert self.batch_size is not None
            return np.split(order, range(self.batch_size, len(order), self.batch_size))
        cuts: list[int] = []
        tokens = begin = 0
        for position, length in enumerate(self.lengths[order]):
            crowded = self.batch_size is not None and position - begin >= self.batch_size
            if position > begin and (tokens + length > self.batch_tokens or crowded):
                cuts.append(position)
                begin, tokens = position, 0
            tokens += length
        return np.split(order, cuts)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int, int, bool]]:
        for batch in self.batches():
            mine = batch[self.rank :: self.world]
            tokens = int(self.lengths[batch].sum())
            yield (mine, len(batch), tokens, True) if len(mine) else (batch[:1], len(batch), tokens, False)

    def __len__(self) -> int:
        return len(self.batches())


class BatchMaker:
    """Turns sentence numbers into a `Batch`. A map-style dataset for a DataLoader without collation.

    singleton_unk: probability with which a word that occurs once in train is shown as unknown, drawn
    anew at each presentation (Lample et al. 2016, section 4.1).
    """

    def __init__(self, split: EncodedSplit, *, singleton_unk: float = 0.0, seed: int = 0) -> None:
        self.split = split
        self.singleton_unk = singleton_unk
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, item: tuple[np.ndarray, int, int, bool]) -> Batch:
        sentences, global_sentences, global_tokens, counts = item
        split, table = self.split, self.split.table
        lengths = split.sentence_lengths[sentences]
        time = int(lengths.max(initial=1))
        steps = np.arange(time)
        mask = steps < lengths[:, None]  # (batch, time)
        tokens = np.where(mask, split.starts[sentences][:, None] + steps, split.starts[sentences][:, None])
        form_numbers = split.forms[tokens]  # (batch, time)
        distinct, rows = np.unique(form_numbers, return_inverse=True)
        char_lengths = table.lengths[distinct]
        words = np.where(mask, table.words[form_numbers], 0)
        if self.singleton_unk:
            words = self._hide_singletons(words, table.singletons[form_numbers] & mask, sentences)
        sparse, offsets = self._sparse(tokens, mask)
        return Batch(
            words=torch.from_numpy(words),
            chars=torch.from_numpy(table.chars[distinct, : int(char_lengths.max())]),
            char_lengths=torch.from_numpy(char_lengths),
            forms=torch.from_numpy(rows.reshape(form_numbers.shape)),
            categories=torch.from_numpy(np.where(mask[:, :, None], split.categories[tokens], 0)),
            sparse=torch.from_numpy(sparse),
            sparse_offsets=torch.from_numpy(offsets),
            tags=torch.from_numpy(np.where(mask, split.labels[tokens], 0)),
            mask=torch.from_numpy(mask),
            lengths=torch.from_numpy(lengths),
            sentences=torch.from_numpy(np.asarray(sentences)),
            global_sentences=global_sentences,
            global_tokens=global_tokens,
            counts=counts,
        )

    def _hide_singletons(self, words: np.ndarray, singletons: np.ndarray, sentences: np.ndarray) -> np.ndarray:
        # drawn from (seed, epoch, first sentence): no state, so workers and resumed runs agree
        generator = np.random.default_rng([self.seed, self.epoch, int(sentences[0])])
        hidden = singletons & (generator.random(words.shape) < self.singleton_unk)
        return np.where(hidden, UNK, words)

    def _sparse(self, tokens: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts = self.split.sparse_starts
        if not len(starts):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        flat = tokens.ravel()
        counts = np.where(mask.ravel(), starts[flat + 1] - starts[flat], 0)
        offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
        within = np.arange(counts.sum()) - np.repeat(offsets, counts)
        return self.split.sparse[np.repeat(starts[flat], counts) + within], offsets


def eval_batches(split: EncodedSplit, batch_tokens: int) -> Iterator[Batch]:
    """The whole split once, grouped by length, without any randomness."""
    maker = BatchMaker(split)
    plan = BatchPlan(split.sentence_lengths, batch_size=None, batch_tokens=batch_tokens, shuffle=False)
    for item in plan:
        yield maker[item]
