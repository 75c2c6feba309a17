"""Batches: how sentences are grouped, and what a batch holds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ner_lab.data.batching.collate import Singletons, lay_out
from ner_lab.data.encoding import EncodedSplit

_MOST_PLACES = 2**16
"""Maximum cells of a batch (sentences times the longest of them), if more than half would be padding."""

_MOST_PAIRS = 2**25
"""Maximum size of the scores of each token of an evaluation batch for each pair of tags: 128 MB in single precision."""

Item = tuple[np.ndarray, int, int, bool]
"""A planned batch: sentence indices of this process, global sentence and token counts, and whether it counts."""


@dataclass
class Batch:
    """Some sentences of a split. Dimensions: batch, time, forms, characters, columns."""

    words: Tensor
    """(batch, time) word numbers, 0 at padding"""
    chars: Tensor
    """(forms, characters) character numbers of the batch's distinct spellings, padded with 0"""
    char_lengths: Tensor
    """(forms,) characters in each spelling"""
    forms: Tensor
    """(batch, time) row of `chars` for each token; any row at padding"""
    categories: Tensor
    """(batch, time, columns) values of the dense features, 0 at padding"""
    sparse: Tensor
    """(active,) numbers of the sparse features of all tokens, concatenated"""
    sparse_offsets: Tensor
    """(batch * time,) start of each token's sparse features in `sparse`; empty without them"""
    tags: Tensor
    """(batch, time) gold labels, 0 at padding"""
    mask: Tensor
    """(batch, time) bool, True for a token"""
    lengths: Tensor
    """(batch,) tokens of each sentence"""
    sentences: Tensor
    """(batch,) number of each sentence in its split"""
    global_sentences: int = 0
    """Sentences of the batch over all processes"""
    global_tokens: int = 0
    """Tokens of the batch over all processes"""
    counts: bool = True
    """False for a filler: a process whose share of a small batch is empty repeats a sentence, uncounted"""

    def to(self, device: Any, non_blocking: bool = False) -> "Batch":
        if self.words.device == torch.device(device):
            return self
        tensors: dict[str, Any] = {
            field.name: value.to(device, non_blocking=non_blocking)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **tensors)

    def __len__(self) -> int:
        return len(self.lengths)


class BatchPlan:
    """The batches of each epoch in order, a function of (seed, epoch) alone.

    Sentences are shuffled, sorted by length (the shuffle breaks ties), cut into batches of `batch_size` sentences or at
    most `batch_tokens` tokens, and the batches shuffled.
    Without `group_by_length` there is no sorting; without `shuffle` batches are ordered from long to short.
    A batch that one very long sentence would fill with padding is split by length: see `_without_waste`.
    With several processes each gets its share of every batch, so `batch_size` is the global one.

    Yields (sentence indices of this process, sentences of the global batch, its tokens, whether they count). If a batch
    has fewer sentences than there are processes, the idle ones repeat one of them, so that all take the same number of
    steps.
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
        batches = [part for batch in self._cut(order) for part in self._without_waste(batch)]
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

    def _without_waste(self, batch: np.ndarray) -> Iterator[np.ndarray]:
        """The batch; if it is large and mostly padding, its longest sentences as one batch and the others as another.

        Otherwise a sentence of 20,000 tokens among nine others would take the memory of ten of that length.
        """
        while True:
            lengths = self.lengths[batch]
            longest = int(lengths.max(initial=0))
            if len(batch) * longest <= max(_MOST_PLACES, 2 * int(lengths.sum())):
                yield batch
                return
            are_long = 2 * lengths > longest
            yield batch[are_long]
            batch = batch[~are_long]

    def __iter__(self) -> Iterator[tuple[np.ndarray, int, int, bool]]:
        for batch in self.batches():
            mine = batch[self.rank :: self.world]
            tokens = int(self.lengths[batch].sum())
            yield (mine, len(batch), tokens, True) if len(mine) else (batch[:1], len(batch), tokens, False)

    def __len__(self) -> int:
        return len(self.batches())


class BatchMaker:
    """Turns sentence indices into batches: one at a time, or many laid out together in a fraction of the time.

    singleton_unk: probability with which a word that occurs once in train is shown as unknown, see `Singletons`.
    """

    def __init__(self, split: EncodedSplit, *, singleton_unk: float = 0.0, seed: int = 0) -> None:
        self.split = split
        self.lengths = split.sentence_lengths
        self.singletons = Singletons(singleton_unk, seed) if singleton_unk else None

    def set_epoch(self, epoch: int) -> None:
        if self.singletons is not None:
            self.singletons.epoch = epoch

    def __getitem__(self, item: Item) -> Batch:
        (batch,) = self.lay_out([item])
        return batch

    def lay_out(self, items: Sequence[Item]) -> "Layout":
        """The batches of these items; at least one item."""
        arrays = lay_out(self.split, self.lengths, [sentences for sentences, *_ in items], self.singletons)
        numbers = {name: torch.from_numpy(array) for name, array in arrays.numbers.items()}
        return Layout(numbers, arrays.shapes, [item[1:] for item in items])

    def layouts(self, items: Iterable[Item], tokens: int = 2**13) -> Iterator["Layout"]:
        """All items in order, in layouts of about `tokens` tokens, to bound the memory in use."""
        together: list[Item] = []
        held = 0
        for item in items:
            together.append(item)
            held += int(self.lengths[item[0]].sum())
            if held >= tokens:
                yield self.lay_out(together)
                together, held = [], 0
        if together:
            yield self.lay_out(together)


@dataclass
class Layout:
    """Several batches, concatenated: the numbers of all, and the shape of each batch's part."""

    numbers: dict[str, Tensor]
    shapes: dict[str, list[tuple[int, ...]]]
    totals: list[tuple[int, int, bool]]
    """The non-tensor fields of each batch"""

    def to(self, device: torch.device) -> "Layout":
        """Move to a device with one copy per field; from pinned memory the copy to a GPU is asynchronous."""
        numbers = self.numbers
        if device.type == "cuda":
            numbers = {name: tensor.pin_memory() for name, tensor in numbers.items()}
        return replace(self, numbers={name: tensor.to(device, non_blocking=True) for name, tensor in numbers.items()})

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches; their tensors are views."""
        fields = [self._parts(name) for name in _TENSORS]
        for totals, *tensors in zip(self.totals, *fields, strict=True):
            yield Batch(*tensors, *totals)

    def _parts(self, name: str) -> Iterable[Tensor]:
        numbers, shapes = self.numbers[name], self.shapes[name]
        sizes = [prod(shape) for shape in shapes]
        if len(shapes[0]) == 1:
            return numbers.split(sizes)
        begins = accumulate(sizes, initial=0)
        # one call for each batch; slicing and viewing would take two
        return (
            numbers.as_strided(shape, (prod(shape[1:]), shape[-1], 1)[-len(shape) :], begin)
            for shape, begin in zip(shapes, begins, strict=False)
        )


_TENSORS = [field.name for field in fields(Batch) if field.type is Tensor]


def tokens_at_once(batch_tokens: int, tags: int) -> int:
    """Tokens of an evaluation batch: `batch_tokens`, or fewer if scores of all pairs of `tags` need much memory."""
    return max(1, min(batch_tokens, _MOST_PAIRS // tags**2))


def eval_batches(split: EncodedSplit, batch_tokens: int) -> Iterator[Batch]:
    """The full split once, grouped by length, without randomness."""
    maker = BatchMaker(split)
    plan = BatchPlan(maker.lengths, batch_size=None, batch_tokens=batch_tokens, shuffle=False)
    for layout in maker.layouts(plan):
        yield from layout
