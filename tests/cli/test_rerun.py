"""`ner-lab train --resume DIR` and `ner-lab train --from DIR`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from finished import same_weights
from omegaconf import OmegaConf
from preloaded import Preloaded
from sample import Outcome

from ner_lab.config.compose import compose_config
from ner_lab.errors import Interrupted
from ner_lab.runs.folder import RunFolder
from ner_lab.training.module import TaggerModule
from ner_lab.training.train import train


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return RunFolder(folder).read_checkpoint()["state_dict"]


@pytest.fixture
def stopped(able: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was told to stop in its fifth epoch."""
    usual = TaggerModule.training_step

    def told(self: TaggerModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if (self.current_epoch, batch_idx) == (4, 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return usual(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(TaggerModule, "training_step", told)
        with pytest.raises(Interrupted):
            train(compose_config(able), tmp_path / "stopped", choices={"decoder": "crf"}, overrides=["seed=1"])
    return tmp_path / "stopped"


def test_a_stopped_run_goes_on_in_its_folder_and_ends_as_one_never_stopped(
    stopped: Path, run: Path, cli: Callable[..., Outcome]
) -> None:
    outcome = cli("train", "--resume", str(stopped))
    assert outcome.code == 0
    assert "resuming with epoch 5, from the checkpoint in" in outcome.out
    assert same_weights(stopped, run)
    assert metrics_of(stopped)["dev"] == metrics_of(run)["dev"]
    assert "resuming with epoch 5" in (stopped / "train.log").read_text()
    record = RunFolder(stopped).read_record()
    assert record["choices"] == {"decoder": "crf"}
    assert len(record["resumed"]) == 1


def test_a_finished_run_has_nothing_to_go_on_with_and_that_is_no_mistake(
    run: Path, cli: Callable[..., Outcome]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    outcome = cli("train", f"resume={run}")
    assert outcome.code == 0
    assert f"is finished already: dev F1 {metrics_of(run)['dev']['f1']:.2f}" in outcome.out
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_run_without_a_state_begins_anew(
    able: list[str], run: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    folder = tmp_path / "begun"
    folder.mkdir()
    for name in ("config.yaml", "run.json"):
        shutil.copy(run / name, folder)
    assert cli("train", f"resume={folder}").code == 0
    assert same_weights(folder, run)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--resume", "{stopped}", "seed=2"],
            ["--resume ", "takes no other arguments (got seed=2)", "--from", "seed=2"],
        ),
        (["--resume={tmp}/nowhere"], ["--resume ", "no such folder"]),
        (["resume={tmp}"], ["no config.yaml there"]),
        (["resume="], ["--resume : no such folder"]),
        (["--from", "{tmp}/nowhere"], ["--from", "no such folder"]),
        (["--from"], ["--from", "no such folder"]),
        (["--from={stopped}", "optimizer.lrr=1"], ["unknown config key 'optimizer.lrr'", "optimizer.lr"]),
        (["--from={stopped}", "decoder=crff"], ["decoder has no option 'crff'", "crf"]),
        (["--from={stopped}", "paper=lample2016"], ["ner-lab train paper=lample2016"]),
        (["--from={stopped}", "seed"], ["'seed': expected KEY=VALUE"]),
        (["--from={stopped}", "seed=x"], ["seed must be a whole number"]),
    ],
)
def test_what_cannot_be_gone_on_with_or_repeated_is_refused(
    arguments: list[str], said: list[str], stopped: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    outcome = cli("train", *(one.format(stopped=stopped, tmp=tmp_path) for one in arguments))
    assert outcome.code == 2
    assert all(part in outcome.err for part in said), outcome.err
    assert RunFolder(stopped).state.exists()


def test_a_diverged_run_is_not_gone_on_with(small: list[str], tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    folder = tmp_path / "run"
    diverging = ["max_loss=1e-3"]
    assert cli("train", *small, *diverging, f"hydra.run.dir={folder}").code == 2
    outcome = cli("train", f"resume={folder}")
    assert outcome.code == 2
    assert "training diverged" in outcome.err
    assert f"ner-lab train --from {folder}" in outcome.err


def test_a_run_folder_is_enough_to_repeat_the_run(run: Path, tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    outcome = cli("train", "--from", str(run), f"hydra.run.dir={tmp_path / 'again'}")
    assert outcome.code == 0
    assert f"all numbers are those of {run}, to the last digit" in outcome.out
    assert same_weights(tmp_path / "again", run)
    assert (tmp_path / "again" / "config.yaml").read_text() == (run / "config.yaml").read_text()


def test_a_repeated_run_has_a_folder_of_its_own(
    run: Path, tmp_path: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("train", f"--from={run}", "trainer.max_epochs=1", "seed=3").code == 0
    (folder,) = tmp_path.glob("outputs/run/seed=3/*")
    assert metrics_of(folder)["epochs"] == 1


def test_a_run_may_be_repeated_with_something_else(run: Path, tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    folder = tmp_path / "other"
    outcome = cli("train", "--from", str(run), "decoder=softmax", "trainer.max_epochs=2", f"hydra.run.dir={folder}")
    assert outcome.code == 0
    assert "all numbers" not in outcome.out + outcome.err
    record = RunFolder(folder).read_record()
    assert record["choices"]["decoder"] == "softmax"
    assert record["overrides"][-2:] == ["decoder=softmax", "trainer.max_epochs=2"]
    assert "softmax" in (folder / "config.yaml").read_text()


def test_other_versions_files_and_numbers_are_named(
    run: Path, corpus: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    source = tmp_path / "source"
    shutil.copytree(run, source)
    record = json.loads((source / "run.json").read_text())
    record["versions"]["torch"] = "1.0"
    (source / "run.json").write_text(json.dumps(record))
    metrics = metrics_of(source)
    metrics["history"][2]["train_loss"] = 7.5
    metrics["sources"]["dev"]["sha256"] = "0" * 64
    (source / "metrics.json").write_text(json.dumps(metrics))
    outcome = cli("train", "--from", str(source), f"hydra.run.dir={tmp_path / 'again'}")
    assert outcome.code == 0
    assert f"torch {torch.__version__.partition('+')[0]}" in outcome.err
    assert "(then 1.0)" in outcome.err
    assert f"dev is not the file that {source} was trained with" in outcome.err
    assert f"not the numbers of {source}: 1 of metrics.json differ: history.3.train_loss: 7.5 -> " in outcome.err


def test_where_a_strangers_run_is_put_does_not_lead_out(run: Path, tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    source = tmp_path / "source"
    shutil.copytree(run, source)
    config = (source / "config.yaml").read_text()
    assert "run_name: run\n" in config
    (source / "config.yaml").write_text(config.replace("run_name: run\n", "run_name: ../../elsewhere\n"))
    outcome = cli("train", "--from", str(source))
    assert outcome.code == 2
    assert "run_name must be a folder within outputs/; got '../../elsewhere'" in outcome.err


def started(arguments: list[str], folder: Path, python: str | Path = sys.executable) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [python, "-m", "ner_lab.cli.train", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(file: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 100
    while not file.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert file.exists(), process.communicate()[0]


def test_a_scheduler_can_tell_that_a_run_is_to_be_started_again(
    able: list[str], run: Path, preloaded: Preloaded, tmp_path: Path
) -> None:
    settings = [*able, "hydra.run.dir=run"]
    process = started(
        [item.replace("max_epochs=12", "max_epochs=2000") for item in settings], tmp_path, preloaded.python
    )
    wait_for(tmp_path / "run" / "checkpoints" / "state.ckpt", process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == os.EX_TEMPFAIL == 75
    assert re.search(r"stopped by SIGTERM; the checkpoint (before|after) .* is kept\.", said)
    assert "ner-lab train --resume run" in said
    assert "Traceback" not in said


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("processes", [1, 2])
def test_real_runs_killed_at_any_time_end_as_one_never_killed(
    processes: int, seed: int, able: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SIGKILL to all processes of a run, after a random time; then `resume=DIR`, killed again, and once more."""
    import random

    several = [f"trainer.devices={processes}", "trainer.strategy=ddp"] if processes > 1 else []
    settings = [*able, *several, "trainer.max_epochs=40", "early_stopping.patience=null"]
    whole = started([*settings, "hydra.run.dir=whole"], tmp_path)
    began = time.monotonic()
    assert whole.wait(200) == 0, whole.communicate()[0]
    takes = time.monotonic() - began
    draw = random.Random(seed)
    arguments = [*settings, "hydra.run.dir=killed"]
    for _ in range(2):
        process = started(arguments, tmp_path)
        time.sleep(draw.uniform(0.3, 1.0) * takes)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        arguments = ["resume=killed"] if (tmp_path / "killed" / "run.json").exists() else arguments
    last = started(arguments, tmp_path)
    assert last.wait(200) == 0, last.communicate()[0]
    assert same_weights(tmp_path / "killed", tmp_path / "whole")
    for split in ("dev", "test"):
        ours, theirs = (tmp_path / name / "predictions" / f"{split}.conll" for name in ("killed", "whole"))
        assert ours.read_bytes() == theirs.read_bytes()
        assert metrics_of(tmp_path / "killed")[split] == metrics_of(tmp_path / "whole")[split]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["encoder.hidden_dim=9", "encoder=lstm"], {"encoder.hidden_dim": 9}),
        (["trainer.max_time=1:00:00:00"], {"trainer.max_time": "1:00:00:00"}),
        (["+data.columns.pos=1"], {"data.columns.pos": 1}),
        (["data.dev_share=5e-2"], {"data.dev_share": 0.05}),
        (["seed=010"], "seed must be a whole number"),
        (["data.batch_size=1:00"], "data.batch_size must be a whole number"),
        (["threads=0b10"], "threads must be a whole number"),
        (["encoder.hidden_dm=9"], "unknown config key 'encoder.hidden_dm'"),
        (["~early_stopping"], "early_stopping cannot be left out"),
        (["~optimizer.clip_value"], "optimizer.clip_value cannot be left out"),
        (["~data.scheme"], "data.scheme cannot be left out"),
        (["~seedd"], "unknown config key 'seedd'. Did you mean 'seed'"),
    ],
    ids=str,
)
def test_overrides_of_a_run_are_read_as_those_of_a_new_one(
    overrides: list[str],
    expected: dict[str, Any] | str,
    run: Path,
    able: list[str],
    tmp_path: Path,
    cli: Callable[..., Outcome],
) -> None:
    short = ["trainer.max_epochs=1", "trainer.limit_train_batches=1"]
    usual = [one for one in able if not one.startswith(("encoder.", "trainer.max_epochs", "threads"))]
    outcomes = {
        "from": cli("train", "--from", str(run), *short, *overrides, f"hydra.run.dir={tmp_path / 'from'}"),
        "new": cli("train", *usual, *short, *overrides, f"hydra.run.dir={tmp_path / 'new'}"),
    }
    for name, outcome in outcomes.items():
        if isinstance(expected, str):
            assert outcome.code == 2, name
            assert expected in outcome.err, name
        else:
            assert outcome.code == 0, outcome.said
            cfg = OmegaConf.load(tmp_path / name / "config.yaml")
            assert {key: OmegaConf.select(cfg, key) for key in expected} == expected, name


def test_a_part_that_is_replaced_takes_its_old_overrides_out_of_the_record(
    able: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    short = ["trainer.max_epochs=1", "trainer.limit_train_batches=1"]
    assert cli("train", *able, *short, "encoder.hidden_dim=9", f"hydra.run.dir={tmp_path / 'run'}").code == 0
    outcome = cli("train", "--from", str(tmp_path / "run"), "encoder=lstm", f"hydra.run.dir={tmp_path / 'other'}")
    assert outcome.code == 0, outcome.said
    record = RunFolder(tmp_path / "other").read_record()
    assert [one for one in record["overrides"] if one.startswith("encoder")] == ["encoder=lstm"]
    assert "trainer.limit_train_batches=1" in record["overrides"]
    assert record["choices"]["encoder"] == "lstm"
