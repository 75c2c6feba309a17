"""Batches laid out one behind another: what many batches hold, made by a few operations over whole arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ner_lab.data.encoding import EncodedSplit
from ner_lab.data.vocab import UNK


@dataclass
class Arrays:
    """For each field of `Batch` the numbers of all batches, flat, and the shape of each batch's part."""

    numbers: dict[str, np.ndarray]
    shapes: dict[str, list[tuple[int, ...]]]


class Singletons:
    """Words of train that occur once, some of them hidden (Lample et al. 2016, section 4.1).

    probability: with which such a word is shown as unknown, drawn anew at each presentation. What is
    drawn follows from seed, epoch and the token's place in the split alone: however its batch is cut,
    parted over processes and padded, and after a resumption, the same tokens are hidden.
    """

    def __init__(self, probability: float, seed: int) -> None:
        self.probability = probability
        self.seed = seed
        self.epoch = 0
        self._drawn = (-1, np.zeros(0, dtype=bool))

    def hidden(self, tokens: int) -> np.ndarray:
        """Of a split of so many tokens -> bool for each of them."""
        epoch, drawn = self._drawn
        if (epoch, len(drawn)) != (self.epoch, tokens):
            # the 1 sets it apart from the order of batches, which is drawn from seed and epoch as well
            generator = np.random.default_rng([self.seed, self.epoch, 1])
            drawn = generator.random(tokens, dtype=np.float32) < self.probability
            self._drawn = self.epoch, drawn
        return drawn


def lay_out(
    split: EncodedSplit, lengths: np.ndarray, batches: Sequence[np.ndarray], singletons: Singletons | None
) -> Arrays:
    """The numbers of the sentences of each batch -> everything a `Batch` holds.

    lengths: `split.sentence_lengths`.
    """
    sizes = np.array([len(batch) for batch in batches])
    sentences = np.concatenate(batches)
    first = _begins(sizes)
    own = lengths[sentences]
    times = np.maximum(np.maximum.reduceat(own, first), 1)  # of the batches
    width = np.repeat(times, sizes)  # of the sentences
    cells = sizes * times
    step = np.arange(width.sum()) - np.repeat(_begins(width), width)
    mask = step < np.repeat(own, width)
    padding = np.flatnonzero(~mask)
    step[padding] = 0  # padding has the spelling of the sentence's first token
    tokens = np.repeat(split.starts[sentences], width) + step
    forms = split.forms[tokens]
    words, tags, categories = split.table.words[forms], split.labels[tokens], split.categories[tokens]
    if singletons is not None:
        hidden = singletons.hidden(len(split.forms))[tokens]
        words[hidden & split.table.singletons[forms]] = UNK
    for values in (words, tags, categories):
        values[padding] = 0
    distinct, rows, spellings = _distinct(forms, cells)
    letters = np.maximum.reduceat(split.table.lengths[distinct], _begins(spellings))
    sparse, offsets, active = _sparse(split, tokens, padding, cells)
    grid = _shapes(sizes, times)
    return Arrays(
        numbers={
            "words": words,
            "chars": split.table.filled_up(distinct, np.repeat(letters, spellings)),
            "char_lengths": split.table.lengths[distinct],
            "forms": rows,
            "categories": categories.ravel(),
            "sparse": sparse,
            "sparse_offsets": offsets,
            "tags": tags,
            "mask": mask,
            "lengths": own,
            "sentences": sentences,
        },
        shapes={
            "words": grid,
            "chars": _shapes(spellings, letters),
            "char_lengths": _shapes(spellings),
            "forms": grid,
            "categories": _shapes(sizes, times, np.full_like(sizes, split.categories.shape[1])),
            "sparse": _shapes(active),
            "sparse_offsets": _shapes(cells if len(offsets) else np.zeros_like(cells)),
            "tags": grid,
            "mask": grid,
            "lengths": _shapes(sizes),
            "sentences": _shapes(sizes),
        },
    )


def _shapes(*sizes: np.ndarray) -> list[tuple[int, ...]]:
    return list(zip(*(size.tolist() for size in sizes), strict=True))


def _begins(counts: np.ndarray) -> np.ndarray:
    """Where each of some runs of so many numbers begins."""
    return np.cumsum(counts) - counts


def _distinct(forms: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The spellings of each batch in order of their numbers, the row of each cell among them, how many there are."""
    most = int(forms.max()) + 1
    keys = forms + np.repeat(np.arange(len(cells)) * most, cells)
    distinct, rows = np.unique(keys, return_inverse=True)
    of_batch, numbers = np.divmod(distinct, most)
    spellings = np.bincount(of_batch, minlength=len(cells))
    return numbers, rows - np.repeat(_begins(spellings), cells), spellings


def _sparse(
    split: EncodedSplit, tokens: np.ndarray, padding: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sparse features of all cells, where those of each begin within its batch, how many each batch has."""
    starts = split.sparse_starts
    if not len(starts):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(len(cells), dtype=np.int64)
    begins = starts[tokens]
    counts = starts[tokens + 1] - begins
    counts[padding] = 0
    offsets = _begins(counts)
    source = np.repeat(begins - offsets, counts)
    source += np.arange(len(source))
    active = np.add.reduceat(counts, _begins(cells))
    return split.sparse[source], offsets - np.repeat(_begins(active), cells), active
