"""A cache of word vectors by spelling, kept across texts."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ner_lab.data.encoding import FormTable
from ner_lab.models.tagger import Embedder

_MOST = 50_000  # spellings kept: covers nearly all of English news, in about ten megabytes
_LETTERS = 2**14  # characters encoded together


_IN_USE: "weakref.WeakSet[Spellings]" = weakref.WeakSet()


class Spellings:
    """Caches the embedder's output for single words: word vector and character vector.

    Texts repeat most of their words, so each spelling is encoded once. When there are too many, all
    are dropped: frequent words soon return.

    Safe in threads, after an exception, and in a process forked at any moment: a row is registered only after its
    vector is filled, a filled row never changes, and a call gets the table that its rows belong to.

    table: spellings -> their table of forms, under the tagger's normalisation.
    most: maximum number of spellings kept, unless one call has more.
    """

    def __init__(self, embedder: Embedder, table: Callable[[Sequence[str]], FormTable], *, most: int = _MOST) -> None:
        self._embedder = embedder
        self._table = table
        self._most = most
        self._rows: dict[str, int] = {}
        self._state: list[tuple[int, int]] = []
        self._vectors = torch.empty(0, embedder.spelling_dim)  # (spellings, dim)
        self._renew_lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._renew_lock()

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()
        _IN_USE.add(self)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, words: Sequence[str]) -> tuple[np.ndarray, Tensor]:
        """The row of each word (words,), and the vectors (spellings, dim) to which the rows refer."""
        with self._lock:
            self._notice_changes()
            new = [word for word in dict.fromkeys(words) if word not in self._rows]
            if len(self._rows) + len(new) > self._most:
                self._forget()
                new = list(dict.fromkeys(words))
            if new:
                self._add(new)
            return np.fromiter(map(self._rows.__getitem__, words), dtype=np.int64, count=len(words)), self._vectors

    def _add(self, new: list[str]) -> None:
        new.sort(key=len)
        before = known = len(self._rows)
        self._make_room(known + len(new))
        for part in _of_like_length(new):
            table = self._table(part)
            found = self._embedder.embed_words(
                *(self._tensor(numbers) for numbers in (table.words, table.chars, table.lengths))
            )
            self._vectors[known : known + len(part)] = found
            known += len(part)
        self._rows |= zip(new, range(before, known), strict=True)

    def _notice_changes(self) -> None:
        """Clear the cache if weights were moved, loaded or trained since."""
        state = [(weights.data_ptr(), weights._version) for weights in self._embedder.parameters()]
        if state != self._state:
            self._forget()  # first: a process forked in between must not use old vectors
            self._state = state

    def _forget(self) -> None:
        """Start a new table; calls in progress in other threads keep theirs."""
        self._rows = {}
        device = next((weights.device for weights in self._embedder.parameters()), None)
        self._vectors = torch.empty(0, self._embedder.spelling_dim, device=device)

    def _make_room(self, number: int) -> None:
        if number <= len(self._vectors):
            return
        room = max(number, min(2 * len(self._vectors), self._most))
        vectors = self._vectors.new_empty(room, self._embedder.spelling_dim)
        if self._rows:
            vectors[: len(self._rows)] = self._vectors[: len(self._rows)]
        self._vectors = vectors

    def _tensor(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers).to(self._vectors.device)


def _after_fork() -> None:
    """Renew the locks in a forked process, where no thread would release a lock held at the fork."""
    for spellings in list(_IN_USE):
        spellings._renew_lock()


os.register_at_fork(after_in_child=_after_fork)


def _of_like_length(words: list[str]) -> Iterator[list[str]]:
    """Split `words`, which are sorted by length, into parts that need little padding."""
    begin = 0
    for end, word in enumerate(words):
        if end > begin and (end + 1 - begin) * len(word) > _LETTERS:
            yield words[begin:end]
            begin = end
    yield words[begin:]
