"""Experiment trackers: what each leaves behind, and that none of them asks, waits or lies about a failure."""

import csv
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from pytorch_lightning.loggers import Logger
from sample import Outcome, metrics_of

from ner_lab.compose import compose_config
from ner_lab.errors import UserError
from ner_lab.logger import tensorboard as tensorboard_module
from ner_lab.logger.tensorboard import TensorBoardTracker
from ner_lab.logger.wandb import WandbTracker
from ner_lab.train import train

SETTINGS: dict[str, Any] = {
    "project": "mine",
    "entity": None,
    "group": "some",
    "tags": ["a"],
    "mode": "auto",
    "base_url": "https://api.wandb.ai",
    "init_timeout": 5,
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
    for name in ("WANDB_BASE_URL", "WANDB_SILENT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def starts(own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modes in which runs of W&B are started; nothing is really started."""
    modes: list[str] = []

    class Started:
        def __init__(self, mode: str) -> None:
            modes.append(mode)

        def define_metric(self, name: str, **settings: Any) -> None:
            pass

    monkeypatch.setattr(WandbTracker, "_start", lambda self, settings, mode: Started(mode))
    monkeypatch.setattr("pytorch_lightning.loggers.WandbLogger", lambda experiment: experiment)
    return modes


def records(folder: Path) -> Iterator[Any]:
    """What an offline run wrote: protocol buffers in the blocks of a LevelDB log, behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    (path,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    raw, position, part = path.read_bytes(), 7, b""
    while position + 7 <= len(raw):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", raw, position)
        part += raw[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            part = b""
            yield record


def curves_and_summary(folder: Path) -> tuple[dict[str, list[float]], dict[str, float], list[int]]:
    """Curves by name, the run's last numbers, and the exit codes it was finished with."""
    wandb.teardown()  # its own process writes the last records when it ends
    curves: dict[str, list[float]] = {}
    summary: dict[str, float] = {}
    codes = []
    for record in records(folder):
        for item in record.history.item:
            curves.setdefault(item.key or "/".join(item.nested_key), []).append(json.loads(item.value_json))
        for item in record.summary.update:
            summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        if record.WhichOneof("record_type") == "exit":
            codes.append(record.exit.exit_code)
    return curves, summary, codes


def trained(small: list[str], folder: Path, *overrides: str) -> dict[str, Any]:
    settings = [setting for setting in small if not setting.startswith("logger")]
    return train(compose_config([*settings, *overrides]), folder, name="a run of mine")


# files


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


# Weights & Biases


def test_with_no_key_and_no_standard_input_a_run_is_logged_offline_and_finished(
    console_run: tuple[Path, Outcome],
) -> None:
    folder, outcome = console_run
    assert (outcome.code, outcome.err) == (0, "")
    metrics = metrics_of(folder)
    curves, summary, codes = curves_and_summary(folder)
    assert codes == [0]
    for name, expected in (
        ("dev/f1", [entry["dev"]["f1"] for entry in metrics["history"]]),
        ("train/loss", [entry["train_loss"] for entry in metrics["history"]]),
    ):
        assert curves[name] == pytest.approx(expected)
    for split in ("dev", "test"):
        assert summary[f"{split}/f1"] == metrics[split]["f1"]
        assert summary[f"{split}/PER/recall"] == metrics[split]["per_type"]["PER"]["recall"]
    assert summary["best_epoch"] == metrics["best_epoch"]


def test_a_run_is_named_and_grouped_after_its_choices(console_run: tuple[Path, Outcome]) -> None:
    folder, _ = console_run
    run = next(record.run for record in records(folder) if record.WhichOneof("record_type") == "run")
    assert run.project == "ner_lab"
    assert run.run_group == "files/random-cnn-caps-bilstm-crf"
    assert run.display_name == "files/random-cnn-caps-bilstm-crf/seed=1"
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["encoder"]["hidden_dim"] == 12
    assert config["seed"] == 1


def test_a_run_that_failed_is_marked_so(own_environment: Path, small: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="diverged"):
        trained(small, tmp_path / "run", "logger=wandb", "optimizer=sgd", "optimizer.lr=1e30", "optimizer.clip=none")
    assert curves_and_summary(tmp_path / "run")[2] == [1]


def test_a_disabled_run_leaves_nothing(
    own_environment: Path, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert trained(small, tmp_path / "run", "logger=wandb", "trainer.max_epochs=1")["epochs"] == 1
    assert not (tmp_path / "run" / "wandb").exists()


@pytest.mark.parametrize("mode", ["auto", "online", "offline", "disabled"])
def test_the_mode_of_the_environment_goes_before_the_configs(
    mode: str, starts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    WandbTracker(**SETTINGS | {"mode": mode}).open(tmp_path, "run", {}, {})
    assert starts == ["dryrun"]


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_a_stated_mode_is_taken(mode: str, starts: list[str], tmp_path: Path) -> None:
    WandbTracker(**SETTINGS | {"mode": mode}).open(tmp_path, "run", {}, {})
    assert starts == [mode]


def test_auto_is_online_only_with_a_key(
    starts: list[str], tmp_path: Path, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(**settings: Any) -> str:
        WandbTracker(**SETTINGS | settings).open(tmp_path, "run", {}, {})
        return starts[-1]

    assert opened() == "offline"
    elsewhere = tmp_path / "keys"
    elsewhere.write_text("machine api.wandb.ai login user password 0\n")
    elsewhere.chmod(0o600)
    monkeypatch.setenv("NETRC", str(elsewhere))
    assert opened() == "online"
    monkeypatch.delenv("NETRC")
    assert opened() == "offline"
    (own_environment / ".netrc").write_text("machine api.wandb.ai login user password 0\n")
    (own_environment / ".netrc").chmod(0o600)
    assert opened() == "online"
    assert opened(base_url="https://wandb.example.org") == "offline", "the key is another server's"
    (own_environment / ".netrc").write_text("no netrc at all\n")
    assert opened() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert opened() == "online"


def test_where_the_server_cannot_be_reached_the_run_goes_on_offline(
    own_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    class Offline:
        def define_metric(self, name: str, **settings: Any) -> None:
            pass

    offline = Offline()

    def start(self: WandbTracker, settings: dict[str, Any], mode: str) -> Offline:
        tried.append(mode)
        if mode == "online":
            raise TimeoutError("no answer within 5 s")
        return offline

    monkeypatch.setattr(WandbTracker, "_start", start)
    monkeypatch.setattr("pytorch_lightning.loggers.WandbLogger", lambda experiment: experiment)
    loggers: list[Logger] = WandbTracker(**SETTINGS | {"mode": "online"}).open(tmp_path, "run", {}, {})
    assert (loggers, tried) == ([offline], ["online", "offline"])
    (said,) = caplog.messages
    assert "no answer within 5 s" in said
    assert "wandb sync" in said


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UserError, match=r"logger\.mode is 'onlin'\. It takes auto, online, offline or disabled"):
        WandbTracker(**SETTINGS | {"mode": "onlin"})


def test_a_run_is_closed_once_whatever_happens(starts: list[str], tmp_path: Path) -> None:
    codes = []
    tracker = WandbTracker(**SETTINGS)
    tracker.close(failed=True)
    (run,) = tracker.open(tmp_path, "run", {}, {})
    run.finish = lambda exit_code: codes.append(exit_code)  # type: ignore[attr-defined]
    tracker.close(failed=False)
    tracker.close(failed=True)
    assert codes == [0]


def test_a_tracker_is_closed_as_failed_when_training_raises_or_scores_too_low(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr("ner_lab.logger.none.NoTracker.close", lambda self, failed: closed.append(failed))
    trained(small, tmp_path / "well", "logger=none", "trainer.max_epochs=1")
    trained(small, tmp_path / "weak", "logger=none", "trainer.max_epochs=1", "optimizer.lr=1e-12", "fail_below=95")
    with pytest.raises(UserError):
        trained(small, tmp_path / "badly", "logger=none", "data.train=nowhere")
    assert closed == [False, True, True]
