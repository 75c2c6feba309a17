"""`ner-lab sweep`, end to end: real trainings in processes of their own, few and small."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from preloaded import Preloaded
from sample import DEV, TEST, TRAIN, Outcome, marked, metrics_of, read_columns, write_corpus

from ner_lab.runs.folder import RunFolder
from ner_lab.runs.state import state_of
from ner_lab.training.train import train

ROWS = """
# Does this work?
defaults: [config, {override data: files}, {override logger: none}, _self_]
data: {train: c/train.conll, dev: c/dev.conll, batch_size: 4}
word_embedding: {dim: 12}
encoder: {hidden_dim: 12}
trainer: {max_epochs: 1}
study:
  question: Does this work?
  factors: {decoder: decoder, data.test: file}
  baseline: well
  published: {well: {test: 90.1, source: nowhere}}
hydra:
  sweeper:
    params: {seed: 1}
    variants:
      well: {decoder: softmax, data.test: c/test.conll}
      lacking: {decoder: crf, data.test: c/later.conll}
"""
GRID = """
# Which decoder?
defaults: [config, {override data: files}, {override logger: none}, _self_]
data: {train: c/train.conll, dev: c/dev.conll, test: c/test.conll, batch_size: 4}
word_embedding: {dim: 12}
encoder: {hidden_dim: 12}
trainer: {max_epochs: 1}
study: {name: of_decoders}
hydra: {sweeper: {params: {decoder: "softmax,crf", seed: "1,2"}}}
"""
WELL = "data.test=c_test.conll,decoder=softmax/seed=1"
LACKING = "data.test=c_later.conll,decoder=crf/seed=1"
BASIC = "hydra/launcher=basic"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to work in, with studies and a corpus, of which a file is not there yet."""
    folder = tmp_path_factory.mktemp("home")
    for name, text in (("train", TRAIN), ("dev", DEV), ("test", TEST)):
        write_corpus(folder / "c" / f"{name}.conll", marked(text))
    (folder / "sweeps").mkdir()
    for name, text in (("rows", ROWS), ("grid", GRID)):
        (folder / "sweeps" / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def swept(home: Path, subprocess_cli: Callable[..., Outcome]) -> Outcome:
    """How the study of rows went: two trainings side by side, one of which lacks its file."""
    return subprocess_cli("sweep", "sweeps/rows.yaml", "hydra.launcher.n_jobs=2", cwd=home)


@pytest.fixture
def sweep(
    home: Path,
    swept: Outcome,
    preloaded: Preloaded,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Outcome]:
    """`ner-lab sweep`, called in the folder where the study of rows has been run."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "executable", str(preloaded.python))  # of the jobs
    return lambda *arguments: cli("sweep", *arguments)


def counts_of(outcome: Outcome, row: str = "all") -> dict[str, int]:
    """Of the table of jobs by state."""
    lines = [line.split() for line in outcome.out.splitlines()]
    begin = max(number for number, line in enumerate(lines) if line[:1] == ["configuration"])
    values = next(line for line in lines[begin:] if line[:1] == [row])
    return {state: int(count) for state, count in zip(lines[begin][1:6], values[1:6], strict=True) if count != "0"}


# what a sweep leaves


def test_a_job_that_fails_is_named_with_its_reason_and_last_words_and_the_sweep_ends_with_code_1(
    home: Path, swept: Outcome
) -> None:
    assert swept.code == 1, swept.said
    assert "Traceback" not in swept.said
    assert swept.err.endswith("error: 1 of 2 jobs failed\n")
    assert counts_of(swept) == {"done": 1, "failed": 1}
    reason, *lines = swept.out.partition("\nfailed\n")[2].splitlines()
    assert reason == f"  {LACKING}: refused (exit code 2)"
    assert f"{home}/c/later.conll" in lines[0]
    assert "the same command again runs what is not done" in swept.out
    failure = json.loads((home / "outputs" / "rows" / LACKING / "failure.json").read_text())
    assert failure["exit_code"] == 2


def test_its_neighbour_is_complete(home: Path, swept: Outcome) -> None:
    folder = home / "outputs" / "rows" / WELL
    metrics = metrics_of(folder)
    assert (metrics["status"], metrics["seed"], metrics["epochs"]) == ("ok", 1, 1)
    assert f"done    {WELL}  dev F1 {metrics['dev']['f1']:.2f}  test F1 {metrics['test']['f1']:.2f}" in swept.out
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        *("config.yaml", "run.json", "metrics.json", "checkpoints/best.ckpt", ".lock", "train.log", "console.log"),
        *("predictions/dev.conll", "predictions/test.conll"),
    }
    assert "epoch 1/1" in (folder / "console.log").read_text()
    assert "epoch 1/1" not in swept.out, "what a job says stays in its folder"
    record = json.loads((folder / "run.json").read_text())
    assert record["choices"]["decoder"] == "softmax"
    assert "seed=1" in record["overrides"]


def test_the_study_is_on_record(home: Path, swept: Outcome) -> None:
    record = yaml.safe_load((home / "outputs" / "rows" / "study.yaml").read_text())
    assert (record["name"], record["question"]) == ("rows", "Does this work?")
    assert record["factors"] == {"decoder": "decoder", "data.test": "file"}
    well = WELL.partition("/")[0]
    assert record["baseline"] == well
    assert record["published"] == {well: [{"test": 90.1, "source": "nowhere"}]}
    assert [(job["label"], job["folder"]) for job in record["jobs"]] == [("well", WELL), ("lacking", LACKING)]


# looking at it


@pytest.mark.parametrize(
    "arguments",
    [
        ["rows", "--status"],
        ["--status", "rows"],
        ["sweeps/rows.yaml", "--status"],
        ["outputs/rows/", "--status"],
        ["rows", "hydra.sweep.dir=outputs/rows", "--status"],
        ["rows", "--watch"],
    ],
)
def test_the_status_is_shown_for_a_name_a_file_or_a_folder(arguments: list[str], sweep: Callable[..., Outcome]) -> None:
    outcome = sweep(*arguments)
    assert outcome.code == 0, outcome.said
    assert counts_of(outcome) == {"done": 1, "failed": 1}
    assert "1 done, 1 failed; about " in outcome.out
    assert f"  {LACKING}: refused (exit code 2)" in outcome.out


def test_a_study_that_was_never_run_has_no_status_yet(sweep: Callable[..., Outcome]) -> None:
    outcome = sweep("grid", "--status")
    assert (outcome.code, outcome.out) == (0, "outputs/of_decoders: not started yet. ner-lab sweep grid runs it.\n")


def test_the_studies_there_are_are_listed_ours_and_those_of_the_package(sweep: Callable[..., Outcome]) -> None:
    outcome = sweep()
    assert outcome.code == 0
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "rows Does this work?" in lines
    assert any(line.startswith("chars_by_decoder Does the CRF still help") for line in lines)


def test_help_says_how_it_is_called(sweep: Callable[..., Outcome]) -> None:
    outcome = sweep("--help")
    assert outcome.code == 0
    for word in ("--status", "hydra.launcher.n_jobs", "outputs/NAME/CHOICES/seed=N"):
        assert word in outcome.out


def test_the_config_of_a_study_can_be_looked_at(sweep: Callable[..., Outcome]) -> None:
    outcome = sweep("rows", "trainer.max_epochs=7", "--cfg", "job")
    assert outcome.code == 0, outcome.said
    assert "max_epochs: 7" in outcome.out
    assert "question: Does this work?" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chars_by_decodr"], "no study 'chars_by_decodr'. Did you mean 'chars_by_decoder'?"),
        (["row", "--status"], "no study 'row'. Did you mean 'rows'?"),
        (["sweeps/none.yaml"], "sweeps/none.yaml: there is no such file"),
        (["seed=1", "rows"], "'seed=1': the study's name comes first"),
        (["--status"], "the study's name comes first"),
        (["rows", "seed=1", "--status"], "'seed=1': --status takes NAME or FOLDER"),
        (["rows", "decoder=crf"], "decoder is set by the variants of this study"),
        (["rows", "sede=1"], "unknown config key 'sede'. Did you mean 'seed'?"),
        (["grid", "decoder=softmax,crff"], "decoder has no option 'crff'. Did you mean 'crf'?"),
        (["grid", "optimizer.lr=interval(0.1,0.2)"], "hydra/sweeper=optuna"),
        (["grid", "trainer=gpu", "hydra.launcher.gpus=[]"], "there is no GPU to give to a job"),
        (["grid", "hydra.launcher.n_jobs=0"], "n_jobs must be at least 1"),
        (["grid", "trainer=ddp", BASIC], "needs hydra/launcher=process"),
        (["grid", "trainer.devices=2", BASIC], "needs hydra/launcher=process"),
        (["grid", "trainer.devices=[0,1]", BASIC], "needs hydra/launcher=process"),
    ],
)
def test_a_mistake_is_answered_in_words_before_anything_starts(
    arguments: list[str], message: str, home: Path, sweep: Callable[..., Outcome]
) -> None:
    before = contents(home)
    outcome = sweep(*arguments)
    assert outcome.code == 2, outcome.said
    assert message in outcome.err
    assert "Traceback" not in outcome.said
    assert outcome.out == ""
    after = {name: content for name, content in contents(home).items() if not name.endswith(".lock")}
    assert after == {name: content for name, content in before.items() if not name.endswith(".lock")}


# again


def test_a_change_of_config_is_refused_and_nothing_is_touched(home: Path, sweep: Callable[..., Outcome]) -> None:
    before = contents(home / "outputs")
    outcome = sweep("rows", "trainer.max_epochs=2", "seed=1,2")
    assert outcome.code == 2
    assert f"  {WELL}\n    trainer.max_epochs: 1 -> 2\n" in outcome.err
    assert contents(home / "outputs") == before


def test_finished_jobs_are_skipped_by_whatever_name_and_launcher_they_are_asked_for_again(
    home: Path, sweep: Callable[..., Outcome], cli: Callable[..., Outcome]
) -> None:
    only = "hydra.sweeper.include=[well]"
    before = contents(home / "outputs" / "rows" / WELL)
    same = ["train", "-m", "--config-dir", "sweeps", "--config-name", "rows", only]
    for outcome in (sweep("rows", only), sweep("rows", only, BASIC), cli(*same), cli(*same, "logger=csv")):
        assert outcome.code == 0, outcome.said
        assert "1 of 1 jobs are finished already" in outcome.out
        assert counts_of(outcome) == {"done": 1}
    assert contents(home / "outputs" / "rows" / WELL) == before


def test_a_failed_job_is_run_again_alone(home: Path, sweep: Callable[..., Outcome], tmp_path: Path) -> None:
    place = shutil.copytree(home / "outputs" / "rows", tmp_path / "rows")
    before = contents(place / WELL)
    later = write_corpus(home / "c" / "later.conll", marked(TEST))
    try:
        outcome = sweep("rows", BASIC, f"hydra.sweep.dir={place}")
    finally:
        later.unlink()
    assert outcome.code == 0, outcome.said
    assert (
        "1 of 2 jobs are finished already\n1 failed or stopped jobs are run again, 0 of them from a checkpoint\n"
        in outcome.out
    )
    assert counts_of(outcome) == {"done": 2}
    assert contents(place / WELL) == before
    assert metrics_of(place / LACKING)["test"]["sentences"] == len(marked(TEST))
    assert (place / LACKING / "attempts" / "1" / "failure.json").exists()
    assert not (place / LACKING / "failure.json").exists()


def test_jobs_of_two_processes_each_give_the_whole_result(home: Path, sweep: Callable[..., Outcome]) -> None:
    outcome = sweep(
        "rows", "hydra.sweeper.include=[well]", "trainer=ddp", "trainer.accelerator=cpu", "hydra.sweep.dir=two"
    )
    assert outcome.code == 0, outcome.said
    alone, both = home / "outputs" / "rows" / WELL, home / "two" / WELL
    for split in ("dev", "test"):
        for count in ("tokens", "sentences", "gold"):
            assert metrics_of(both)[split][count] == metrics_of(alone)[split][count]
        first, second = (read_columns(place / "predictions" / f"{split}.conll") for place in (alone, both))
        assert [[row[:2] for row in rows] for rows in first] == [[row[:2] for row in rows] for rows in second]
    assert metrics_of(both).keys() == metrics_of(alone).keys()
    assert len(metrics_of(both)["history"]) == 1
    assert [path.name for path in (home / "two").rglob("metrics.json")] == ["metrics.json"]


# other launchers


def test_jobs_of_one_device_run_under_hydras_own_launcher_as_well(
    home: Path, sweep: Callable[..., Outcome], tmp_path: Path
) -> None:
    place = f"hydra.sweep.dir={tmp_path}"
    outcome = sweep("rows", BASIC, place, "seed=1,2")
    assert outcome.code == 1
    assert counts_of(outcome) == {"done": 2, "failed": 2}
    assert f"{LACKING}: " in outcome.out.partition("\nfailed\n")[2]
    assert "later.conll" in outcome.out.partition("\nfailed\n")[2]
    well = sorted(metrics_of(path.parent)["seed"] for path in tmp_path.rglob("metrics.json"))
    assert well == [1, 2]
    before = contents(tmp_path / WELL)
    again = sweep("rows", BASIC, place, "hydra.sweeper.include=[well]", "seed=1,2,3")
    assert again.code == 0, again.said
    assert "2 of 3 jobs are finished already" in again.out
    assert counts_of(again) == {"done": 3}
    assert contents(tmp_path / WELL) == before


# stopping


@pytest.fixture
def long(home: Path, preloaded: Preloaded, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A sweep whose first job trains for long, in a process of its own."""
    settings = ["trainer.max_epochs=100000", "early_stopping.patience=null", "hydra.launcher.n_jobs=1"]
    command = [preloaded.ner_lab, "sweep", "grid", *settings, f"hydra.sweep.dir={tmp_path}"]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_to_a_sweep_stops_its_jobs_which_keep_their_checkpoints(
    long: subprocess.Popen[str], sign: signal.Signals, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "decoder=softmax" / "seed=1")
    until = time.monotonic() + 120
    while not run.progress.exists():
        assert long.poll() is None, long.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.1)
    assert state_of(run) == "running"
    long.send_signal(sign)
    said = long.communicate(timeout=120)[0]
    assert long.returncode == 130
    assert "1 unfinished, 3 left" in said
    assert said.endswith("interrupted\n")
    assert state_of(run) == "unfinished"
    assert "stopped by SIGINT; the checkpoint " in (run.path / "console.log").read_text()
    assert run.state.exists()
    assert not (tmp_path / "decoder=softmax" / "seed=2").exists()


LONG = GRID.replace("max_epochs: 1}", "max_epochs: 30}\nearly_stopping: {patience: null}")
LONG = LONG.replace("of_decoders", "long").replace(
    '{params: {decoder: "softmax,crf", seed: "1,2"}}', "{params: {seed: PARAMS}}"
)


def pid_of_job(folder: Path) -> int:
    """The process that trains in a folder, which its command line names."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode().split("\0")
            if "ner_lab.cli.train" in words and any(str(folder) in word for word in words):
                return int(process.name)
    raise AssertionError(f"no process trains in {folder}")


def epochs_logged(folder: Path) -> list[int]:
    log = folder / "console.log"
    return [int(number) for number in re.findall(r"^epoch +(\d+)/", log.read_text(), re.M)] if log.exists() else []


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize(
    ("while_swept", "afterwards", "epochs"),
    [
        ({1: signal.SIGKILL}, {}, 8),
        pytest.param(
            {1: signal.SIGTERM, 2: signal.SIGKILL}, {3: signal.SIGTERM, 4: signal.SIGKILL}, 30, marks=pytest.mark.soak
        ),
    ],
)
def test_jobs_that_were_stopped_or_killed_resume_and_end_as_if_they_never_were(
    while_swept: dict[int, signal.Signals],
    afterwards: dict[int, signal.Signals],
    epochs: int,
    home: Path,
    subprocess_cli: Callable[..., Outcome],
    tmp_path: Path,
) -> None:
    """Signals to a job alone, to one whose sweep was killed, and to the sweep alone (job 5)."""
    seeds = [*while_swept, *afterwards, 5]
    study = LONG.replace("PARAMS", f"'{','.join(map(str, seeds))}'").replace("max_epochs: 30", f"max_epochs: {epochs}")
    (home / "sweeps" / f"long{epochs}.yaml").write_text(study.replace("name: long", f"name: long{epochs}"))
    command = ["sweep", f"long{epochs}", f"hydra.launcher.n_jobs={len(seeds)}"]
    of_seed = {seed: home / "outputs" / f"long{epochs}" / "default" / f"seed={seed}" for seed in seeds}
    program = Path(sys.executable).with_name("ner-lab")  # jobs are paused and killed by their process numbers
    with subprocess.Popen([program, *command], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as sweep:
        until = time.monotonic() + 300
        paused: dict[int, int] = {}
        while len(paused) < len(of_seed):
            assert sweep.poll() is None, sweep.communicate()[0]
            assert time.monotonic() < until
            for seed in of_seed.keys() - paused.keys():
                if len(epochs_logged(of_seed[seed])) >= 3:
                    paused[seed] = pid_of_job(of_seed[seed])
                    os.kill(paused[seed], signal.SIGSTOP)
            time.sleep(0.01)
        for signals in (while_swept, afterwards):
            for seed, number in signals.items():
                os.kill(paused[seed], number)
                os.kill(paused[seed], signal.SIGCONT)
            os.kill(sweep.pid, signal.SIGKILL)
        os.kill(paused[5], signal.SIGCONT)
        sweep.communicate()
    while any(state_of(RunFolder(folder)) == "running" for folder in of_seed.values()):
        assert time.monotonic() < until
        time.sleep(0.02)
    before = {seed: epochs_logged(folder) for seed, folder in of_seed.items()}
    assert before.pop(5) == list(range(1, epochs + 1)), "a job whose sweep was killed trains to its end"
    assert state_of(RunFolder(of_seed.pop(5))) == "done"
    assert all(3 <= len(logged) < epochs for logged in before.values()), before
    again = subprocess_cli(*command, cwd=home)
    assert again.code == 0, again.said
    assert f"1 of {len(seeds)} jobs are finished already" in again.out
    assert f"{len(before)} failed or stopped jobs are run again, {len(before)} of them from a checkpoint" in again.out
    for seed, folder in of_seed.items():
        resumed = epochs_logged(folder)[len(before[seed]) :]
        # an epoch that was logged and not yet in a checkpoint may be finished again
        assert resumed in (list(range(first, epochs + 1)) for first in (before[seed][-1], before[seed][-1] + 1)), (
            resumed
        )
        train(RunFolder(folder).read_config(), tmp_path / str(seed))
        assert [entry["epoch"] for entry in metrics_of(folder)["history"]] == list(range(1, epochs + 1))
        weights, expected = (RunFolder(place).read_weights()[0] for place in (folder, tmp_path / str(seed)))
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
