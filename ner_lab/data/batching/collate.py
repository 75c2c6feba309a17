"""Lay out many batches, one after another, with a few operations over whole arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ner_lab.data.encoding import EncodedSplit
from ner_lab.data.vocab import UNK


@dataclass
class Arrays:
    """For each field of `Batch`, the numbers of all batches, flat, and the shape of each batch's part."""

    numbers: dict[str, np.ndarray]
    shapes: dict[str, list[tuple[int, ...]]]


class Singletons:
    """Words that occur once in train, some of them hidden (Lample et al. 2016, section 4.1).

    probability: with which a singleton is shown as unknown, drawn again at each presentation. The draw depends only on
    seed, epoch and the token's position in the split, so the same tokens are hidden however a batch is cut, distributed
    over processes or padded, and after resuming.
    """

    def __init__(self, probability: float, seed: int) -> None:
        self.probability = probability
        self.seed = seed
        self.epoch = 0
        self._drawn = (-1, np.zeros(0, dtype=bool))

    def hidden(self, tokens: int) -> np.ndarray:
        """Number of tokens in a split -> bool for each of them."""
        epoch, drawn = self._drawn
        if (epoch, len(drawn)) != (self.epoch, tokens):
            # the 1 separates this stream from the order of batches, which also uses seed and epoch
            generator = np.random.default_rng([self.seed, self.epoch, 1])
            drawn = generator.random(tokens, dtype=np.float32) < self.probability
            self._drawn = self.epoch, drawn
        return drawn


def lay_out(
    split: EncodedSplit, lengths: np.ndarray, batches: Sequence[np.ndarray], singletons: Singletons | None
) -> Arrays:
    """Sentence indices of each batch -> all fields of `Batch`.

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
    step[padding] = 0  # padding gets the spelling of the sentence's first token
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
    """The start of each run, given the lengths of the runs."""
    return np.cumsum(counts) - counts


def _distinct(forms: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct spellings of each batch in numeric order, the row of each cell among them, and their count."""
    most = int(forms.max()) + 1
    keys = forms + np.repeat(np.arange(len(cells)) * most, cells)
    distinct, rows = np.unique(keys, return_inverse=True)
    of_batch, numbers = np.divmod(distinct, most)
    spellings = np.bincount(of_batch, minlength=len(cells))
    return numbers, rows - np.repeat(_begins(spellings), cells), spellings


def _sparse(
    split: EncodedSplit, tokens: np.ndarray, padding: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sparse features of all cells, the start of each cell's within its batch, and the number in each batch."""
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
