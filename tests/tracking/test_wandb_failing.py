"""W&B that fails: at the start, during training, at the end, on its disk, in its process; training loses nothing."""

import json
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
from conftest import FakeRun
from offline_run import named, records
from wandb.sdk.lib import import_hooks
from wandb_server_for_tests import KEY, WandbServer, wait_for

from ner_lab.tracking.wandb import process as wandb_process
from ner_lab.tracking.wandb.process import end_process
from ner_lab.tracking.wandb.server import is_wandb_error
from ner_lab.tracking.wandb.tracker import WandbTracker
from ner_lab.training.callbacks.history import EpochLog

EPOCHS = 2
SLOW = pytest.mark.soak
NOWHERE = "http://127.0.0.1:9"
MakeTracker = Callable[..., WandbTracker]
Train = Callable[..., dict[str, Any]]
Warnings = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def _key(own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key; wandb's own process ends with the test."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb_process, "TEARDOWN_TIMEOUT", 0.3)
    end_process()
    yield
    end_process()


def results(folder: Path) -> dict[str, Any]:
    """All results of a training except times: metrics with their history, weights, predictions."""

    def without_times(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_times(each) for key, each in value.items() if "second" not in key and key != "sources"}
        return [without_times(each) for each in value] if isinstance(value, list) else value

    weights = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    return {
        "metrics": without_times(json.loads((folder / "metrics.json").read_text())),
        "weights": {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
        "predictions": {file.name: file.read_bytes() for file in (folder / "predictions").iterdir()},
    }


@pytest.fixture(scope="module")
def untracked(train_small: Train, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of the same training without a tracker."""
    folder = tmp_path_factory.mktemp("untracked") / "run"
    train_small(folder, "logger=none", f"trainer.max_epochs={EPOCHS}")
    return results(folder)


@pytest.fixture
def check(train_small: Train, untracked: dict[str, Any], tmp_path: Path) -> Callable[..., None]:
    """Trains with W&B at a URL, and compares the results with those of a training without a tracker."""

    def train_and_compare(url: str, *overrides: str) -> None:
        limits = ["logger.init_timeout=10", "logger.finish_timeout=1", f"trainer.max_epochs={EPOCHS}"]
        train_small(tmp_path / "run", f"logger.base_url={url}", "logger.mode=online", *limits, *overrides)
        assert results(tmp_path / "run") == untracked

    return train_and_compare


def epochs_in(folder: Path) -> list[int]:
    """The epochs of the curves in all files that wandb wrote in a run folder, oldest first."""
    files = sorted((folder / "wandb").glob("*run-*/run-*.wandb"))
    found = [record for file in files for record in records(file) if record.WhichOneof("record_type") == "history"]
    return [row["epoch"] for row in (named(record.history.item) for record in found) if "dev/f1" in row]


def service_pid() -> int:
    """The id of wandb's service process, the newest child of this process with its name."""
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid_and_name, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if pid_and_name.endswith("(wandb-core") and int(parent) == os.getpid() and state != "Z":
            children.append(int(stat.parent.name))
    return max(children)


def kill_service() -> None:
    pid = service_pid()
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    time.sleep(0.2)  # wandb learns of it


def after_first_epoch(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    end_epoch = EpochLog.on_train_epoch_end

    def end_epoch_and_act(self: EpochLog, trainer: Any, module: Any) -> None:
        end_epoch(self, trainer, module)
        if trainer.current_epoch == 0:
            act()

    monkeypatch.setattr(EpochLog, "on_train_epoch_end", end_epoch_and_act)


def test_a_server_that_answers_has_every_number_and_there_is_no_warning(
    check: Callable[..., None], untracked: dict[str, Any], server: WandbServer, warnings: Warnings
) -> None:
    check(server.url, "logger.finish_timeout=20")
    assert warnings() == []
    scores = {row["epoch"]: row["dev/f1"] for row in server.rows if "dev/f1" in row}
    assert scores == {entry["epoch"]: pytest.approx(entry["dev"]["f1"]) for entry in untracked["metrics"]["history"]}
    assert server.exit_codes == [0]
    assert any(name.startswith("dataset-") for name in server.artifacts)


# during training


@pytest.mark.parametrize("fails", ["drops", *(pytest.param(how, marks=SLOW) for how in ("silent", 500, 401, 403))])
def test_a_server_that_is_lost_during_training_costs_no_number(
    fails: Any,
    check: Callable[..., None],
    server: WandbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: Warnings,
) -> None:
    after_first_epoch(monkeypatch, lambda: setattr(server, "fails", fails))
    check(server.url)
    assert server.fails == fails
    (warning,) = warnings()
    assert "The run folder has everything; `wandb sync` sends the rest." in warning
    assert epochs_in(tmp_path / "run") == list(range(1, EPOCHS + 1))  # what wandb sync will send is complete
    assert server.exit_codes == []


def test_the_end_of_wandbs_own_process_costs_no_number(
    check: Callable[..., None], monkeypatch: pytest.MonkeyPatch, warnings: Warnings
) -> None:
    def kill_and_import() -> None:
        kill_service()
        import_hooks.notify_module_loaded(ModuleType("sklearn"))  # as an import does; wandb would report it

    after_first_epoch(monkeypatch, kill_and_import)
    check(NOWHERE, "logger.mode=offline")
    (warning,) = warnings()
    assert "The run folder has everything" in warning


@pytest.mark.parametrize("where", ["file", pytest.param("full", marks=SLOW), pytest.param("closed", marks=SLOW)])
def test_a_disk_on_which_wandb_cannot_write_costs_no_number(
    where: str, check: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Warnings
) -> None:
    (tmp_path / "run").mkdir()
    if where == "file":
        (tmp_path / "run" / "wandb").touch()
    if where == "closed":
        (tmp_path / "run" / "wandb").mkdir(mode=0o500)
    if where == "full":  # its process can write no further byte
        after_first_epoch(monkeypatch, lambda: resource.prlimit(service_pid(), resource.RLIMIT_FSIZE, (0, 0)) and None)
    check(NOWHERE, "logger.mode=offline")
    assert len(warnings()) <= 1


def test_an_end_that_does_not_come_is_not_waited_for(
    tracker: MakeTracker, fake_runs: list[FakeRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Warnings
) -> None:
    opened = tracker(mode="offline", finish_timeout=0.2)
    opened.open(tmp_path, "run", {}, {})
    monkeypatch.setattr("ner_lab.tracking.wandb.tracker.TEARDOWN_TIMEOUT", 0.2)
    answer = threading.Event()
    fake_runs[0].finish = lambda exit_code: answer.wait()  # type: ignore[method-assign,assign]
    opened.close(failed=False)  # returns although the end has not come
    answer.set()
    (warning,) = warnings()
    assert "does not take the end" in warning


# at the start


@pytest.mark.parametrize("key", ["short", "9" * 40, pytest.param("with blanks in it" * 3, marks=SLOW)])
def test_with_a_wrong_key_the_run_is_logged_offline_and_the_key_is_not_shown(
    key: str,
    tracker: MakeTracker,
    server: WandbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: Warnings,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    log_epochs(tracker(base_url=server.url, mode="online"), tmp_path, [1, 2])
    (warning,) = warnings()
    assert "The run is logged offline" in warning
    assert [path.name.partition("-")[0] for path in (tmp_path / "wandb").glob("*run-*")] == ["offline"]
    end_process()
    assert epochs_in(tmp_path) == [1, 2]
    assert key not in "".join(capfd.readouterr()) + warning


def no_route(monkeypatch: pytest.MonkeyPatch) -> str:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    return "http://wandb.invalid"


def refused(monkeypatch: pytest.MonkeyPatch) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def refusing_proxy(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("https_proxy", refused(monkeypatch).replace("//", "//name:proxy-word@"))
    return "https://wandb.invalid"


@pytest.mark.parametrize("url_of", [refused, no_route, refusing_proxy, None])
def test_a_server_that_does_not_answer_is_named_and_the_run_is_logged_offline(
    url_of: Callable[[pytest.MonkeyPatch], str] | None,
    tracker: MakeTracker,
    fake_runs: list[FakeRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: Warnings,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = url_of(monkeypatch) if url_of else f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker(base_url=url, mode="online", init_timeout=0.5).open(tmp_path, "run", {}, {})
    assert [run.mode for run in fake_runs] == ["offline"]
    (warning,) = warnings()
    assert url in warning
    assert "`wandb sync` sends it" in warning
    assert "proxy-word" not in warning
    assert url_of or "in 0.5 s" in warning


@pytest.mark.soak
@pytest.mark.parametrize("fails", ["drops", "silent", 500, 401])
@pytest.mark.parametrize("when", ["UpsertBucket", "Viewer", "CreateArtifact", "file_stream", "CreateRunFiles"])
def test_whatever_a_server_fails_with_and_when_the_results_are_complete(
    fails: Any, when: str, check: Callable[..., None], warnings: Warnings
) -> None:
    with WandbServer(fails_when=when, fails_as=fails) as server:
        check(server.url, "logger.init_timeout=3")
    assert len(warnings()) <= 2  # of the start, and of what came later


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda: wandb.Artifact("no/slashes", type="some"), True),
        (lambda: wandb.Table(columns=["a"], data=[[1, 2]]), True),
        (lambda: {}["a"], False),
        (lambda: wandb.Artifact(), False),  # a call with missing arguments is ours
    ],
)
def test_an_error_raised_within_wandb_is_an_error_of_wandb(act: Callable[[], Any], expected: bool) -> None:
    with pytest.raises(Exception) as raised:
        act()
    assert is_wandb_error(raised.value) == expected


# resumed


def log_epochs(opened: WandbTracker, folder: Path, epochs: list[int], *, failed: bool = False) -> str:
    """Log a run with these epochs; returns its id."""
    (curves,) = opened.open(folder, "run", {}, {})
    for epoch in epochs:
        curves.log_metrics({"epoch": float(epoch), "dev/f1": 10.0 * epoch}, 7 * epoch)
    opened.close(failed=failed)
    return str(curves.version)


def test_a_resumed_run_continues_after_the_rows_of_the_server_and_one_that_starts_over_does_not(
    tracker: MakeTracker, server: WandbServer, tmp_path: Path, warnings: Warnings
) -> None:
    online = {"base_url": server.url, "mode": "online"}
    first = log_epochs(tracker(**online), tmp_path, [1, 2], failed=True)
    assert "RunResumeStatus" not in server.asked
    second = log_epochs(tracker(**online), tmp_path, [2, 3])
    assert server.asked.count("RunResumeStatus") == 1
    assert first == second == (tmp_path / "wandb_id").read_text().strip()
    assert list(server.runs) == [first]
    rows = [(row["_step"], row["epoch"], row["dev/f1"]) for row in server.rows]
    assert rows == [(0, 1, 10), (1, 2, 20), (2, 2, 20), (3, 3, 30)]  # a repeated epoch is logged twice, alike
    assert (server.exit_codes, warnings()) == ([1, 0], [])
    (tmp_path / "wandb").rename(tmp_path / "wandb of the earlier attempt")
    log_epochs(tracker(**online), tmp_path, [1, 2])
    assert server.asked.count("RunResumeStatus") == 1
    end_process()
    assert epochs_in(tmp_path) == [1, 2]


def test_an_offline_run_that_is_resumed_has_a_second_folder_of_the_same_id(
    tracker: MakeTracker, tmp_path: Path
) -> None:
    first = log_epochs(tracker(mode="offline"), tmp_path, [1, 2], failed=True)
    assert log_epochs(tracker(mode="offline"), tmp_path, [2, 3]) == first
    end_process()
    files = sorted((tmp_path / "wandb").glob(f"offline-run-*/run-{first}.wandb"))
    runs = [record.run for file in files for record in records(file) if record.WhichOneof("record_type") == "run"]
    assert [(run.run_id, run.resumed or run.resume) for run in runs] == [(first, False), (first, True)]
    assert epochs_in(tmp_path) == [1, 2, 2, 3]


@pytest.mark.soak
def test_wandb_sync_sends_the_folders_of_a_run_to_one_run(
    tracker: MakeTracker, server: WandbServer, tmp_path: Path
) -> None:
    log_epochs(tracker(mode="offline"), tmp_path, [1, 2], failed=True)
    run_id = log_epochs(tracker(mode="offline"), tmp_path, [2, 3])
    end_process()
    folders = map(str, sorted((tmp_path / "wandb").glob("offline-run-*")))
    command = [str(Path(sys.executable).with_name("wandb")), "sync", "--yes", *folders]
    environment = {**os.environ, "WANDB_BASE_URL": server.url}
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert wait_for(lambda: len(server.exit_codes) == 2)
    assert list(server.runs) == [run_id]
    assert [(row["_step"], row["epoch"]) for row in server.rows] == [(0, 1), (1, 2), (2, 2), (3, 3)]
