"""Weights & Biases: what a run leaves there, read back from offline runs; that it never asks, waits or merges runs."""

import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
import yaml
from offline_run import ReadBack, read_back
from sample import Outcome, metrics_of

from ner_lab.config.compose import compose_config
from ner_lab.errors import UserError
from ner_lab.evaluation.error_analysis import mistakes_of, read_predictions, type_confusion
from ner_lab.runs.folder import RunFolder
from ner_lab.tracking import metric_names as names
from ner_lab.tracking.wandb import tables as wandb_results
from ner_lab.tracking.wandb.tracker import WandbTracker, tags_of
from ner_lab.training.callbacks.history import EpochLog
from ner_lab.training.train import train

SETTINGS: dict[str, Any] = {
    "project": "mine",
    "entity": None,
    "group": "some",
    "tags": ["a"],
    "mode": "auto",
    "base_url": "https://api.wandb.ai",
    "init_timeout": 5,
    "finish_timeout": 5,
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
def key(own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)


class Started:
    """Stands for a run of W&B; nothing is really started."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.ends: list[int] = []
        self.project, self.id, self.offline, self.disabled = "mine", "1", True, False
        self.settings = SimpleNamespace(log_internal=None)

    def define_metric(self, name: str, **settings: Any) -> None:
        pass

    def log_artifact(self, artifact: Any) -> None:
        pass

    def log(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def finish(self, exit_code: int) -> None:
        self.ends.append(exit_code)


@pytest.fixture
def starts(own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modes in which runs of W&B are started."""
    modes: list[str] = []

    def start(self: WandbTracker, settings: dict[str, Any], mode: str) -> Started:
        modes.append(mode)
        return Started()

    monkeypatch.setattr(WandbTracker, "_start", start)
    return modes


def table(folder: Path, name: str) -> dict[str, Any]:
    """A table's columns and data, from the file that W&B was handed."""
    place, _, stem = name.rpartition("/")
    (path,) = (folder / "wandb").glob(f"offline-run-*/files/media/table/{place}/{stem}_*.table.json")
    return json.loads(path.read_text(encoding="utf-8"))


def trained(small: list[str], folder: Path, *overrides: str, **facts: Any) -> dict[str, Any]:
    settings = [setting for setting in small if not setting.startswith("logger")]
    return train(compose_config([*settings, "logger=wandb", *overrides]), folder, name="a run of mine", **facts)


def said_by_us(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("ner_lab.tracking")
    ]


def tracker(**settings: Any) -> WandbTracker:
    return WandbTracker(**SETTINGS | settings)


# what a run leaves


@pytest.fixture(scope="module")
def finished(console_run: tuple[Path, Outcome]) -> tuple[ReadBack, dict[str, Any], Path]:
    folder, _ = console_run
    return read_back(folder), metrics_of(folder), folder


Finished = tuple[ReadBack, dict[str, Any], Path]


def test_with_no_key_and_no_standard_input_a_run_is_logged_offline_and_finished(
    console_run: tuple[Path, Outcome], finished: Finished
) -> None:
    assert (console_run[1].code, "W&B" in console_run[1].err, "wandb" in console_run[1].err) == (0, False, False)
    assert finished[0].exit_codes == [0]
    assert finished[0].run.run_id == (finished[2] / "wandb_id").read_text().strip()


def test_a_run_is_named_and_grouped_after_its_choices(finished: Finished) -> None:
    run = finished[0].run
    assert (run.project, run.job_type) == ("ner_lab", "train")
    assert run.run_group == "files/random-cnn-caps-bilstm-crf"
    assert run.display_name == "files/random-cnn-caps-bilstm-crf/seed=1"


def test_its_config_is_the_resolved_one_with_choices_parameters_and_versions(finished: Finished) -> None:
    back, metrics, folder = finished
    resolved = yaml.safe_load((folder / "config.yaml").read_text())
    assert back.config["encoder"] == resolved["encoder"]
    assert back.config["seed"] == 1
    assert back.config["choices"]["char_encoder"] == "cnn"
    assert back.config["parameters"] == metrics["parameters"]
    record = json.loads((folder / "run.json").read_text())
    assert back.config["versions"] == record["versions"]
    assert back.config["code"] == record["code"]


def test_every_curve_is_there_over_epochs_counted_from_one(finished: Finished) -> None:
    back, metrics, _ = finished
    for name in names.CURVES:
        where, _, key = name.partition("/")
        own = {"train/loss": "train_loss", "dev/loss": "dev_loss"}.get(name)
        for row, entry in zip((row for row in back.rows if name in row), metrics["history"], strict=True):
            expected = entry[own] if own else entry["dev"][key] if where == "dev" else entry[key]
            assert row[name] == pytest.approx(expected), name
            assert row["epoch"] == entry["epoch"], name


def test_every_entity_type_has_a_curve(finished: Finished) -> None:
    back, metrics, _ = finished
    for entity_type in ("LOC", "ORG", "PER"):
        expected = [entry["dev"]["per_type"][entity_type] for entry in metrics["history"]]
        assert back.curves[f"dev/{entity_type}/f1"] == pytest.approx(expected)


def test_its_summary_holds_the_scores_of_the_epoch_kept(finished: Finished) -> None:
    back, metrics, _ = finished
    assert set(names.SUMMARY) <= set(back.summary)
    for split in ("dev", "test"):
        assert back.summary[f"{split}/f1"] == metrics[split]["f1"]
        assert back.summary[f"{split}/PER/recall"] == metrics[split]["per_type"]["PER"]["recall"]
    assert back.summary["status"] == "ok"
    assert back.summary["best_epoch"] == metrics["best_epoch"]
    assert back.summary["train_seconds"] == pytest.approx(metrics["train_seconds"])
    assert back.summary["parameters/all"] == sum(metrics["parameters"].values())


@pytest.mark.parametrize("split", ["dev", "test"])
def test_its_tables_hold_all_mistakes_and_the_confusion_of_types(split: str, finished: Finished) -> None:
    folder = finished[2]
    predictions = read_predictions(folder / "predictions" / f"{split}.conll")
    labels, counts = type_confusion(predictions)
    confusion = table(folder, names.CONFUSION_TABLE.format(split=split))["data"]
    assert {(gold, predicted): number for gold, predicted, number in confusion} == {
        (gold, predicted): counts[row][column]
        for row, gold in enumerate(labels)
        for column, predicted in enumerate(labels)
    }
    rows = table(folder, names.MISTAKES.format(split=split))["data"]
    expected = mistakes_of(predictions)
    assert [row[:2] for row in rows] == [[mistake.sentence + 1, mistake.kind] for mistake in expected]
    assert all(row[4].split() == predictions[row[0] - 1].words for row in rows)


def mistake_rows(place: Path, rows: str, most: int = 10) -> list[list[Any]]:
    (place / "predictions").mkdir()
    (place / "predictions" / "dev.conll").write_text(rows + "\n")
    media = wandb_results.tables(place, {}, most)
    assert set(media) == {"dev/confusion", "dev/mistakes"}
    return media["dev/mistakes"].data


def test_a_mistake_is_shown_in_its_sentence(tmp_path: Path) -> None:
    prediction = [("Anna", "B-PER", "B-PER"), ("Holm", "I-PER", "O"), ("left", "O", "O"), ("Oslo", "B-LOC", "B-ORG")]
    rows = "".join(" ".join(row) + "\n" for row in prediction)
    gold, predicted = "[PER Anna Holm] left [LOC Oslo]", "[PER Anna] Holm left [ORG Oslo]"
    assert mistake_rows(tmp_path, rows) == [
        [1, "wrong boundary", "[PER Anna Holm]", "[PER Anna]", "Anna Holm left Oslo", gold, predicted],
        [1, "wrong type", "[LOC Oslo]", "[ORG Oslo]", "Anna Holm left Oslo", gold, predicted],
    ]


def test_no_more_mistakes_are_shown_than_wanted(tmp_path: Path) -> None:
    assert len(mistake_rows(tmp_path, "Oslo B-LOC O\n\n" * 7, most=3)) == 3


def test_its_transitions_are_a_table_and_a_picture(finished: Finished) -> None:
    back, metrics, folder = finished
    transitions = metrics["transitions"]
    tags, scores = transitions["tags"], transitions["matrix"]
    for first, second, before, after in table(folder, names.TRANSITIONS)["data"]:
        row, column = tags.index(first), tags.index(second)
        assert (before, after) == (scores["before"][row][column], scores["after"][row][column])
    (picture,) = (folder / "wandb").glob("offline-run-*/files/media/images/transitions/map_*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert back.summary[f"{names.TRANSITION_MAP}/_type"] == "image-file"


def test_coverage_of_the_vectors_is_a_table(tmp_path: Path) -> None:
    coverage = {"tokens": {"as written": 90, "missing": 10}, "types": {"as written": 40, "missing": 8}}
    media = wandb_results.tables(tmp_path, {"coverage": coverage}, 10)
    assert media["coverage"].columns == ["found", "tokens", "types"]
    assert media["coverage"].data == [["as written", 90, 40], ["missing", 10, 8]]


def test_the_files_it_read_are_named_with_their_checksums(finished: Finished, corpus: Path) -> None:
    (artifact,) = (each for each in finished[0].artifacts.values() if each.type == "dataset")
    known = json.loads(artifact.metadata)
    for entry in artifact.manifest.contents:
        file = corpus / f"{entry.path}.conll"
        assert entry.ref == file.as_uri()
        assert known[entry.path]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert {entry.path for entry in artifact.manifest.contents} == {"train", "dev", "test"}


def test_wandb_leet_shows_an_offline_run(finished: Finished) -> None:
    program = Path(sys.executable).with_name("wandb")
    (place,) = (finished[2] / "wandb").glob("offline-run-*")
    done = subprocess.run([program, "leet", "inspect", "--summary", "--json", place], capture_output=True, check=True)
    shown = json.loads(done.stdout)
    assert (shown["state"], shown["exit_code"]) == ("finished", 0)
    assert shown["summary"]["test/f1"] == pytest.approx(finished[1]["test"]["f1"])
    assert shown["config"]["encoder"]["hidden_dim"] == 12


# runs are neither merged nor doubled


def test_runs_of_one_process_stay_apart_and_send_files_where_wanted(
    own_environment: Path, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "shared")
    folders = [tmp_path / str(epochs) for epochs in (1, 2, 3)]
    wanted = ["logger.log_predictions=true", "logger.log_checkpoint=true"]
    for epochs, folder in enumerate(folders, 1):
        trained(small, folder, f"trainer.max_epochs={epochs}", *(wanted if epochs == 1 else []))
    found = [read_back(folder) for folder in folders]
    assert len({back.run.run_id for back in found}) == 3
    assert "shared" not in {back.run.run_id for back in found}
    assert [back.curves["dev/f1"] for back in found] == [
        [pytest.approx(entry["dev"]["f1"]) for entry in metrics_of(folder)["history"]] for folder in folders
    ]
    assert [back.exit_codes for back in found] == [[0], [0], [0]]
    sent = [{each.type for each in back.artifacts.values()} & {"predictions", "model"} for back in found]
    assert sent == [{"predictions", "model"}, set(), set()]


def test_a_run_cut_off_and_started_again_is_one_run(
    own_environment: Path, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = EpochLog.on_train_epoch_end

    def cut_off(self: EpochLog, *arguments: Any) -> None:
        scored(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_epoch_end", cut_off)
        with pytest.raises(KeyboardInterrupt):
            trained(small, tmp_path / "run", "trainer.max_epochs=2")
    first = read_back(tmp_path / "run")
    RunFolder(tmp_path / "run").drop_state()  # it starts from the beginning, and does not resume
    trained(small, tmp_path / "run", "trainer.max_epochs=2")
    second = read_back(tmp_path / "run")
    assert (first.exit_codes, second.exit_codes) == ([1], [0])
    assert second.run.run_id == first.run.run_id == (tmp_path / "run" / "wandb_id").read_text().strip()
    assert len(second.curves["dev/f1"]) == 2
    assert read_back(tmp_path / "run" / "attempts" / "1").exit_codes == [1]


def test_a_run_that_diverged_is_marked_failed(own_environment: Path, small: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="diverged"):
        trained(small, tmp_path / "run", "max_loss=1e-3")
    back = read_back(tmp_path / "run")
    assert back.exit_codes == [1]
    assert back.summary["status"] == "failed"
    assert "diverged" in back.summary["failure"]


@pytest.mark.parametrize(
    ("agent", "known", "expected"), [(True, "old", "given"), (False, "old", "old"), (True, "", "given")]
)
def test_an_agent_of_a_sweep_says_what_its_run_is_called(
    agent: bool, known: str, expected: str, own_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb_id").write_text(known)
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    if agent:
        monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    told: list[Any] = []
    monkeypatch.setattr(WandbTracker, "_start", lambda self, settings, mode: told.append(settings["id"]) or Started())
    tracker(mode="disabled").open(tmp_path, "run", {}, {})
    assert told == [expected]
    assert (tmp_path / "wandb_id").read_text().strip() == expected


def test_what_an_agent_chose_and_the_keys_of_that_group_can_both_be_searched(
    own_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("wandb_version: 1\nencoder: {value: bilstm}\noptimizer.lr: {value: 0.01}\n")
    for name, value in (("SWEEP_ID", "s"), ("RUN_ID", "given"), ("SWEEP_PARAM_PATH", str(params))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    opened = tracker(mode="offline")
    opened.open(tmp_path, "run", {"encoder": {"hidden_dim": 12}, "optimizer": {"lr": 0.01}, "seed": 1}, {})
    opened.close(failed=False)
    config = read_back(tmp_path).config
    assert config["encoder"] == "bilstm"
    assert config["encoder.hidden_dim"] == 12
    assert config["optimizer"] == {"lr": 0.01}


def test_tags_are_the_study_and_its_choices() -> None:
    study = {"name": "mine", "factors": {"decoder": "decoder", "optimizer.lr": "rate"}}
    config = {"optimizer": {"lr": 0.1}, "decoder": {"_target_": "x"}}
    assert tags_of(["a"], study, {"decoder": "crf"}, config) == ["a", "mine", "decoder=crf", "optimizer.lr=0.1"]
    assert tags_of(["a", "a"], {}, {"decoder": "crf"}, config) == ["a"]
    assert [len(tag) for tag in tags_of(["b" * 99], {}, {}, {})] == [64]


def test_runs_of_a_study_are_grouped_by_its_name(tmp_path: Path) -> None:
    settings = tracker(group=None)._settings(tmp_path, "run", {"study": {"name": "mine"}, "run_name": "a/b"}, {})
    assert (settings["group"], settings["tags"]) == ("mine", ["a", "mine"])


# modes, and what happens where W&B fails


def test_a_disabled_run_leaves_nothing(
    own_environment: Path, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert trained(small, tmp_path / "run", "trainer.max_epochs=1")["epochs"] == 1
    assert not (tmp_path / "run" / "wandb").exists()


@pytest.mark.parametrize("mode", ["auto", "online", "offline", "disabled"])
def test_the_mode_of_the_environment_goes_before_the_configs(
    mode: str, starts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    tracker(mode=mode).open(tmp_path, "run", {}, {})
    assert starts == ["dryrun"]


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_a_stated_mode_is_taken(mode: str, starts: list[str], key: None, tmp_path: Path) -> None:
    tracker(mode=mode).open(tmp_path, "run", {}, {})
    assert starts == [mode]


def test_auto_is_online_only_with_a_key(
    starts: list[str], tmp_path: Path, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(**settings: Any) -> str:
        monkeypatch.delenv("WANDB_BASE_URL", raising=False)
        tracker(**settings).open(tmp_path, "run", {}, {})
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


def test_online_without_a_key_is_offline_and_nothing_is_asked(
    starts: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker(mode="online").open(tmp_path, "run", {}, {})
    assert starts == ["offline"]
    (said,) = said_by_us(caplog)
    assert "no key" in said


@pytest.mark.usefixtures("key")
def test_a_server_that_never_answers_costs_little_more_than_the_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened = tracker(base_url=f"http://127.0.0.1:{server.getsockname()[1]}", init_timeout=0.5)
        assert opened.open(tmp_path, "run", {}, {})
    opened.close(failed=False)
    (said,) = said_by_us(caplog)
    assert "no answer from http://127.0.0.1:" in said
    assert "in 0.5 s" in said
    assert "wandb sync" in said
    assert read_back(tmp_path).exit_codes == [0]


@pytest.mark.usefixtures("key")
def test_a_server_that_answers_but_takes_no_run_costs_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    modes = []
    answer = threading.Event()

    def init(mode: str, **settings: Any) -> Started:
        modes.append(mode)
        if mode == "online":
            answer.wait()
        return Started()

    monkeypatch.setattr("ner_lab.tracking.wandb.tracker.ask", lambda url, seconds: None)
    monkeypatch.setattr(wandb, "init", init)
    tracker(init_timeout=0.1).open(tmp_path, "run", {}, {})  # returns although no answer has come
    answer.set()
    assert modes == ["online", "offline"]
    (said,) = said_by_us(caplog)
    assert "in 0.1 s" in said


def test_what_is_lost_of_wandb_is_said_once_and_costs_nothing_else(
    own_environment: Path,
    small: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Started):
        def log(self, row: dict[str, Any]) -> None:
            raise ConnectionResetError("Connection lost")

    monkeypatch.setattr(WandbTracker, "_start", lambda self, settings, mode: Broken())
    metrics = trained(small, tmp_path / "run", "trainer.max_epochs=2")
    assert (metrics["status"], len(metrics["history"])) == ("ok", 2)
    (said,) = said_by_us(caplog)
    assert said == (
        "W&B does not take the curves (Connection lost); the run folder has everything; "
        "wandb sync sends later what it lacks."
    )


@pytest.mark.parametrize("error", [OSError("disk full"), wandb.errors.UsageError("no such project")])
def test_a_run_that_wandb_does_not_take_at_all_is_trained_without(
    error: Exception,
    own_environment: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def start(self: WandbTracker, settings: Any, mode: str) -> Any:
        raise error

    monkeypatch.setattr(WandbTracker, "_start", start)
    opened = tracker()
    assert opened.open(tmp_path, "run", {}, {}) == []
    opened.finish(tmp_path, {})
    opened.close(failed=False)
    assert said_by_us(caplog) == [f"W&B does not take a run ({error}); the run folder has everything."]


def test_our_own_mistakes_are_not_taken_for_those_of_wandb(
    own_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(Started):
        def log(self, row: dict[str, Any]) -> None:
            raise TypeError("row")

    monkeypatch.setattr(WandbTracker, "_start", lambda self, settings, mode: Odd())
    (curves,) = tracker().open(tmp_path, "run", {}, {})
    with pytest.raises(TypeError):
        curves.log_metrics({"dev/f1": 1.0}, 1)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"mode": "onlin"}, r"logger\.mode must be one of auto, online, offline, disabled; got 'onlin'"),
        ({"error_rows": -1}, r"logger\.error_rows must be at least 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        tracker(**setting)


def test_a_run_is_closed_once_whatever_happens(
    own_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Started()
    monkeypatch.setattr(WandbTracker, "_start", lambda self, settings, mode: run)
    opened = tracker()
    opened.close(failed=True)
    opened.open(tmp_path, "run", {}, {})
    opened.close(failed=False)
    opened.close(failed=True)
    assert run.ends == [0]
