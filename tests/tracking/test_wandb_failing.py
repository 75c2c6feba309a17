"""W&B that fails: at the start, in the middle, at the end, on its disk, in its own process. Training loses nothing."""

import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import wandb
from offline_run import named, records
from wandb.sdk import wandb_setup
from wandb.sdk.lib import import_hooks
from wandb_server_for_tests import KEY, WandbServer, wait_for

from ner_lab.config.compose import compose_config
from ner_lab.tracking.wandb import process as wandb_process
from ner_lab.tracking.wandb.process import end_process
from ner_lab.tracking.wandb.server import is_wandb_error
from ner_lab.tracking.wandb.tracker import WandbTracker
from ner_lab.training.callbacks.history import EpochLog
from ner_lab.training.train import train

EPOCHS = 3
LIMIT = 1.0  # seconds to the end, where W&B gives no answer
LONG = 60.0  # seconds to the end, where it does
SETTINGS: dict[str, Any] = {
    "project": "mine",
    "entity": None,
    "group": "some",
    "tags": [],
    "mode": "online",
    "init_timeout": 10,
    "finish_timeout": 10,
    "log_predictions": False,
    "log_checkpoint": False,
    "error_rows": 10,
}


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key, and no other settings of W&B; what a tracker sets is put back, and its process ends with the test."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("WANDB_BASE_URL", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb_process, "ENDING", 0.3)
    end_process()
    yield
    end_process()


def overrides_of(small: list[str]) -> list[str]:
    return [*(setting for setting in small if not setting.startswith("logger")), f"trainer.max_epochs={EPOCHS}"]


def trained(small: list[str], folder: Path, url: str, *overrides: str) -> dict[str, Any]:
    logger = ["logger=wandb", f"logger.base_url={url}", "logger.mode=online"]
    limits = ["logger.init_timeout=10", f"logger.finish_timeout={LIMIT}"]
    return train(compose_config([*overrides_of(small), *logger, *limits, *overrides]), folder)


def numbers(folder: Path) -> dict[str, Any]:
    """All that a training comes to, but for times: metrics with their history, weights, predictions."""

    def lasting(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: lasting(one) for name, one in value.items() if "second" not in name and name != "sources"}
        return [lasting(one) for one in value] if isinstance(value, list) else value

    weights = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    return {
        "metrics": lasting(json.loads((folder / "metrics.json").read_text())),
        "weights": {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
        "predictions": {file.name: file.read_bytes() for file in (folder / "predictions").iterdir()},
    }


@pytest.fixture(scope="module")
def untracked(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the same training comes to with no tracker at all."""
    folder = tmp_path_factory.mktemp("untracked") / "run"
    train(compose_config([*overrides_of(small), "logger=none"]), folder)
    found = numbers(folder)
    assert len(found["metrics"]["history"]) == EPOCHS
    return found


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """All but those about the data."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("ner_lab.tracking")
    ]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of curves in all files that wandb wrote under a run folder, oldest first."""
    files = sorted((folder / "wandb").glob("*run-*/run-*.wandb"))
    found = [record for file in files for record in records(file)]
    return [named(record.history.item) for record in found if record.WhichOneof("record_type") == "history"]


def process_of_wandb() -> Any:
    process = wandb_process._process_of(wandb_setup.singleton())
    assert process is not None
    return process


def behind_epoch_one(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    ended = EpochLog.on_train_epoch_end

    def then(self: EpochLog, trainer: Any, module: Any) -> None:
        ended(self, trainer, module)
        if trainer.current_epoch == 0:
            act()

    monkeypatch.setattr(EpochLog, "on_train_epoch_end", then)


# what there is to lose: with a server that answers, all of it is there


def test_a_server_that_answers_has_every_number_and_nothing_is_said(
    small: list[str], untracked: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with WandbServer() as server:
        trained(small, tmp_path / "run", server.url, "logger.finish_timeout=20")
    assert numbers(tmp_path / "run") == untracked
    assert warnings_of(caplog) == []
    history = untracked["metrics"]["history"]
    scores = {row["epoch"]: row["dev/f1"] for row in server.rows if "dev/f1" in row}
    assert scores == {entry["epoch"]: pytest.approx(entry["dev"]["f1"]) for entry in history}
    assert server.exit_codes == [0]
    assert any(name.startswith("dataset-") for name in server.artifacts)


# lost in the middle

SLOW = pytest.mark.soak


@pytest.mark.parametrize("fails", ["drops", *(pytest.param(how, marks=SLOW) for how in ("silent", 500, 401, 403))])
def test_a_server_that_is_lost_in_the_middle_takes_no_number_with_it(
    fails: Any,
    small: list[str],
    untracked: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with WandbServer() as server:
        behind_epoch_one(monkeypatch, lambda: setattr(server, "fails", fails))
        trained(small, tmp_path / "run", server.url)
        assert server.fails == fails
    assert numbers(tmp_path / "run") == untracked
    (said,) = warnings_of(caplog)
    assert "the run folder has everything" in said
    assert "wandb sync" in said
    # what wandb sync will send is whole as well
    assert [row["epoch"] for row in rows_of(tmp_path / "run") if "dev/f1" in row] == list(range(1, EPOCHS + 1))
    assert server.exit_codes == []


def test_the_end_of_wandbs_own_process_takes_no_number_with_it(
    small: list[str],
    untracked: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def kill() -> None:
        process = process_of_wandb()
        process.send_signal(signal.SIGKILL)
        process.wait()

    with WandbServer() as server:
        behind_epoch_one(monkeypatch, kill)
        trained(small, tmp_path / "run", server.url)
    assert numbers(tmp_path / "run") == untracked
    (said,) = warnings_of(caplog)
    assert "the run folder has everything" in said


def test_libraries_can_be_imported_when_wandbs_process_is_gone(tmp_path: Path) -> None:
    opened = WandbTracker(**SETTINGS | {"base_url": "http://127.0.0.1:9", "mode": "offline"})
    opened.open(tmp_path, "run", {}, {})
    process = process_of_wandb()
    process.kill()
    process.wait()
    time.sleep(0.2)  # wandb learns of it
    import_hooks.notify_module_loaded(ModuleType("sklearn"))  # as an import does at its end; wandb wants to hear of it
    opened.close(failed=False)


@pytest.mark.parametrize("where", ["file", pytest.param("full", marks=SLOW), pytest.param("closed", marks=SLOW)])
def test_a_disk_that_takes_nothing_of_wandbs_takes_no_number_with_it(
    where: str,
    small: list[str],
    untracked: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    if where == "file":
        (run / "wandb").touch()
    if where == "closed":
        (run / "wandb").mkdir(mode=0o500)
    if where == "full":  # its process can write no byte more, as if the disk were full
        limits = (0, 0)
        behind_epoch_one(
            monkeypatch, lambda: resource.prlimit(process_of_wandb().pid, resource.RLIMIT_FSIZE, limits) and None
        )
    trained(small, run, "http://127.0.0.1:9", "logger.mode=offline")
    assert numbers(run) == untracked
    assert len(warnings_of(caplog)) <= 1


def test_an_end_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = WandbTracker(**SETTINGS | {"base_url": "http://127.0.0.1:9", "mode": "offline", "finish_timeout": 0.2})
    opened.open(tmp_path, "run", {}, {})
    monkeypatch.setattr("ner_lab.tracking.wandb.tracker.ENDING", 0.2)
    answer = threading.Event()
    monkeypatch.setattr(wandb.Run, "finish", lambda self, exit_code: answer.wait())
    opened.close(failed=False)  # returns although the end has not come
    answer.set()
    (said,) = warnings_of(caplog)
    assert "does not take the end" in said


# not there at the start


@pytest.mark.parametrize("key", ["short", "9" * 40, pytest.param("with blanks in it" * 3, marks=SLOW)])
def test_with_a_wrong_key_the_run_is_logged_offline_and_the_key_is_not_shown(
    key: str,
    small: list[str],
    untracked: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    with WandbServer() as server:
        trained(small, tmp_path / "run", server.url, f"logger.finish_timeout={LONG}")
    assert numbers(tmp_path / "run") == untracked
    (said,) = warnings_of(caplog)
    assert "it is logged offline" in said
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*"))) == 1
    assert not list((tmp_path / "run" / "wandb").glob("run-*"))
    out, err = capfd.readouterr()
    assert key not in out + err + caplog.text


def no_route(monkeypatch: pytest.MonkeyPatch) -> str:
    def nothing(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    return "http://wandb.invalid"


def refused(monkeypatch: pytest.MonkeyPatch) -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def refusing_proxy(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("https_proxy", refused(monkeypatch).replace("//", "//name:proxy-word@"))
    return "https://wandb.invalid"


@pytest.mark.parametrize("place", [refused, no_route, refusing_proxy])
def test_a_server_that_cannot_be_reached_is_named_and_the_run_is_logged_offline(
    place: Callable[[pytest.MonkeyPatch], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    modes: list[str] = []

    class Started:
        def finish(self, exit_code: int) -> None: ...
        def define_metric(self, name: str, **settings: Any) -> None: ...

    def init(mode: str, **settings: Any) -> Started:
        modes.append(mode)
        return Started()

    monkeypatch.setattr(wandb, "init", init)
    url = place(monkeypatch)
    WandbTracker(**SETTINGS | {"base_url": url}).open(tmp_path, "run", {}, {})
    assert modes == ["offline"]
    (said,) = warnings_of(caplog)
    assert url in said
    assert "proxy-word" not in said


@pytest.mark.soak
@pytest.mark.parametrize("fails", ["drops", "silent", 500, 401])
@pytest.mark.parametrize("when", ["UpsertBucket", "Viewer", "CreateArtifact", "file_stream", "CreateRunFiles"])
def test_whatever_a_server_fails_with_and_when_the_numbers_are_complete(
    fails: Any, when: str, small: list[str], untracked: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with WandbServer(fails_when=when, fails_as=fails) as server:
        trained(small, tmp_path / "run", server.url, "logger.init_timeout=3")
    assert numbers(tmp_path / "run") == untracked
    assert len(warnings_of(caplog)) <= 2  # of the start, and of what came later


# whose mistake it is


def test_what_comes_up_within_wandb_is_theirs_of_whatever_kind() -> None:
    def raised(act: Callable[[], Any]) -> Exception:
        try:
            act()
        except Exception as error:
            return error
        raise AssertionError("nothing was raised")

    assert is_wandb_error(raised(lambda: wandb.Artifact("no/slashes", type="some")))
    assert is_wandb_error(raised(lambda: wandb.Table(columns=["a"], data=[[1, 2]])))
    assert not is_wandb_error(raised(lambda: {}["a"]))
    assert not is_wandb_error(raised(lambda: wandb.Artifact()))  # a call that cannot be made is ours


# opened again


def log(place: Path, url: str, epochs: list[int], *, failed: bool, mode: str = "online") -> str:
    opened = WandbTracker(**SETTINGS | {"base_url": url, "mode": mode})
    (curves,) = opened.open(place, "run", {}, {})
    for epoch in epochs:
        curves.log_metrics({"epoch": float(epoch), "dev/f1": 10.0 * epoch}, 7 * epoch)
    opened.close(failed=failed)
    return str(curves.version)


def test_a_run_that_is_taken_up_again_goes_on_behind_what_the_server_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with WandbServer() as server:
        first = log(tmp_path, server.url, [1, 2], failed=True)
        assert "RunResumeStatus" not in server.asked
        second = log(tmp_path, server.url, [2, 3], failed=False)
        assert server.asked.count("RunResumeStatus") == 1
    assert first == second == (tmp_path / "wandb_id").read_text().strip()
    assert list(server.runs) == [first]
    rows = [(row["_step"], row["epoch"], row["dev/f1"]) for row in server.rows]
    assert rows == [(0, 1, 10), (1, 2, 20), (2, 2, 20), (3, 3, 30)]  # an epoch done again stands there twice, alike
    assert server.exit_codes == [1, 0]
    assert warnings_of(caplog) == []


def test_a_run_that_begins_anew_does_not_go_on_in_the_earlier_ones_rows(tmp_path: Path) -> None:
    with WandbServer() as server:
        log(tmp_path, server.url, [1], failed=True)
        (tmp_path / "wandb").rename(tmp_path / "wandb of the earlier attempt")
        log(tmp_path, server.url, [1, 2], failed=False)
    assert "RunResumeStatus" not in server.asked
    end_process()
    assert [(row["_step"], row["epoch"]) for row in rows_of(tmp_path)] == [(0, 1), (1, 2)]


def test_offline_a_run_that_is_taken_up_again_has_a_second_folder_of_the_same_id(tmp_path: Path) -> None:
    first = log(tmp_path, "http://127.0.0.1:9", [1, 2], failed=True, mode="offline")
    second = log(tmp_path, "http://127.0.0.1:9", [2, 3], failed=False, mode="offline")
    end_process()
    assert first == second
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    runs = [
        record.run
        for folder in folders
        for record in records(folder / f"run-{first}.wandb")
        if record.WhichOneof("record_type") == "run"
    ]
    assert [(run.run_id, run.resumed or run.resume) for run in runs] == [(first, False), (first, True)]
    assert [row["epoch"] for row in rows_of(tmp_path)] == [1, 2, 2, 3]


@pytest.mark.soak
def test_folders_of_the_same_run_are_sent_to_one_run(tmp_path: Path) -> None:
    log(tmp_path, "http://127.0.0.1:9", [1, 2], failed=True, mode="offline")
    identity = log(tmp_path, "http://127.0.0.1:9", [2, 3], failed=False, mode="offline")
    end_process()
    folders = map(str, sorted((tmp_path / "wandb").glob("offline-run-*")))
    with WandbServer() as server:
        environment = {**os.environ, "WANDB_BASE_URL": server.url}
        command = [str(Path(sys.executable).with_name("wandb")), "sync", "--yes", *folders]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=120)
        assert wait_for(lambda: len(server.exit_codes) == 2)
    assert list(server.runs) == [identity]
    assert [(row["_step"], row["epoch"]) for row in server.rows] == [(0, 1), (1, 2), (2, 2), (3, 3)]
