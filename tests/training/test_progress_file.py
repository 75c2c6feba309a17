"""What a run says of its progress while it trains."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ner_lab.training.callbacks import progress_file as progress
from ner_lab.training.callbacks.progress_file import ProgressFile


def trainer_at(epoch: int, *, epochs: int = 4, batches: float = 10, f1: float | None = None, first: bool = True) -> Any:
    metrics = {} if f1 is None else {"dev/f1": torch.tensor(f1)}
    return SimpleNamespace(
        current_epoch=epoch,
        max_epochs=epochs,
        train_dataloader=SimpleNamespace(batches_in_epoch=batches),
        is_global_zero=first,
        callback_metrics=metrics,
    )


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProgressFile:
    monkeypatch.setattr(progress, "_INTERVAL", -1.0)
    return ProgressFile(tmp_path / "progress.json")


def said(file: ProgressFile) -> dict[str, Any]:
    return json.loads(file.path.read_text())


def test_progress_is_the_share_of_all_steps_with_the_best_epoch_so_far(file: ProgressFile) -> None:
    module: Any = None
    file.on_train_start(trainer_at(0), module)
    assert said(file) == {"epoch": 1, "epochs": 4, "share": 0.0, "f1": None, "best": None}
    file.on_train_batch_end(trainer_at(0), module, None, None, 4)
    assert said(file)["share"] == 0.125
    file.on_validation_end(trainer_at(0, f1=80.0), module)
    file.on_validation_end(trainer_at(1, f1=70.0), module)
    file.on_train_batch_end(trainer_at(2), module, None, None, 9)
    assert said(file) == {"epoch": 3, "epochs": 4, "share": 0.75, "f1": 70.0, "best": 80.0}
    assert [path.name for path in file.path.parent.iterdir()] == ["progress.json"]


def test_only_the_first_process_writes(file: ProgressFile) -> None:
    file.on_train_start(trainer_at(0, first=False), None)  # type: ignore[arg-type]
    assert not file.path.exists()


def test_progress_is_not_written_more_often_than_anybody_looks(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "progress.json")
    file.on_train_start(trainer_at(0), None)  # type: ignore[arg-type]
    file.on_train_batch_end(trainer_at(3), None, None, None, 9)  # type: ignore[arg-type]
    assert said(file)["epoch"] == 1


def test_without_an_end_there_is_no_share(file: ProgressFile) -> None:
    file.on_train_batch_end(trainer_at(7, epochs=-1), None, None, None, 3)  # type: ignore[arg-type]
    assert said(file)["share"] == 0.0


def test_a_full_disk_is_an_error_that_names_the_file(file: ProgressFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left") as raised:
        file.on_train_start(trainer_at(0), None)  # type: ignore[arg-type]
    assert raised.value.filename == str(file.path)
    assert list(file.path.parent.iterdir()) == []
