"""What the tests of trackers share: an environment without W&B's settings, trackers, and what they log."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ner_lab.tracking.wandb.tracker import WandbTracker

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


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings of trackers so far."""
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("ner_lab.tracking")
    ]
