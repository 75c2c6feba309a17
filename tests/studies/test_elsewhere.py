"""Jobs under launchers other than ours: which they may run, and what is left of a failure."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from ner_lab.errors import UserError
from ner_lab.runs.folder import RunFolder
from ner_lab.studies.other_launchers import finished_value, note_failure, refuse_processes
from ner_lab.studies.pending import are_due


def config(**trainer: Any) -> DictConfig:
    usual = {"strategy": "auto", "accelerator": "cpu", "devices": 1, "num_nodes": 1}
    return OmegaConf.create({"seed": 1, "trainer": {**usual, **trainer}})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "decoder=crf" / "seed=1")


def finish(run: RunFolder, cfg: DictConfig) -> None:
    run.write_metrics({"status": "ok", "dev": {"f1": 71.5}})
    run.config.write_text(OmegaConf.to_yaml(cfg))


@pytest.mark.parametrize(
    "trainer", [{}, {"devices": "auto"}, {"devices": [0], "accelerator": "gpu"}, {"devices": "1", "accelerator": "gpu"}]
)
def test_a_job_of_one_process_may_run_under_any_launcher(trainer: dict[str, Any]) -> None:
    refuse_processes(config(**trainer))


@pytest.mark.parametrize(
    "trainer",
    [
        {"strategy": "ddp"},
        {"strategy": "ddp_spawn"},
        {"devices": 2},
        {"devices": "2"},
        {"devices": -1},
        {"devices": [0, 1]},
        {"devices": "0,1"},
        {"devices": "auto", "accelerator": "gpu"},
        {"devices": "auto", "accelerator": "auto"},
        {"num_nodes": 2},
    ],
)
def test_a_job_of_several_processes_may_not_and_is_told_why(trainer: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"needs hydra/launcher=process.*jobs would mix.*trainer=cpu"):
        refuse_processes(config(**trainer))


def test_a_finished_job_gives_its_score_unless_it_was_another_job(run: RunFolder) -> None:
    assert finished_value(run, config()) is None
    finish(run, config())
    assert finished_value(run, config()) == 71.5
    with pytest.raises(UserError, match=r"finished run of another config \(trainer\.devices: 1 -> 2\)"):
        finished_value(run, config(devices=2))


def test_a_failure_leaves_word_in_the_folder(run: RunFolder) -> None:
    assert note_failure(run, UserError("no such file"), "no such file") == "no such file"
    assert json.loads(run.failure.read_text()) == {"reason": "no such file", "log": []}
    with pytest.raises(ZeroDivisionError) as raised:
        raise ZeroDivisionError("by nothing")
    assert note_failure(run, raised.value, None) == "ZeroDivisionError: by nothing"
    failure = json.loads(run.failure.read_text())
    assert failure["reason"] == "ZeroDivisionError: by nothing"
    assert failure["log"][0].startswith("Traceback")
    assert failure["log"][-1] == "ZeroDivisionError: by nothing"


def test_a_failure_that_training_recorded_is_not_written_again(run: RunFolder) -> None:
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_failure("no such file", ["as training logged it"])
    assert note_failure(run, UserError("no such file"), "no such file") == "no such file"
    assert json.loads(run.failure.read_text())["log"] == ["as training logged it"]
    note_failure(run, UserError("another"), "another")
    assert json.loads(run.failure.read_text()) == {"reason": "another", "log": []}


def test_a_finished_run_and_one_that_another_process_trains_get_no_word_of_failure(run: RunFolder) -> None:
    finish(run, config())
    note_failure(run, UserError("no"), "no")
    run.metrics.unlink()
    run._hold()
    note_failure(run, UserError("no"), "no")
    run.release()
    assert not run.failure.exists()


def test_results_that_were_cut_off_in_writing_are_set_aside_for_whoever_runs_the_job(run: RunFolder) -> None:
    finish(run, config())
    run.metrics.write_text('{"status": "ok", "de')
    assert are_due([run], [config()]) == [True]
    run.hold(config())
    run.start(config())
    assert (run.attempts / "1" / "metrics.json").exists()
    run.release()
