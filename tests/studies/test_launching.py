"""From jobs to processes: what is finished is skipped, what changed is refused, kept or redone; nothing is trained."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from ner_lab.errors import JobElsewhere, JobFailed, UserError
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.provenance import code_sum
from ner_lab.studies import launcher as launching
from ner_lab.studies.devices import Need
from ner_lab.studies.launcher import launch
from ner_lab.studies.process_pool import Launch, training_command

TRAINING = """
import os, pathlib, signal, sys, time
here, config, record, f1, more = pathlib.Path(sys.argv[1]), *sys.argv[2:]
(here / "config.yaml").write_text(config)
(here / "run.json").write_text(record)
exec(more)
(here / "metrics.json").write_text('{"status": "ok", "dev": {"f1": %s}, "test": {"f1": 1}}' % f1)
"""
"""What training leaves behind; `more` may keep it from that."""
OK = {"status": "ok", "dev": {"f1": 50.0}}


def config_of(folder: str, **values: Any) -> DictConfig:
    decoder, _, seed = folder.partition("/seed=")
    trainer = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "max_epochs": 3}
    own = {"decoder": decoder.removeprefix("decoder="), "seed": int(seed), "threads": 1, "trainer": trainer}
    return OmegaConf.create({**own, **values})


class Study:
    """Jobs in a folder, launched with programs that only pretend to train."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.started: list[str] = []
        self.launches: dict[str, Launch] = {}
        self.programs: dict[str, str] = {}
        self.hydra: list[str] = []

    def command(self, job: Launch, source: list[str]) -> list[str]:
        self.started.append(job.name)
        self.launches[job.name] = job
        config = OmegaConf.to_yaml(self.configs[job.name])
        record = json.dumps({"code": code_sum()})
        arguments = [str(job.run.path), config, record, str(float(job.name[-1])), self.programs.get(job.name, "")]
        return [sys.executable, "-S", "-c", TRAINING, *arguments]

    def launch(self, *folders: str, config: dict[str, Any] | None = None, **settings: Any) -> list[float | Exception]:
        """Their values; what was started stands in `started`."""
        self.started = []
        self.configs = {folder: config_of(folder, **(config or {})) for folder in folders}
        sweep = {folder: {"hydra": {"sweep": {"dir": str(self.place), "subdir": folder}}} for folder in folders}
        jobs = [
            (
                [f"seed={folder[-1]}", f"hydra.sweep.subdir='{folder}'"],
                OmegaConf.merge(self.configs[folder], sweep[folder]),
            )
            for folder in folders
        ]
        sources = [{"path": "/own/sweeps", "schema": "file", "provider": "command-line"}]
        master = {
            "overrides": {"hydra": self.hydra},
            "job": {"config_name": "tiny"},
            "runtime": {"config_sources": sources},
        }
        given = {"n_jobs": 2, "gpus": [], "jobs_per_gpu": 1, "on_config_change": "refuse", **settings}
        return launch(jobs, OmegaConf.create({"hydra": master}), **given)

    def run(self, folder: str) -> RunFolder:
        return RunFolder(self.place / folder)

    def contents(self) -> dict[str, bytes]:
        return {
            str(file.relative_to(self.place)): file.read_bytes() for file in self.place.rglob("*") if file.is_file()
        }


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    made = Study(tmp_path / "study")
    monkeypatch.setattr(launching, "training_command", made.command)
    monkeypatch.setattr("ner_lab.studies.process_pool._PAUSE", 0.01)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield made
    root.handlers[:] = handlers
    root.setLevel(level)


ALL = ("decoder=crf/seed=1", "decoder=crf/seed=2", "decoder=softmax/seed=1", "decoder=softmax/seed=2")


# what is run


def test_the_value_of_a_job_is_its_dev_f1_and_a_rerun_starts_nothing(study: Study) -> None:
    assert study.launch(*ALL) == [1.0, 2.0, 1.0, 2.0]
    assert sorted(study.started) == sorted(ALL)
    before = study.contents()
    assert study.launch(*ALL) == [1.0, 2.0, 1.0, 2.0]
    assert study.started == []
    assert study.contents() == before


def test_only_what_is_not_done_is_run_and_new_seeds_join_the_old_ones(study: Study) -> None:
    more = [*ALL, "decoder=crf/seed=3", "decoder=softmax/seed=3"]
    study.launch(*more)
    study.run(more[0]).metrics.unlink()  # killed
    study.run(more[1]).metrics.write_text('{"status": "ok", "dev": {"f')  # half-written
    study.run(more[2]).metrics.write_text('{"status": "failed", "failure": "diverged"}')
    study.run(more[3]).metrics.unlink()
    study.run(more[3]).failure.write_text('{"reason": "killed by SIGKILL", "log": []}')
    kept = study.run(more[4]).metrics.stat()
    new = "decoder=crf/seed=9"
    assert study.launch(*more, new) == [1.0, 2.0, 1.0, 2.0, 3.0, 3.0, 9.0]
    assert sorted(study.started) == sorted([*more[:4], new])
    assert study.run(more[4]).metrics.stat() == kept
    attempts = {folder: sorted(file.name for file in study.run(folder).attempts.glob("1/*")) for folder in more[:4]}
    assert list(attempts.values()) == [
        ["config.yaml", "run.json"],
        ["config.yaml", "metrics.json", "run.json"],
        ["config.yaml", "metrics.json", "run.json"],
        ["config.yaml", "failure.json", "run.json"],
    ]
    assert not study.run(new).attempts.exists()


def test_a_failure_is_a_value_that_says_why_and_neighbours_have_theirs(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    study.programs = {
        ALL[0]: "print('so far', flush=True); os.kill(os.getpid(), signal.SIGKILL)",
        ALL[2]: '(here / \'metrics.json\').write_text(\'{"status": "failed", "failure": "diverged"}\'); sys.exit(2)',
        ALL[3]: "sys.exit(0)",
    }
    killed, well, diverged, silent = study.launch(*ALL)
    assert well == 2.0
    assert [type(value) for value in (killed, diverged, silent)] == [JobFailed] * 3
    assert str(killed) == "decoder=crf/seed=1: killed by SIGKILL"
    assert str(diverged) == "decoder=softmax/seed=1: diverged"
    assert str(silent) == "decoder=softmax/seed=2: ended without metrics.json"
    said = capsys.readouterr()
    assert "failed  decoder=crf/seed=1: killed by SIGKILL\n    | so far\n" in said.err
    assert "failed  decoder=softmax/seed=1: diverged\n" in said.err
    assert "done    decoder=crf/seed=2  dev F1 2.00  test F1 1.00" in said.out
    assert (said.out + said.err).count("decoder=softmax/seed=1") == 1
    study.programs = {}
    assert study.launch(*ALL) == [1.0, 2.0, 1.0, 2.0]
    assert study.started == [ALL[0], ALL[2], ALL[3]]


def test_a_run_below_its_limit_counts_as_failed_with_its_scores(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = json.dumps({"status": "failed", "failure": "too low", "dev": {"f1": 3.0}})
    study.programs = {ALL[0]: f"(here / 'metrics.json').write_text({metrics!r}); sys.exit(0)"}
    (value,) = study.launch(ALL[0])
    assert str(value) == "decoder=crf/seed=1: too low"
    said = capsys.readouterr()
    assert said.err == "1/1  failed  decoder=crf/seed=1  dev F1 3.00: too low\n"
    assert "done" not in said.out


def test_what_fails_behind_its_metrics_has_its_value(study: Study) -> None:
    study.programs = {ALL[0]: f"(here / 'metrics.json').write_text({json.dumps(OK)!r}); sys.exit(1)"}
    assert study.launch(ALL[0]) == [50.0]


def test_a_job_that_runs_elsewhere_is_left_to_it(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    other = study.run(ALL[0])
    other.path.mkdir(parents=True)
    other._hold()
    try:
        elsewhere, well = study.launch(*ALL[:2])
    finally:
        other.release()
    assert study.started == [ALL[1]]
    assert (type(elsewhere), well) == (JobElsewhere, 2.0)
    assert "decoder=crf/seed=1 is being trained by another process, and is left to it" in capsys.readouterr().err


def test_two_sweeps_at_once_train_no_job_twice(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    others = "other = here.parent / 'seed=2'; other.mkdir(); "
    study.programs = {ALL[0]: others + f"(other / 'metrics.json').write_text({json.dumps(OK)!r})"}
    assert study.launch(*ALL[:2], n_jobs=1) == [1.0, 50.0]
    assert study.started == [ALL[0]]
    assert "decoder=crf/seed=2 was taken by another sweep meanwhile" in capsys.readouterr().out


# what changed since


def test_finished_jobs_of_another_config_are_refused_by_key_and_nothing_is_touched(study: Study) -> None:
    study.launch(*ALL)
    before = study.contents()
    with pytest.raises(UserError) as refused:
        study.launch(*ALL, "decoder=crf/seed=3", config={"trainer": {**config_of(ALL[0]).trainer, "max_epochs": 9}})
    message = str(refused.value)
    assert message.startswith("4 finished jobs have another config than the one requested. Nothing was started.\n")
    assert "  decoder=crf/seed=1\n    trainer.max_epochs: 3 -> 9\n" in message
    assert "on_config_change=redo" in message
    assert study.started == []
    assert study.contents() == before


def test_of_many_changes_some_are_named_and_the_rest_counted(study: Study) -> None:
    many = [f"decoder=crf/seed={seed}" for seed in range(1, 8)]
    study.launch(*many, n_jobs=7)
    with pytest.raises(UserError) as refused:
        study.launch(*many, config={f"key{number}": 1 for number in range(7)})
    message = str(refused.value)
    assert message.startswith("7 finished jobs")
    assert message.count("    key0: (none) -> 1") == 5
    assert message.count("    and 2 more keys") == 5
    assert "  and 2 more jobs" in message


def test_finished_jobs_of_another_config_can_be_kept(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    study.launch(*ALL[:2])
    before = study.contents()
    assert study.launch(*ALL[:3], config={"extra": 1}, on_config_change="keep") == [1.0, 2.0, 1.0]
    assert study.started == [ALL[2]]
    assert {name: content for name, content in study.contents().items() if name in before} == before
    assert "2 finished jobs have another config" in capsys.readouterr().err


def test_finished_jobs_of_another_config_can_be_made_anew_and_the_old_results_stay(study: Study) -> None:
    study.launch(*ALL)
    other = OmegaConf.load(study.run(ALL[1]).config)
    study.run(ALL[1]).config.write_text(OmegaConf.to_yaml(OmegaConf.merge(other, {"seed": 77})))
    assert study.launch(*ALL, on_config_change="redo") == [1.0, 2.0, 1.0, 2.0]
    assert study.started == [ALL[1]]
    old = study.run(ALL[1]).attempts / "1"
    assert OmegaConf.load(old / "config.yaml").seed == 77
    assert json.loads((old / "metrics.json").read_text())["status"] == "ok"
    assert OmegaConf.load(study.run(ALL[1]).config).seed == 2
    assert study.launch(*ALL) == [1.0, 2.0, 1.0, 2.0]


def test_other_code_is_reported_and_made_anew_only_where_that_is_asked_for(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    study.launch(*ALL[:2])
    study.run(ALL[0]).record.write_text('{"code": "older", "git": {"commit": "0123456789"}}')
    capsys.readouterr()
    assert study.launch(*ALL[:2]) == [1.0, 2.0]
    assert study.started == []
    assert "1 finished jobs were trained by other code (commit 01234567)" in capsys.readouterr().err
    study.launch(*ALL[:2], on_config_change="redo")
    assert study.started == [ALL[0]]


# settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"on_config_change": "rdeo"},
            r"on_config_change must be one of refuse, keep, redo; got 'rdeo'\. Did you mean 'redo'",
        ),
        ({"n_jobs": 0}, "n_jobs must be at least 1"),
        ({"n_jobs": "two"}, "n_jobs must be at least 1"),
        ({"jobs_per_gpu": 0}, "jobs_per_gpu must be at least 1"),
        ({"gpus": [0, 0]}, "names one twice"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_set_aside(
    settings: dict[str, Any], message: str, study: Study
) -> None:
    study.launch(ALL[0])
    before = study.contents()
    with pytest.raises(UserError, match=message):
        study.launch(*ALL, config={"extra": 1}, **{"on_config_change": "redo", **settings})
    assert study.contents() == before


@pytest.mark.parametrize(
    ("trainer", "settings", "at_once"),
    [
        ({}, {"n_jobs": None}, 8),
        ({"devices": 2}, {"n_jobs": None}, 4),
        ({"devices": 2}, {"n_jobs": 3}, 3),
        ({"accelerator": "gpu"}, {"n_jobs": None, "gpus": [0, 1]}, 2),
        ({"accelerator": "gpu"}, {"n_jobs": None, "gpus": [0, 1], "jobs_per_gpu": 3}, 6),
    ],
)
def test_as_many_jobs_run_at_once_as_the_machine_takes(
    trainer: dict[str, Any],
    settings: dict[str, Any],
    at_once: int,
    study: Study,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(launching, "available_cores", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    folders = [f"decoder=crf/seed={seed}" for seed in range(1, 10)]
    study.launch(*folders, config={"trainer": {**config_of(ALL[0]).trainer, **trainer}}, **settings)
    assert f"9 jobs to run, {at_once} at once\n" in capsys.readouterr().out


def test_a_job_is_told_its_folder_and_nothing_of_the_sweep(study: Study, tmp_path: Path) -> None:
    study.place = tmp_path / "it's, a [place]"
    study.hydra = [
        *("hydra.sweep.dir=x", "hydra.mode=MULTIRUN", "hydra/launcher=process", "hydra.launcher.n_jobs=2"),
        *("hydra.sweeper.params.a=b", "+hydra.launcher.x=1", "hydra.verbose=true", "hydra/job_logging=none"),
    ]
    assert study.launch(ALL[0]) == [1.0]
    folder = str(study.place / ALL[0]).replace("'", "\\'")
    assert study.launches[ALL[0]].overrides == [
        *("seed=1", "hydra.verbose=true", "hydra/job_logging=none"),
        *(f"hydra.run.dir='{folder}'", "hydra.mode=RUN"),
    ]


def test_a_job_is_a_training_with_the_config_of_the_sweep() -> None:
    job = Launch(["seed=1"], RunFolder("x"), Need(1, 1, False))
    source = ["--config-name", "tiny", "--config-dir", "/own/sweeps"]
    assert training_command(job, source) == [sys.executable, "-m", "ner_lab.cli.train", *source, "seed=1"]
