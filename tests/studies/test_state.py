"""How far a job is, as its folder shows it, and whether it is still the job that is asked for."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from ner_lab.config.compose import compose_config
from ner_lab.config.paths import absolute_paths
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.provenance import code_sum
from ner_lab.runs.state import differences, failure_of, job_name, other_code, progress_of, read_metrics, state_of

HOLD = """
import sys, time
from ner_lab.runs.folder import RunFolder
run = RunFolder(sys.argv[1])
run._hold()
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held_by_another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def put(run: RunFolder, **files: Any) -> None:
    """Write files of a run folder, given by their attributes; text as it is, the rest as JSON."""
    run.path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        getattr(run, name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "decoder=crf" / "seed=1")


# states


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({}, "left"),
        ({"config": "seed: 1"}, "unfinished"),
        ({"config": "seed: 1", "metrics": {"status": "ok"}}, "done"),
        ({"config": "seed: 1", "metrics": {"status": "failed", "failure": "diverged"}}, "failed"),
        ({"config": "seed: 1", "failure": {"reason": "exit code 1"}}, "failed"),
        ({"failure": {"reason": "refused (exit code 2)"}}, "failed"),
        ({"config": "seed: 1", "metrics": '{"status": "ok", "dev'}, "unfinished"),
        ({"config": "seed: 1", "metrics": "[]"}, "unfinished"),
        ({"config": "seed: 1", "metrics": {"status": "ok"}, "failure": {"reason": "of before"}}, "done"),
    ],
)
def test_the_files_of_a_folder_tell_how_far_its_job_is(files: dict[str, Any], state: str, run: RunFolder) -> None:
    put(run, **files)
    assert state_of(run) == state


def test_a_folder_that_is_not_there_is_left() -> None:
    assert state_of(RunFolder("/nowhere/at/all")) == "left"


def test_a_job_runs_as_long_as_its_process_lives_even_if_that_is_killed(run: RunFolder) -> None:
    put(run, config="seed: 1", failure={"reason": "of before"})
    with held_by_another_process(run.path) as process:
        assert state_of(run) == "running"
        process.send_signal(signal.SIGKILL)
        process.wait()
        run.failure.unlink()
        assert state_of(run) == "unfinished"


def test_a_job_is_named_by_configuration_and_seed(run: RunFolder) -> None:
    assert job_name(run) == "decoder=crf/seed=1"


# what is known


def test_the_reason_of_a_failure_is_the_one_written_last(run: RunFolder) -> None:
    assert failure_of(run) == ""
    put(run, metrics={"status": "failed", "failure": "dev F1 3.00 is below min_dev_score=95"})
    assert failure_of(run) == "dev F1 3.00 is below min_dev_score=95"
    put(run, failure={"reason": "killed by SIGKILL"})
    assert failure_of(run) == "killed by SIGKILL"


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_what_cannot_be_read_counts_as_absent(text: str, run: RunFolder) -> None:
    put(run, metrics=text, failure=text, progress=text)
    assert (read_metrics(run), failure_of(run), progress_of(run)) == (None, "", {})


def test_progress_is_what_the_job_last_said(run: RunFolder) -> None:
    put(run, progress={"epoch": 3, "epochs": 25, "share": 0.1, "f1": None, "best": None})
    assert progress_of(run)["epoch"] == 3


# is it still the same job?


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    files = [f"data.{name}=/corpus/{name}.conll" for name in ("train", "dev", "test")]
    return compose_config(["data=files", "features=caps_gazetteer", *files])


def made_with(run: RunFolder, cfg: DictConfig) -> None:
    """Leave the config of a run as training does."""
    kept = cfg.copy()
    absolute_paths(kept)
    put(run, config=OmegaConf.to_yaml(kept, resolve=True))


def changed(cfg: DictConfig, **values: Any) -> DictConfig:
    other = cfg.copy()
    for key, value in values.items():
        OmegaConf.update(other, key.replace("__", "."), value, force_add=True)
    return other


def test_the_same_config_does_not_differ(run: RunFolder, asked: DictConfig) -> None:
    made_with(run, asked)
    assert differences(run, asked) == []


@pytest.mark.parametrize(
    "values",
    [
        {"study__question": "another"},
        {"study__published": {"a=b": {"test": 3}}},
        {"logger": {"_target_": "other", "project": "x"}},
        {"run_name": "x"},
        {"data__cache_dir": "/elsewhere"},
    ],
)
def test_what_no_result_depends_on_makes_no_difference(
    values: dict[str, Any], run: RunFolder, asked: DictConfig
) -> None:
    made_with(run, asked)
    assert differences(run, changed(asked, **values)) == []


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"trainer__max_epochs": 7}, "trainer.max_epochs: 25 -> 7"),
        ({"seed": 2}, "seed: 1 -> 2"),
        ({"threads": None}, "threads: 1 -> None"),
        ({"data__train": "/corpus/other.conll"}, "data.train: /corpus/train.conll -> /corpus/other.conll"),
        ({"data__train_on": ["train", "dev"]}, "data.train_on: ['train'] -> ['train', 'dev']"),
        (
            {"encoder___target_": "mine.Encoder"},
            "encoder._target_: ner_lab.models.encoder.recurrent.BiLSTM -> mine.Encoder",
        ),
        ({"optimizer__new": 0.1}, "optimizer.new: (none) -> 0.1"),
        ({"trainer__limit_train_batches": 1.0}, "trainer.limit_train_batches: None -> 1.0"),
        ({"min_dev_score": 0}, "min_dev_score: None -> 0"),
        ({"logger_of_mine": 1}, "logger_of_mine: (none) -> 1"),
    ],
)
def test_any_other_change_is_seen(values: dict[str, Any], line: str, run: RunFolder, asked: DictConfig) -> None:
    made_with(run, asked)
    assert differences(run, changed(asked, **values)) == [line]


def test_one_batch_is_not_all_of_them(run: RunFolder, asked: DictConfig) -> None:
    made_with(run, changed(asked, trainer__limit_train_batches=1))
    (line,) = differences(run, changed(asked, trainer__limit_train_batches=1.0))
    assert line == "trainer.limit_train_batches: 1 -> 1.0"


def test_a_key_that_is_gone_and_a_section_that_is_empty_are_seen(run: RunFolder, asked: DictConfig) -> None:
    made_with(run, changed(asked, data__columns={"word": 0, "tag": -1, "pos": 1}, data__counts={}))
    now = changed(asked, data__columns={"word": 0, "tag": -1})
    del now.data.counts
    found = differences(run, now)
    assert "data.counts: {} -> (none)" in found
    fewer = changed(asked)
    del fewer.early_stopping.patience
    made_with(run, asked)
    assert differences(run, fewer) == ["early_stopping.patience: 10 -> (none)"]


def test_relative_paths_are_those_of_this_folder(
    run: RunFolder, asked: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    relative = changed(asked, data__train="c/train.conll", data__dev="~/c/dev.conll")
    made_with(run, relative)
    assert differences(run, relative) == []
    assert differences(run, changed(relative, data__train=str(tmp_path / "c/train.conll"))) == []
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    assert differences(run, relative) == [
        f"data.train: {tmp_path}/c/train.conll -> {tmp_path}/deeper/c/train.conll",
    ]


def test_comparing_leaves_the_config_as_it_is(run: RunFolder, asked: DictConfig) -> None:
    relative = changed(asked, data__train="c/train.conll")
    made_with(run, relative)
    before = OmegaConf.to_container(relative)
    differences(run, relative)
    assert OmegaConf.to_container(relative) == before


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00"])
def test_a_config_that_cannot_be_read_is_a_difference(text: str, run: RunFolder, asked: DictConfig) -> None:
    put(run, config=text)
    (line,) = differences(run, asked)
    assert line.startswith("config.yaml: cannot be read")


# other code


def test_the_commit_is_told_where_the_code_was_another(run: RunFolder) -> None:
    put(run, record={"code": code_sum(), "git": {"commit": "abc"}})
    assert other_code(run) is None
    put(run, record={"code": "another", "git": {"commit": "0123456789abcdef"}, "versions": {"ner-lab": "0.1.0"}})
    assert other_code(run) == "01234567"
    put(run, record={"code": "another", "git": None, "versions": {"ner-lab": "0.1.0"}})
    assert other_code(run) == "0.1.0"


def test_of_a_run_without_a_record_the_code_is_unknown(run: RunFolder) -> None:
    assert other_code(run) == "unknown"
