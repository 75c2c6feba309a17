"""Rows moved when they are read stand where plain SGD over the whole table puts them."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ner_lab.training.optimizers.lazy_sgd import LazySGD

ROWS, DIM = 7, 3


class Table(nn.Module):
    """A look-up table that tells which rows it reads, or one with whole gradients."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(5)).double())
        self.linear = nn.Parameter(torch.ones(DIM, dtype=torch.double))
        self.sparse = sparse

    def embedding_rows(self, rows: Tensor) -> tuple[nn.Parameter, Tensor]:
        return self.weight, rows

    def forward(self, rows: Tensor) -> Tensor:
        return F.embedding(rows, self.weight, sparse=self.sparse)


def pair(**options: Any) -> list[tuple[Table, torch.optim.Optimizer]]:
    """A table moved by rows, and one moved whole by torch."""
    by_rows, whole = Table(sparse=True), Table(sparse=False)
    return [
        (by_rows, LazySGD(by_rows, by_rows.parameters(), fused=True, **options)),
        (whole, torch.optim.SGD(whole.parameters(), **options)),
    ]


def one_step(table: Table, optimizer: torch.optim.Optimizer, rows: list[int]) -> float:
    optimizer.zero_grad()
    loss = ((table(torch.tensor(rows)) @ table.linear + 0.3) ** 2).sum()
    loss.backward()
    optimizer.step()
    return loss.item()


sgd_settings = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([0.01, 0.05]),
        "momentum": st.sampled_from([0.0, 0.5, 0.9]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "nesterov": st.booleans(),
    }
).map(lambda found: found | {"nesterov": found["nesterov"] and found["momentum"] > 0})
reading = st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=5)


@settings(deadline=None, max_examples=60)
@given(sgd_settings, st.lists(st.one_of(reading, st.sampled_from(["slower", "evaluate", "save"])), max_size=25))
def test_every_loss_and_every_reading_is_that_of_plain_sgd(options: dict[str, Any], events: list[Any]) -> None:
    (by_rows, row_optimizer), (whole, optimizer) = pair(**options)
    for event in events:
        if event == "slower":
            for one in (row_optimizer, optimizer):
                one.param_groups[0]["lr"] *= 0.5
        elif event == "evaluate":
            with torch.inference_mode():
                found = [table.eval()(torch.arange(2)) for table in (by_rows, whole)]
            torch.testing.assert_close(*found)
            torch.testing.assert_close(by_rows.weight, whole.weight)  # all rows, not those alone that were read
            by_rows.train(), whole.train()
        elif event == "save":
            torch.testing.assert_close(by_rows.state_dict()["weight"], whole.state_dict()["weight"])
        else:
            losses = [one_step(*side, event) for side in ((by_rows, row_optimizer), (whole, optimizer))]
            assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    torch.testing.assert_close(by_rows.state_dict(), whole.state_dict())


def test_rows_left_behind_for_a_thousand_steps_are_brought_forward() -> None:
    (by_rows, row_optimizer), (whole, optimizer) = pair(lr=0.01, momentum=0.9, weight_decay=0.01)
    for rows in ([1, 2, 3], *[[1]] * 1000, [2, 3, 3]):
        assert one_step(by_rows, row_optimizer, rows) == pytest.approx(one_step(whole, optimizer, rows), rel=1e-9)
    torch.testing.assert_close(by_rows.state_dict(), whole.state_dict())


def test_a_step_leaves_alone_what_it_did_not_read() -> None:
    """The point of it all: rows that stay behind are not written."""
    (table, optimizer), _ = pair(lr=0.1, momentum=0.9)
    one_step(table, optimizer, [1, 2])
    before = table.weight.detach().clone()
    one_step(table, optimizer, [4])
    assert table.weight[:4].equal(before[:4])
    assert not table.weight[4].equal(before[4])
    assert not table.state_dict()["weight"][1].equal(before[1])  # momentum carries it on


def test_training_goes_on_from_a_saved_state_as_if_it_had_not_stopped() -> None:
    (table, optimizer), _ = pair(lr=0.05, momentum=0.9, weight_decay=0.1)
    for rows in ([0, 1], [2], [5, 5]):
        one_step(table, optimizer, rows)
    saved = copy.deepcopy((table.state_dict(), optimizer.state_dict()))
    (resumed, again), _ = pair(lr=0.05, momentum=0.9, weight_decay=0.1)
    resumed.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    for rows in ([1, 3], [0], [2, 5]):
        assert one_step(table, optimizer, rows) == pytest.approx(one_step(resumed, again, rows), rel=1e-12)
    torch.testing.assert_close(table.state_dict(), resumed.state_dict())


def test_the_velocity_saved_is_that_of_plain_sgd() -> None:
    (by_rows, row_optimizer), (whole, optimizer) = pair(lr=0.05, momentum=0.9)
    for rows in ([0, 1], [2], [1, 5]):
        one_step(by_rows, row_optimizer, rows)
        one_step(whole, optimizer, rows)
    torch.testing.assert_close(
        row_optimizer.state_dict()["state"][0]["momentum_buffer"], optimizer.state_dict()["state"][0]["momentum_buffer"]
    )


def test_gradients_stay_readable_behind_a_step() -> None:
    (table, optimizer), _ = pair(lr=0.05, momentum=0.9)
    one_step(table, optimizer, [0, 1, 1])
    assert table.weight.grad is not None
    assert table.weight.grad.is_sparse


def test_a_closure_is_evaluated_once_and_its_loss_handed_on() -> None:
    (table, optimizer), _ = pair(lr=0.05, momentum=0.9)
    calls = []

    def closure() -> Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = table(torch.tensor([1])).sum()
        loss.backward()
        return loss

    before = table.weight[1].detach().clone()
    loss = optimizer.step(closure)
    assert loss.item() == pytest.approx(before.sum().item())
    assert calls == [1]
    torch.testing.assert_close(table.weight[1], before - 0.05)


def test_a_second_optimizer_over_the_same_table_takes_over_where_the_first_one_stood() -> None:
    (by_rows, row_optimizer), (whole, optimizer) = pair(lr=0.05, momentum=0.9)
    for rows in ([0, 1], [2], [5]):
        one_step(by_rows, row_optimizer, rows)
        one_step(whole, optimizer, rows)
    again = LazySGD(by_rows, by_rows.parameters(), fused=True, lr=0.05, momentum=0.9)
    plain = torch.optim.SGD(whole.parameters(), lr=0.05, momentum=0.9)
    for rows in ([0, 3], [1], [2, 5]):
        assert one_step(by_rows, again, rows) == pytest.approx(one_step(whole, plain, rows), rel=1e-9)
    torch.testing.assert_close(by_rows.state_dict(), whole.state_dict())


def test_gradients_added_up_over_several_readings_move_each_row_once() -> None:
    (by_rows, row_optimizer), (whole, optimizer) = pair(lr=0.05, momentum=0.9, weight_decay=0.1)
    for readings in ([[0, 1], [1, 2]], [[3], [0]], [[1], [5], [2, 2]]):
        for table, one in ((by_rows, row_optimizer), (whole, optimizer)):
            one.zero_grad()
            for rows in readings:
                (table(torch.tensor(rows)) @ table.linear).square().sum().backward()
            one.step()
    torch.testing.assert_close(by_rows.state_dict(), whole.state_dict())
