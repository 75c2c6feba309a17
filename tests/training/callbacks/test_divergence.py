"""A loss that is no number, or far too large, is found at its step, and said with all that is known of it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.config.compose import compose_config
from ner_lab.inference.trained_tagger import load
from ner_lab.runs.folder import RunFolder
from ner_lab.training.callbacks.divergence import Divergence, Step, gradient_norm
from ner_lab.training.callbacks.history import Diverged
from ner_lab.training.module import TaggerModule
from ner_lab.training.train import train


def step(number: int, loss: float) -> Step:
    return Step(epoch=1, number=number, loss=torch.tensor(loss), sentences=torch.tensor([number]), rate=0.1)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=12), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_the_first_bad_step_is_found_however_rarely_one_looks(losses: list[float], between: int) -> None:
    divergence, found = Divergence(above=100.0), []
    for number, loss in enumerate(losses):
        divergence.add(step(number, loss))
        if number % between == between - 1 or number == len(losses) - 1:
            found.append(divergence.first())
    expected = next((number for number, loss in enumerate(losses) if not loss <= 100.0), None)
    first = next((one for one in found if one is not None), None)
    assert (first.number if first is not None else None) == expected


def test_looking_without_any_step_finds_nothing() -> None:
    assert Divergence(above=1.0).first() is None


def test_the_norm_is_of_all_gradients_together_sparse_ones_included() -> None:
    model = torch.nn.ModuleList([torch.nn.Embedding(5, 2, sparse=True), torch.nn.Linear(2, 1), torch.nn.Linear(1, 1)])
    (model[0](torch.tensor([1, 1, 3])) * 2).sum().backward()
    model[1](torch.tensor([[3.0, 4.0]])).sum().backward()
    expected = torch.cat([torch.tensor([4.0, 4.0, 2.0, 2.0]), torch.tensor([3.0, 4.0, 1.0])]).norm()
    assert gradient_norm(model) == pytest.approx(float(expected))
    assert gradient_norm(torch.nn.Linear(1, 1)) == 0.0


def spoil(at: tuple[int, int], value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """From this epoch and batch on the loss is `value` times what it was."""
    usual = TaggerModule.training_step

    def spoiled(self: TaggerModule, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = usual(self, batch, batch_idx)
        if (self.current_epoch, batch_idx) < at:
            return loss
        self.batch_loss = self.batch_loss * value
        return loss * value

    monkeypatch.setattr(TaggerModule, "training_step", spoiled)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (float("nan"), "loss of nan a token is no number"),
        (float("inf"), r"loss of inf a token is above max_loss=10000"),
        (1e8, r"loss of [\d.e+]+ a token is above max_loss=10000"),
    ],
)
def test_training_stops_at_the_step_and_names_batch_rate_and_norm(
    value: float, what: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil((1, 1), value, monkeypatch)
    steps: list[int] = []
    counted = TaggerModule.configure_gradient_clipping

    def count(self: TaggerModule, *arguments: Any, **named: Any) -> None:
        steps.append(1)
        counted(self, *arguments, **named)

    monkeypatch.setattr(TaggerModule, "configure_gradient_clipping", count)
    with pytest.raises(Diverged) as raised:
        train(compose_config([*small, "trainer.max_epochs=4"]), tmp_path)
    assert len(steps) == 5, "three of the first epoch, two of the second"
    said = str(raised.value)
    assert re.search(rf"in epoch 2 at batch 2 \(sentences [\d, ]+ of train\): its {what}", said), said
    rate = json.loads((tmp_path / "metrics.json").read_text())["history"][0]["learning_rate"]
    stated = re.search(r"learning rate ([\d.e-]+), gradient norm ([\w.+]+), ([\d.]+) when last measured before", said)
    assert stated
    assert 0 < float(stated[1]) <= rate
    assert (float(stated[2]) > 1e6) or value != 1e8
    assert "optimizer.lr" in said
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["status"], metrics["failure"], metrics["epochs"]) == ("failed", said, 1)


def test_the_last_good_epoch_is_kept(small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil((2, 0), float("nan"), monkeypatch)
    with pytest.raises(Diverged):
        train(compose_config([*small, "trainer.max_epochs=4"]), tmp_path)
    checkpoint = RunFolder(tmp_path).read_checkpoint()
    assert checkpoint["epoch"] <= 1
    assert all(value.isfinite().all() for name, value in checkpoint["state_dict"].items() if "weight" in name)
    assert load(tmp_path).predict([["Oslo", "rained"]])


def test_sentences_are_numbered_as_they_stand_in_train(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    usual = TaggerModule.training_step

    def note(self: TaggerModule, batch: Any, batch_idx: int) -> torch.Tensor:
        seen.append((batch.sentences + 1).tolist())
        return usual(self, batch, batch_idx)

    monkeypatch.setattr(TaggerModule, "training_step", note)
    spoil((0, 2), float("nan"), monkeypatch)
    with pytest.raises(Diverged) as raised:
        train(compose_config(small), tmp_path)
    assert f"(sentences {', '.join(map(str, seen[2]))} of train)" in str(raised.value)


def test_of_a_large_batch_some_sentences_are_named() -> None:
    bad = Step(epoch=3, number=7, loss=torch.tensor(float("nan")), sentences=torch.arange(40), rate=0.5)
    said = Divergence(above=9.0).describe(bad, norm=None, norm_before=None)
    assert "(sentences 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ... of train)" in said
    assert "gradient norm" not in said
