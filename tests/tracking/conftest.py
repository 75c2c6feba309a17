"""What the tests of trackers share: an environment without W&B's settings, trackers, runs that are not real."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from wandb_server_for_tests import WandbServer

from ner_lab.config.compose import compose_config
from ner_lab.tracking.wandb.tracker import WandbTracker
from ner_lab.training.train import train

SETTINGS: dict[str, Any] = {
    "project": "mine",
    "entity": None,
    "group": "some",
    "tags": ["a"],
    "mode": "auto",
    "base_url": "http://127.0.0.1:9",
    "init_timeout": 10,
    "finish_timeout": 10,
    "log_predictions": False,
    "log_checkpoint": False,
    "error_rows": 100,
}


@pytest.fixture
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither a key nor settings of W&B; what a tracker sets is put back."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("WANDB_BASE_URL", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def tracker(own_environment: Path) -> Callable[..., WandbTracker]:
    """Makes a W&B tracker; settings as in `conf/logger/wandb.yaml`."""
    return lambda **settings: WandbTracker(**SETTINGS | settings)


@pytest.fixture(scope="session")
def train_small(small: list[str]) -> Callable[..., dict[str, Any]]:
    """Trains a small tagger in a folder, for one epoch and with W&B unless overrides say otherwise."""
    settings = [setting for setting in small if not setting.startswith("logger")]
    given = [*settings, "logger=wandb", "trainer.max_epochs=1"]
    return lambda folder, *overrides: train(compose_config([*given, *overrides]), folder, name="a run of mine")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings of trackers so far."""
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("ner_lab.tracking")
    ]


class FakeRun:
    """In place of a run of W&B; `log` can be replaced by a function that fails."""

    def __init__(self, mode: str, settings: dict[str, Any]) -> None:
        self.mode, self.given = mode, settings
        self.summary: dict[str, Any] = {}
        self.exit_codes: list[int] = []
        self.project, self.id, self.offline, self.disabled = "mine", "1", True, False
        self.settings = SimpleNamespace(log_internal=None)

    def define_metric(self, name: str, **settings: Any) -> None: ...

    def log(self, row: dict[str, Any]) -> None: ...

    def finish(self, exit_code: int) -> None:
        self.exit_codes.append(exit_code)


@pytest.fixture
def fake_runs(monkeypatch: pytest.MonkeyPatch) -> list[FakeRun]:
    """The runs that were started; none is real."""
    runs: list[FakeRun] = []
    monkeypatch.setattr(wandb, "init", lambda mode, **given: runs.append(FakeRun(mode, given)) or runs[-1])
    return runs


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with WandbServer() as server:
        yield server
