"""Loading ahead: what a thread makes while something else is used."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ner_lab.data.batching.batch import BatchMaker, BatchPlan
from ner_lab.data.batching.loader import BatchLoader, one_ahead


def test_what_is_made_ahead_comes_whole_and_in_order() -> None:
    assert list(one_ahead(iter(range(50)))) == list(range(50))
    assert list(one_ahead(iter([]))) == []
    assert list(one_ahead(iter([None, 0, None]))) == [None, 0, None]


def test_the_next_value_is_made_while_the_last_one_is_used_and_none_behind_it() -> None:
    made: list[int] = []
    third = threading.Event()

    def values() -> Iterator[int]:
        for value in range(9):
            made.append(value)
            if value == 2:
                third.set()
            yield value

    ahead = one_ahead(values())
    assert [next(ahead), next(ahead)] == [0, 1]
    assert third.wait(10)
    assert made == [0, 1, 2]
    ahead.close()  # type: ignore[attr-defined]


def test_a_value_is_made_in_another_thread() -> None:
    assert threading.get_ident() not in one_ahead(threading.get_ident() for _ in range(3))


def test_what_goes_wrong_in_the_thread_goes_wrong_here() -> None:
    def values() -> Iterator[int]:
        yield 1
        raise KeyError("gone")

    ahead = one_ahead(values())
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="gone"):
        next(ahead)


def test_no_thread_is_left_behind_by_who_stops_early() -> None:
    before = threading.active_count()
    ahead = one_ahead(iter(range(9)))
    assert next(ahead) == 0
    assert threading.active_count() == before + 1
    ahead.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


class Counted(BatchMaker):
    """Notes what is laid out."""

    def __init__(self) -> None:
        self.lengths = np.full(40, 3000)
        self.laid_out: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        pass

    def lay_out(self, items):  # type: ignore[no-untyped-def, override]
        self.laid_out.append(len(items))
        return Everywhere([int(item[0][0]) for item in items])


class Everywhere(list[int]):
    """A layout that is at home on any device."""

    def to(self, device: torch.device) -> "Everywhere":
        assert device.type != "cpu"
        return self


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_loader_follows_its_plan_on_every_device_and_holds_a_little_at_a_time(device: str) -> None:
    maker = Counted()
    plan = BatchPlan(maker.lengths, batch_size=1, seed=2)
    loader = BatchLoader(maker, plan, torch.device(device))
    seen = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        fresh = BatchPlan(maker.lengths, batch_size=1, seed=2)
        fresh.set_epoch(epoch)
        seen.append(list(loader))
        assert seen[-1] == [int(batch[0]) for batch in fresh.batches()]
    assert loader.batches_in_epoch == 40
    assert seen[0] != seen[1]
    assert max(maker.laid_out) == 3  # of 3,000 tokens each
