"""Weights & Biases: what a run logs, read back from offline runs; it never asks, waits or merges runs."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from conftest import FakeRun
from offline_run import ReadBack, read_back
from preloaded import Preloaded
from sample import Outcome, metrics_of
from wandb_server_for_tests import WandbServer

from ner_lab.errors import UserError
from ner_lab.evaluation.error_analysis import mistakes_of, read_predictions, type_confusion
from ner_lab.runs.folder import RunFolder
from ner_lab.tracking import metric_names as names
from ner_lab.tracking.wandb import tables as wandb_results
from ner_lab.tracking.wandb.tracker import WandbTracker, tags_of
from ner_lab.training.callbacks.history import EpochLog

MakeTracker = Callable[..., WandbTracker]
Train = Callable[..., dict[str, Any]]


def table(folder: Path, name: str) -> dict[str, Any]:
    """A table's columns and data, from the file that W&B was given."""
    parent, _, stem = name.rpartition("/")
    (path,) = (folder / "wandb").glob(f"offline-run-*/files/media/table/{parent}/{stem}_*.table.json")
    return json.loads(path.read_text(encoding="utf-8"))


# one finished run, read back


Finished = tuple[ReadBack, dict[str, Any], Path]


@pytest.fixture(scope="module")
def finished(console_run: tuple[Path, Outcome]) -> Finished:
    folder, outcome = console_run
    assert (outcome.code, "W&B" in outcome.err, "wandb" in outcome.err) == (0, False, False)
    return read_back(folder), metrics_of(folder), folder


def test_a_run_without_a_key_is_logged_offline_named_and_grouped_by_its_options(finished: Finished) -> None:
    back, _, folder = finished
    assert back.exit_codes == [0]
    assert back.run.run_id == (folder / "wandb_id").read_text().strip()
    assert (back.run.project, back.run.job_type) == ("ner_lab", "train")
    assert back.run.run_group == "files/random-cnn-caps-bilstm-crf"
    assert back.run.display_name == "files/random-cnn-caps-bilstm-crf/seed=1"


def test_the_config_is_the_resolved_one_with_choices_parameters_and_versions(finished: Finished) -> None:
    back, metrics, folder = finished
    resolved = yaml.safe_load((folder / "config.yaml").read_text())
    record = json.loads((folder / "run.json").read_text())
    assert {key: back.config[key] for key in ("encoder", "seed")} == {"encoder": resolved["encoder"], "seed": 1}
    assert back.config["choices"]["char_encoder"] == "cnn"
    assert back.config["parameters"] == metrics["parameters"]
    assert {key: back.config[key] for key in ("versions", "code")} == {key: record[key] for key in ("versions", "code")}


def test_every_curve_is_logged_over_epochs_counted_from_one(finished: Finished) -> None:
    back, metrics, _ = finished
    for name in names.CURVES:
        split, _, key = name.partition("/")
        history_key = {"train/loss": "train_loss", "dev/loss": "dev_loss"}.get(name)
        for row, entry in zip((row for row in back.rows if name in row), metrics["history"], strict=True):
            expected = entry[history_key] if history_key else entry["dev"][key] if split == "dev" else entry[key]
            assert row[name] == pytest.approx(expected), name
            assert row["epoch"] == entry["epoch"], name
    for entity_type in ("LOC", "ORG", "PER"):
        expected = [entry["dev"]["per_type"][entity_type] for entry in metrics["history"]]
        assert back.curves[f"dev/{entity_type}/f1"] == pytest.approx(expected)


def test_the_summary_has_the_scores_of_the_best_epoch(finished: Finished) -> None:
    back, metrics, _ = finished
    assert set(names.SUMMARY) <= set(back.summary)
    for split in ("dev", "test"):
        assert back.summary[f"{split}/f1"] == metrics[split]["f1"]
        assert back.summary[f"{split}/PER/recall"] == metrics[split]["per_type"]["PER"]["recall"]
    assert (back.summary["status"], back.summary["best_epoch"]) == ("ok", metrics["best_epoch"])
    assert back.summary["train_seconds"] == pytest.approx(metrics["train_seconds"])
    assert back.summary["parameters/all"] == sum(metrics["parameters"].values())


@pytest.mark.parametrize("split", ["dev", "test"])
def test_tables_have_all_mistakes_and_the_confusion_of_types(split: str, finished: Finished) -> None:
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
    assert [row[:2] for row in rows] == [[each.sentence + 1, each.kind] for each in mistakes_of(predictions)]
    assert all(row[4].split() == predictions[row[0] - 1].words for row in rows)


def test_transitions_are_a_table_and_an_image(finished: Finished) -> None:
    back, metrics, folder = finished
    tags, scores = metrics["transitions"]["tags"], metrics["transitions"]["matrix"]
    for first, second, before, after in table(folder, names.TRANSITIONS)["data"]:
        row, column = tags.index(first), tags.index(second)
        assert (before, after) == (scores["before"][row][column], scores["after"][row][column])
    (image,) = (folder / "wandb").glob("offline-run-*/files/media/images/transitions/map_*.png")
    assert image.read_bytes().startswith(b"\x89PNG")
    assert back.summary[f"{names.TRANSITION_MAP}/_type"] == "image-file"


def test_input_files_are_named_with_their_checksums(finished: Finished, corpus: Path) -> None:
    (artifact,) = (each for each in finished[0].artifacts.values() if each.type == "dataset")
    checksums = json.loads(artifact.metadata)
    for entry in artifact.manifest.contents:
        file = corpus / f"{entry.path}.conll"
        assert entry.ref == file.as_uri()
        assert checksums[entry.path]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert {entry.path for entry in artifact.manifest.contents} == {"train", "dev", "test"}


def test_wandb_leet_shows_an_offline_run(finished: Finished) -> None:
    program = Path(sys.executable).with_name("wandb")
    (folder,) = (finished[2] / "wandb").glob("offline-run-*")
    done = subprocess.run([program, "leet", "inspect", "--summary", "--json", folder], capture_output=True, check=True)
    shown = json.loads(done.stdout)
    assert (shown["state"], shown["exit_code"]) == ("finished", 0)
    assert shown["summary"]["test/f1"] == pytest.approx(finished[1]["test"]["f1"])
    assert shown["config"]["encoder"]["hidden_dim"] == 12


# tables, from their data


def mistake_rows(folder: Path, rows: str, max_rows: int = 10) -> list[list[Any]]:
    (folder / "predictions").mkdir()
    (folder / "predictions" / "dev.conll").write_text(rows + "\n")
    media = wandb_results.tables(folder, {}, max_rows)
    assert set(media) == {"dev/confusion", "dev/mistakes"}
    return media["dev/mistakes"].data


def test_a_mistake_is_shown_in_its_sentence(tmp_path: Path) -> None:
    prediction = [("Anna", "B-PER", "B-PER"), ("Holm", "I-PER", "O"), ("left", "O", "O"), ("Oslo", "B-LOC", "B-ORG")]
    gold, predicted = "[PER Anna Holm] left [LOC Oslo]", "[PER Anna] Holm left [ORG Oslo]"
    assert mistake_rows(tmp_path, "".join(" ".join(row) + "\n" for row in prediction)) == [
        [1, "wrong boundary", "[PER Anna Holm]", "[PER Anna]", "Anna Holm left Oslo", gold, predicted],
        [1, "wrong type", "[LOC Oslo]", "[ORG Oslo]", "Anna Holm left Oslo", gold, predicted],
    ]


def test_the_table_of_mistakes_has_at_most_error_rows(tmp_path: Path) -> None:
    assert len(mistake_rows(tmp_path, "Oslo B-LOC O\n\n" * 7, max_rows=3)) == 3


def test_coverage_of_the_vectors_is_a_table(tmp_path: Path) -> None:
    coverage = {"tokens": {"as written": 90, "missing": 10}, "types": {"as written": 40, "missing": 8}}
    media = wandb_results.tables(tmp_path, {"coverage": coverage}, 10)
    assert media["coverage"].columns == ["found", "tokens", "types"]
    assert media["coverage"].data == [["as written", 90, 40], ["missing", 10, 8]]


# runs are neither merged nor duplicated


def test_runs_of_one_process_are_separate_and_send_files_if_asked(
    own_environment: Path, train_small: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "shared")
    train_small(tmp_path / "1", "logger.log_predictions=true", "logger.log_checkpoint=true")
    train_small(tmp_path / "2", "trainer.max_epochs=2")
    runs = [read_back(tmp_path / name) for name in ("1", "2")]
    assert len({"shared", *(back.run.run_id for back in runs)}) == 3
    for back, name in zip(runs, ("1", "2"), strict=True):
        history = metrics_of(tmp_path / name)["history"]
        assert back.curves["dev/f1"] == pytest.approx([entry["dev"]["f1"] for entry in history])
        assert len(history) == int(name)
        assert back.exit_codes == [0]
    sent = [{each.type for each in back.artifacts.values()} & {"predictions", "model"} for back in runs]
    assert sent == [{"predictions", "model"}, set()]


def test_a_run_that_was_interrupted_and_started_again_is_one_run(
    own_environment: Path, train_small: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_epoch = EpochLog.on_train_epoch_end

    def interrupt(self: EpochLog, *arguments: Any) -> None:
        log_epoch(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_small(tmp_path / "run", "trainer.max_epochs=2")
    first = read_back(tmp_path / "run")
    RunFolder(tmp_path / "run").drop_state()  # it starts from the beginning, and does not resume
    train_small(tmp_path / "run", "trainer.max_epochs=2")
    second = read_back(tmp_path / "run")
    assert (first.exit_codes, second.exit_codes) == ([1], [0])
    assert second.run.run_id == first.run.run_id == (tmp_path / "run" / "wandb_id").read_text().strip()
    assert len(second.curves["dev/f1"]) == 2
    assert read_back(tmp_path / "run" / "attempts" / "1").exit_codes == [1]


def test_a_run_that_diverged_is_marked_failed(own_environment: Path, train_small: Train, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="diverged"):
        train_small(tmp_path / "run", "max_loss=1e-3")
    back = read_back(tmp_path / "run")
    assert (back.exit_codes, back.summary["status"]) == ([1], "failed")
    assert "diverged" in back.summary["failure"]


@pytest.mark.parametrize("how", ["train -m", "sweep", "joblib"])
def test_each_job_of_a_sweep_is_a_run_of_its_own_in_the_group_of_the_study(
    how: str,
    own_environment: Path,
    small: list[str],
    cli: Callable[..., Outcome],
    preloaded: Preloaded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(own_environment)
    monkeypatch.setattr(sys, "executable", str(preloaded.python))  # of the jobs
    settings = [*(setting for setting in small if not setting.startswith("logger")), "trainer.max_epochs=1"]
    study = {"factors": {"decoder": "decoder"}}
    swept = ["seed=1"] if how == "sweep" else ["decoder=crf,softmax"]
    if how == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
        swept += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    if how == "sweep":
        params = {"decoder": "crf,softmax"}
        study_file = {"defaults": ["config", "_self_"], "study": study, "hydra": {"sweeper": {"params": params}}}
        (own_environment / "mine.yaml").write_text(yaml.safe_dump(study_file))
        outcome = cli("sweep", "mine.yaml", *swept, *settings)
    else:
        outcome = cli("train", "-m", "study.name=mine", "+study.factors.decoder=decoder", *swept, *settings)
    assert outcome.code == 0, outcome.said
    folders = {name: own_environment / f"outputs/mine/decoder={name}/seed=1" for name in ("crf", "softmax")}
    runs = {name: read_back(folder) for name, folder in folders.items()}
    for name, back in runs.items():
        assert (back.run.run_group, back.exit_codes) == ("mine", [0])
        assert set(back.run.tags) == {"mine", f"decoder={name}"}
        assert back.config["choices"]["decoder"] == name
        assert back.summary["test/f1"] == metrics_of(folders[name])["test"]["f1"]
    assert len({back.run.run_id for back in runs.values()}) == 2


@pytest.mark.parametrize(
    ("agent", "previous", "expected"), [(True, "old", "given"), (False, "old", "old"), (True, "", "given")]
)
def test_an_agent_of_a_sweep_sets_the_id_of_its_run(
    agent: bool,
    previous: str,
    expected: str,
    tracker: MakeTracker,
    fake_runs: list[FakeRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "wandb_id").write_text(previous)
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    if agent:
        monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    tracker(mode="disabled").open(tmp_path, "run", {}, {})
    assert fake_runs[0].given["id"] == (tmp_path / "wandb_id").read_text().strip() == expected


def test_tags_are_the_study_and_its_choices() -> None:
    study = {"name": "mine", "factors": {"decoder": "decoder", "optimizer.lr": "rate"}}
    config = {"optimizer": {"lr": 0.1}, "decoder": {"_target_": "x"}}
    assert tags_of(["a"], study, {"decoder": "crf"}, config) == ["a", "mine", "decoder=crf", "optimizer.lr=0.1"]
    assert tags_of(["a", "a"], {}, {"decoder": "crf"}, config) == ["a"]
    assert [len(tag) for tag in tags_of(["b" * 99], {}, {}, {})] == [64]


# modes


def test_a_disabled_run_writes_nothing(
    tracker: MakeTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    opened = tracker(mode="online")
    (curves,) = opened.open(tmp_path, "run", {}, {})
    curves.log_metrics({"dev/f1": 1.0}, 1)
    opened.finish(tmp_path, {"parameters": {"a": 1}})
    opened.close(failed=False)
    assert not (tmp_path / "wandb").exists()
    assert warnings() == []


@pytest.mark.parametrize("mode", ["auto", "online", "offline", "disabled"])
def test_the_mode_is_that_of_the_environment_else_of_the_config(
    mode: str,
    tracker: MakeTracker,
    server: WandbServer,
    fake_runs: list[FakeRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    tracker(mode=mode, base_url=server.url).open(tmp_path, "run", {}, {})
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    tracker(mode=mode, base_url=server.url).open(tmp_path, "run", {}, {})
    assert [run.mode for run in fake_runs] == ["online" if mode == "auto" else mode, "dryrun"]


def test_auto_is_online_only_with_a_key(
    tracker: MakeTracker,
    server: WandbServer,
    fake_runs: list[FakeRun],
    own_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mode() -> str:
        monkeypatch.delenv("WANDB_BASE_URL", raising=False)
        tracker(base_url=server.url).open(own_environment, "run", {}, {})
        return fake_runs[-1].mode

    def store(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)

    monkeypatch.delenv("NETRC", raising=False)
    assert mode() == "offline"
    store(own_environment / "keys", "machine 127.0.0.1 login user password 0\n")
    monkeypatch.setenv("NETRC", str(own_environment / "keys"))
    assert mode() == "online"
    monkeypatch.delenv("NETRC")
    store(own_environment / ".netrc", "machine 127.0.0.1 login user password 0\n")
    assert mode() == "online"
    store(own_environment / ".netrc", "machine api.wandb.ai login user password 0\n")  # the key of another server
    assert mode() == "offline"
    store(own_environment / ".netrc", "no netrc at all\n")
    assert mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert mode() == "online"


def test_online_without_a_key_is_offline_and_nothing_is_asked(
    tracker: MakeTracker, fake_runs: list[FakeRun], tmp_path: Path, warnings: Callable[[], list[str]]
) -> None:
    tracker(mode="online").open(tmp_path, "run", {}, {})
    assert [run.mode for run in fake_runs] == ["offline"]
    (warning,) = warnings()
    assert "no API key" in warning


# one guard around what can fail


def test_what_wandb_does_not_take_is_one_warning_and_the_run_is_closed_once(
    tracker: MakeTracker, fake_runs: list[FakeRun], tmp_path: Path, warnings: Callable[[], list[str]]
) -> None:
    def fail(row: dict[str, Any]) -> None:
        raise ConnectionResetError("Connection lost")

    opened = tracker()
    opened.close(failed=True)
    (curves,) = opened.open(tmp_path, "run", {}, {})
    fake_runs[0].log = fail  # type: ignore[method-assign]
    for epoch in (1, 2):
        curves.log_metrics({"dev/f1": 1.0}, epoch)
    opened.close(failed=False)
    opened.close(failed=True)
    assert fake_runs[0].exit_codes == [0]
    assert warnings() == [
        "W&B does not take the curves (Connection lost). The run folder has everything; `wandb sync` sends the rest."
    ]


def test_a_bug_of_ours_is_not_taken_for_an_error_of_wandb(
    tracker: MakeTracker, fake_runs: list[FakeRun], tmp_path: Path
) -> None:
    def fail(row: dict[str, Any]) -> None:
        raise TypeError("row")

    (curves,) = tracker().open(tmp_path, "run", {}, {})
    fake_runs[0].log = fail  # type: ignore[method-assign]
    with pytest.raises(TypeError):
        curves.log_metrics({"dev/f1": 1.0}, 1)


@pytest.mark.parametrize("error", [OSError("disk full"), wandb.errors.UsageError("no such project")])
def test_a_run_that_wandb_does_not_take_at_all_is_trained_without(
    error: Exception,
    tracker: MakeTracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: Callable[[], list[str]],
) -> None:
    def init(**settings: Any) -> Any:
        raise error

    monkeypatch.setattr(wandb, "init", init)
    opened = tracker()
    assert opened.open(tmp_path, "run", {}, {}) == []
    opened.finish(tmp_path, {})
    opened.close(failed=False)
    assert warnings() == [f"W&B does not take the run ({error}). The run folder has everything."]


def test_a_server_that_answers_but_takes_no_run_costs_no_more_than_the_limit(
    tracker: MakeTracker,
    server: WandbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: Callable[[], list[str]],
) -> None:
    modes = []
    answer = threading.Event()

    def init(mode: str, **settings: Any) -> FakeRun:
        modes.append(mode)
        if mode == "online":
            answer.wait()
        return FakeRun(mode, settings)

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb, "init", init)
    tracker(base_url=server.url, init_timeout=0.3).open(tmp_path, "run", {}, {})  # returns although no answer has come
    answer.set()
    assert modes == ["online", "offline"]
    (warning,) = warnings()
    assert "in 0.3 s" in warning


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"mode": "onlin"}, r"logger\.mode must be one of auto, online, offline, disabled; got 'onlin'"),
        ({"error_rows": -1}, r"logger\.error_rows must be at least 0"),
        ({"init_timeout": -1}, r"logger\.init_timeout must be a number of seconds"),
    ],
)
def test_invalid_settings_are_refused(setting: dict[str, Any], message: str, tracker: MakeTracker) -> None:
    with pytest.raises(UserError, match=message):
        tracker(**setting)
