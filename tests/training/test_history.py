"""What metrics.json says of every epoch, and of the scores between neighbouring tags."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sample import metrics_of

from ner_lab.config.compose import compose_config
from ner_lab.runs.folder import RunFolder
from ner_lab.training.module import TaggerModule
from ner_lab.training.train import train


def test_every_epoch_has_dev_f1_by_entity_type(run: Path) -> None:
    metrics = metrics_of(run)
    for entry in metrics["history"]:
        assert set(entry["dev"]["per_type"]) == {"LOC", "ORG", "PER"}
        assert all(0 <= f1 <= 100 for f1 in entry["dev"]["per_type"].values())
    best = metrics["history"][metrics["best_epoch"] - 1]
    kept = {name: numbers["f1"] for name, numbers in metrics["dev"]["per_type"].items()}
    assert best["dev"]["per_type"] == pytest.approx(kept)


@pytest.mark.parametrize("clip", ["none", "norm", "value"])
def test_every_epoch_has_a_gradient_norm_of_its_own_clipped_or_not(
    clip: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[list[float]] = []
    started = TaggerModule.on_train_epoch_start
    clipping = TaggerModule.configure_gradient_clipping

    def start(self: TaggerModule) -> None:
        norms.append([])
        started(self)

    def measure(self: TaggerModule, optimizer: Any, **settings: Any) -> None:
        squares = [p.grad.to_dense().square().sum() for p in self.parameters() if p.grad is not None]
        norms[-1].append(float(torch.stack(squares).sum().sqrt()))
        clipping(self, optimizer, **settings)

    monkeypatch.setattr(TaggerModule, "on_train_epoch_start", start)
    monkeypatch.setattr(TaggerModule, "configure_gradient_clipping", measure)
    settings = [f"optimizer.clip={clip}", "optimizer.clip_value=0.5", "data.batch_size=1", "trainer.max_epochs=3"]
    metrics = train(compose_config([*small, *settings]), tmp_path / "run")
    assert [len(epoch) for epoch in norms] == [12, 12, 12]
    # of all steps where clipping needs it, else of every twentieth, the first of each epoch among them
    expected = [sum(epoch) / len(epoch) if clip == "norm" else epoch[0] for epoch in norms]
    assert [entry["gradient_norm"] for entry in metrics["history"]] == pytest.approx(expected, rel=1e-4)


def test_transitions_are_those_before_training_and_those_of_the_epoch_kept(run: Path) -> None:
    metrics = metrics_of(run)
    transitions = metrics["transitions"]
    weights, _ = RunFolder(run).read_weights()
    assert len(transitions["tags"]) == len(transitions["matrix"]["after"]) == 13
    for name, weight in (("start", "start"), ("end", "end"), ("matrix", "transitions")):
        after = torch.tensor(transitions[name]["after"])
        torch.testing.assert_close(after, weights[f"decoder.chain.{weight}"], atol=1e-4, rtol=0)
        assert torch.tensor(transitions[name]["before"]).count_nonzero() == 0
    assert set(transitions["tags"]) >= {"O", "B-PER", "S-LOC"}


def test_rows_of_the_matrix_stand_on_a_line_each(run: Path) -> None:
    text = (run / "metrics.json").read_text()
    rows = metrics_of(run)["transitions"]["matrix"]["after"]
    lines = [line.strip().rstrip(",") for line in text.splitlines()]
    assert all(json.dumps(row) in lines for row in rows)


@pytest.mark.parametrize(
    ("decoder", "has"),
    [("crf", True), ("crf_huang", True), ("crf_lample", True), ("softmax", False), ("crf_pairwise", False)],
)
def test_only_decoders_with_one_matrix_say_so(decoder: str, has: bool, small: list[str], tmp_path: Path) -> None:
    overrides = [*small, f"decoder={decoder}", "trainer.max_epochs=1"]
    assert ("transitions" in train(compose_config(overrides), tmp_path / "run")) == has


def test_transitions_of_a_hidden_markov_model_are_log_probabilities(small: list[str], tmp_path: Path) -> None:
    files = [setting for setting in small if setting.startswith("data")]
    metrics = train(compose_config([*files, "paper=hmm", "data.scheme=IOB2", "logger=none"]), tmp_path / "run")
    transitions = metrics["transitions"]
    start = torch.tensor(transitions["start"]["after"]).exp()
    matrix, end = (torch.tensor(transitions[name]["after"]).exp() for name in ("matrix", "end"))
    assert float(start.sum()) == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(matrix.sum(dim=1) + end, torch.ones(len(matrix)), atol=1e-3, rtol=0)
