"""Launchers and sweepers other than ours, where they are installed: real sweeps of two small jobs; one fails."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hydra.core.plugins import Plugins
from sample import Outcome, metrics_of, read_columns

from ner_lab.runs.folder import RunFolder
from ner_lab.runs.state import DONE, FAILED, failure_of, state_of

LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=2"],
    "ray": ["hydra/launcher=ray", "+hydra.launcher.ray.init.include_dashboard=false"],
}
GOOD, BAD = 0.01, -1.0  # learning rates: no optimizer takes the second


@dataclass(frozen=True)
class Sweep:
    """A sweep that was run: how it was called, how it ended, where its jobs lie."""

    arguments: list[str]
    outcome: Outcome
    folder: Path

    def run(self, rate: float) -> RunFolder:
        return RunFolder(self.folder / f"optimizer.lr={rate}" / "seed=1")


@pytest.fixture(scope="module", params=LAUNCHERS)
def swept(
    request: pytest.FixtureRequest,
    small: list[str],
    subprocess_cli: Callable[..., Outcome],
    tmp_path_factory: pytest.TempPathFactory,
) -> Sweep:
    """A job for each learning rate, run by another launcher."""
    pytest.importorskip(f"hydra_plugins.hydra_{request.param}_launcher")
    folder = tmp_path_factory.mktemp(request.param) / "sweep"
    settings = [*small, "trainer.max_epochs=1", f"hydra.sweep.dir={folder}", "hydra.job_logging.root.handlers=[file]"]
    arguments = ["train", "-m", *LAUNCHERS[request.param], *settings]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    outcome = subprocess_cli(*arguments, f"optimizer.lr={GOOD},{BAD}", cwd=folder.parent, env=environment)
    return Sweep(arguments, outcome, folder)


def test_a_job_that_fails_leaves_the_other_complete(swept: Sweep) -> None:
    good = swept.run(GOOD)
    assert state_of(good) == DONE, swept.outcome.said
    assert metrics_of(good.path)["epochs"] == 1
    assert len(read_columns(good.predictions / "test.conll")) == 4
    assert good.read_weights()[0]
    assert "epoch 1/1" in (good.path / "train.log").read_text()


def test_it_is_named_at_the_end_with_its_reason_and_the_sweep_ends_with_code_1(swept: Sweep) -> None:
    assert state_of(swept.run(BAD)) == FAILED
    assert failure_of(swept.run(BAD)) == "optimizer.lr must be above 0; got -1.0."
    assert swept.outcome.code == 1
    assert "1 done, 1 failed" in swept.outcome.out
    assert f"optimizer.lr={BAD}/seed=1: optimizer.lr must be above 0; got -1.0." in swept.outcome.out
    assert swept.outcome.err.endswith("error: 1 of 2 jobs failed\n")


def test_both_are_on_record(swept: Sweep) -> None:
    record = yaml.safe_load((swept.folder / "study.yaml").read_text())
    assert [job["folder"] for job in record["jobs"]] == [f"optimizer.lr={rate}/seed=1" for rate in (GOOD, BAD)]


def test_a_finished_job_is_not_handed_to_the_launcher_again(swept: Sweep, cli: Callable[..., Outcome]) -> None:
    written = swept.run(GOOD).metrics.stat()
    again = cli(*swept.arguments, f"optimizer.lr=choice({GOOD})")
    assert again.code == 0, again.said
    assert "1 of 1 jobs are finished already" in again.out
    assert swept.run(GOOD).metrics.stat() == written


def test_a_finished_job_of_another_config_is_refused(swept: Sweep, cli: Callable[..., Outcome]) -> None:
    other = cli(*swept.arguments, f"optimizer.lr=choice({GOOD})", "data.batch_size=3")
    assert other.code == 2
    assert "data.batch_size: 4 -> 3" in other.said


def test_several_processes_for_a_job_are_refused_with_the_reason(swept: Sweep, cli: Callable[..., Outcome]) -> None:
    before = (swept.folder / "study.yaml").read_text()
    refused = cli(*swept.arguments, "trainer=ddp", "optimizer.lr=0.02,0.03")
    assert refused.code == 2
    assert "needs hydra/launcher=process" in refused.err
    assert not swept.run(0.02).path.exists()
    assert (swept.folder / "study.yaml").read_text() == before


def test_a_launcher_that_gives_up_ends_the_sweep_with_its_words_and_the_table(
    small: list[str], cli: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*arguments: object, **named: object) -> None:
        raise RuntimeError("a worker was killed\nhere\nand there\nand so on")

    launcher = SimpleNamespace(launch=give_up)
    monkeypatch.setattr(Plugins, "instantiate_launcher", lambda *arguments, **named: launcher)
    outcome = cli("train", "-m", *small, f"hydra.sweep.dir={tmp_path}", "optimizer.lr=0.01,0.02")
    assert outcome.code == 1
    assert "2 left" in outcome.out
    assert outcome.err.endswith("the launcher gave up (RuntimeError): a worker was killed\nhere\nand there\n")


def test_slurm_is_composed_as_the_docs_say(cli: Callable[..., Outcome]) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    keys = {"partition": "gpu", "gpus_per_node": 1, "cpus_per_task": 2, "timeout_min": 240, "array_parallelism": 8}
    settings = [f"hydra.launcher.{key}={value}" for key, value in keys.items()]
    outcome = cli("train", "hydra/launcher=submitit_slurm", *settings, "--cfg", "hydra", "-p", "hydra.launcher")
    assert outcome.code == 0, outcome.said
    composed = yaml.safe_load(outcome.out)
    assert composed["_target_"].endswith("SlurmLauncher")
    assert {key: composed[key] for key in keys} == keys


@pytest.fixture(scope="module")
def searched(
    small: list[str], subprocess_cli: Callable[..., Outcome], tmp_path_factory: pytest.TempPathFactory
) -> Sweep:
    """Optuna's search among the two learning rates, four trials at once: some ask for the same job."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    folder = tmp_path_factory.mktemp("optuna") / "sweep"
    search = ["direction=maximize", "n_trials=4", "n_jobs=4", "max_failure_rate=1.0", "sampler.seed=1"]
    sweeper = ["hydra/sweeper=optuna", *(f"hydra.sweeper.{setting}" for setting in search)]
    settings = [*small, "trainer.max_epochs=1", f"hydra.sweep.dir={folder}", "study.name=rates"]
    arguments = ["train", "-m", *sweeper, *settings, f"optimizer.lr=choice({GOOD},{BAD})"]
    return Sweep(arguments, subprocess_cli(*arguments, cwd=folder.parent), folder)


def test_a_search_goes_on_past_a_trial_that_fails_and_finds_the_best(searched: Sweep) -> None:
    assert searched.outcome.code == 0, searched.outcome.said
    assert "2 jobs to run" in searched.outcome.out
    assert (state_of(searched.run(GOOD)), state_of(searched.run(BAD))) == (DONE, FAILED)
    found = yaml.safe_load((searched.folder / "optimization_results.yaml").read_text())
    assert found["best_params"] == {"optimizer.lr": GOOD}
    assert found["best_value"] == metrics_of(searched.run(GOOD).path)["dev"]["f1"]


def test_trials_are_on_record_by_what_was_searched(searched: Sweep) -> None:
    record = yaml.safe_load((searched.folder / "study.yaml").read_text())
    assert record["name"] == "rates"
    assert list(record["factors"]) == ["optimizer.lr"]
    assert {job["folder"] for job in record["jobs"]} == {f"optimizer.lr={rate}/seed=1" for rate in (GOOD, BAD)}


def test_the_same_search_asks_for_the_same_trials_and_trains_only_what_failed(
    searched: Sweep, subprocess_cli: Callable[..., Outcome]
) -> None:
    written = searched.run(GOOD).metrics.stat()
    again = subprocess_cli(*searched.arguments, cwd=searched.folder.parent)
    assert again.code == 0, again.said
    assert "1 jobs to run" in again.out
    assert searched.run(GOOD).metrics.stat() == written
