"""Experiment trackers: what each writes; none hides a failure. W&B: tracking/test_wandb.py."""

import csv
from pathlib import Path
from typing import Any

import pytest

from ner_lab.config.compose import compose_config
from ner_lab.errors import UserError
from ner_lab.tracking import tensorboard as tensorboard_module
from ner_lab.tracking.tensorboard import TensorBoardTracker
from ner_lab.training.train import train


def trained(small: list[str], folder: Path, *overrides: str) -> dict[str, Any]:
    settings = [setting for setting in small if not setting.startswith("logger")]
    return train(compose_config([*settings, *overrides]), folder, name="a run of mine")


def test_csv_has_a_curve_for_every_score(small: list[str], tmp_path: Path) -> None:
    history = trained(small, tmp_path, "logger=csv", "trainer.max_epochs=3")["history"]
    with (tmp_path / "csv" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def curve(name: str) -> list[float]:
        return [float(row[name]) for row in rows if row.get(name)]

    assert curve("dev/f1") == pytest.approx([entry["dev"]["f1"] for entry in history])
    assert curve("train/loss") == pytest.approx([entry["train_loss"] for entry in history])
    assert curve("dev/loss") == pytest.approx([entry["dev_loss"] for entry in history])
    assert curve("train/learning_rate") == pytest.approx([entry["learning_rate"] for entry in history])
    assert len(curve("dev/PER/f1")) == len(curve("train/tokens_per_second")) == 3


def test_tensorboard_has_the_same_curves(small: list[str], tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = trained(small, tmp_path, "logger=tensorboard", "trainer.max_epochs=2")["history"]
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for name, expected in (
        ("dev/f1", [entry["dev"]["f1"] for entry in history]),
        ("train/loss", [entry["train_loss"] for entry in history]),
    ):
        assert [event.value for event in events.Scalars(name)] == pytest.approx(expected)


def test_without_its_package_tensorboard_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard_module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'ner-lab\[tensorboard\]'"):
        TensorBoardTracker().open(tmp_path, "run", {}, {})


def test_a_tracker_is_closed_as_failed_when_training_raises_or_scores_too_low(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr("ner_lab.tracking.none.NoTracker.close", lambda self, failed: closed.append(failed))
    trained(small, tmp_path / "well", "logger=none", "trainer.max_epochs=1")
    trained(small, tmp_path / "weak", "logger=none", "trainer.max_epochs=1", "optimizer.lr=1e-12", "min_dev_score=95")
    with pytest.raises(UserError):
        trained(small, tmp_path / "badly", "logger=none", "data.train=nowhere")
    assert closed == [False, True, True]
