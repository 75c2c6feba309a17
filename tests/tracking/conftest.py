"""What the tests of trackers share: an environment without W&B's settings, trackers, runs that are not real."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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


class FakeRun:
    """In place of a run of W&B."""

    def __init__(self, mode: str, given: dict[str, Any]) -> None:
        self.mode, self.given = mode, given
        self.summary: dict[str, Any] = {}
        self.exit_codes: list[int] = []
        self.project, self.id, self.offline, self.disabled = "mine", "1", True, False
        self.settings = SimpleNamespace(log_internal=None)
        self.log: Callable[[dict[str, Any]], None] = lambda row: None
        self.finish: Callable[[int], Any] = lambda exit_code: self.exit_codes.append(exit_code)

    def define_metric(self, name: str, **settings: Any) -> None: ...


@dataclass
class Lab:
    """W&B in a test: a folder, trackers, the runs that they start unless these are real, their warnings."""

    folder: Path
    patch: pytest.MonkeyPatch
    caplog: pytest.LogCaptureFixture
    runs: list[FakeRun] = field(default_factory=list)

    def tracker(self, **settings: Any) -> WandbTracker:
        """A tracker with settings as in `conf/logger/wandb.yaml`."""
        return WandbTracker(**SETTINGS | settings)

    def open(self, **settings: Any) -> tuple[WandbTracker, list[Any]]:
        """A tracker with an open run, and its loggers."""
        opened = self.tracker(**settings)
        return opened, opened.open(self.folder, "run", {}, {})

    def environment(self, **values: str) -> None:
        for name, value in values.items():
            self.patch.setenv(f"WANDB_{name}", value)

    def fake(self, act: Callable[[str], Any] = lambda mode: None) -> "Lab":
        """Start no real run; `act` is called with the mode of each."""
        self.patch.setattr(wandb, "init", lambda mode, **given: act(mode) or self._start(mode, given))
        return self

    def _start(self, mode: str, given: dict[str, Any]) -> FakeRun:
        self.runs.append(FakeRun(mode, given))
        return self.runs[-1]

    @property
    def warnings(self) -> list[str]:
        """The warnings of trackers so far."""
        of_trackers = [record for record in self.caplog.records if record.name.startswith("ner_lab.tracking")]
        return [record.getMessage() for record in of_trackers if record.levelno >= logging.WARNING]


@pytest.fixture
def lab(own_environment: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Lab:
    return Lab(own_environment, monkeypatch, caplog)


@pytest.fixture(scope="session")
def train_small(small: list[str]) -> Callable[..., dict[str, Any]]:
    """Trains a small tagger in a folder, for one epoch and with W&B unless overrides say otherwise."""
    settings = [*(setting for setting in small if not setting.startswith("logger")), "logger=wandb"]
    composed = lambda overrides: compose_config([*settings, "trainer.max_epochs=1", *overrides])  # noqa: E731
    return lambda folder, *overrides, **choices: train(composed(overrides), folder, name="a run", choices=choices)


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with WandbServer() as server:
        yield server
