"""Former names of keys work, with one line of warning where a person wrote them."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from preloaded import Preloaded
from sample import Outcome

from ner_lab.config.compose import apply_overrides, compose_config
from ner_lab.config.renames import current_words, with_current_names
from ner_lab.config.study_files import jobs_of, read_study_file

OLD = {
    "explode_above": ("max_loss", 7.5),
    "fail_below": ("min_dev_score", 60),
    "optimizer.clip_at": ("optimizer.clip_value", 2.5),
}


def warnings_in(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(
    ("word", "current"),
    [
        ("fail_below=95", ["min_dev_score=95"]),
        ("++optimizer.clip_at=1,5", ["++optimizer.clip_value=1,5"]),
        ("hydra.launcher.changed=keep", ["hydra.launcher.on_config_change=keep"]),
        ("hydra.sweeper.only=[BLSTM]", ["hydra.sweeper.include=[BLSTM]"]),
        ("state_every=30", []),
    ],
)
def test_an_override_with_a_former_name_is_that_with_the_current_name(
    word: str, current: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert current_words(["seed=2", word, "--cfg"]) == ["seed=2", *current, "--cfg"]
    (warning,) = warnings_in(caplog)
    key = word.lstrip("+").partition("=")[0]
    assert warning.startswith(f"{key} is deprecated: ")
    assert (f"use {current[0].lstrip('+').partition('=')[0]}" if current else "no effect") in warning


@pytest.mark.parametrize("old", OLD)
def test_former_names_set_the_same_value_in_new_configs_and_in_those_of_runs(
    old: str, caplog: pytest.LogCaptureFixture
) -> None:
    new, value = OLD[old]
    assert compose_config([f"{old}={value}"]) == compose_config([f"{new}={value}"])
    changed = compose_config([])
    apply_overrides(changed, [f"{old}={value}"])
    assert changed == compose_config([f"{new}={value}"])
    assert len(warnings_in(caplog)) == 2
    of_a_run = compose_config([])
    place, _, name = old.rpartition(".")
    section = OmegaConf.select(of_a_run, place) if place else of_a_run
    OmegaConf.set_struct(of_a_run, False)
    del section[new.rpartition(".")[2]]
    section[name], of_a_run.state_every = value, 60
    assert with_current_names(of_a_run) == compose_config([f"{new}={value}"])
    assert len(warnings_in(caplog)) == 2, "only what a person has written is worth a warning"


def test_a_study_with_former_names_has_the_same_jobs(
    tmp_path: Path,
    preloaded: Preloaded,
    cli: Callable[..., Outcome],
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "conf/paper").mkdir(parents=True)
    (tmp_path / "conf/paper/mine.yaml").write_text("# @package _global_\nfail_below: 0\n")
    study = {"defaults": ["config", {"override paper": "mine"}, "_self_"], "explode_above": 50, "study": {"name": None}}
    choices = {"a": {"optimizer.clip_at": 1, "seed": 1}, "b": {"optimizer.clip_at": 2, "seed": 1}}
    rows = {label: {"optimizer.clip_at": row["optimizer.clip_at"]} for label, row in choices.items()}
    sweeper = {"params": {"seed": "1,2"}, "rows": rows}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(study | {"hydra": {"sweeper": sweeper, "launcher": {"changed": "keep"}}}))
    jobs = jobs_of(read_study_file(file))
    assert [job.folder for job in jobs] == [
        f"optimizer.clip_value={clip}/seed={seed}" for clip in (1, 2) for seed in (1, 2)
    ]
    monkeypatch.setattr(sys, "executable", str(preloaded.python))  # of the job
    here = [f"hydra.searchpath=[file://{tmp_path}/conf]", f"hydra.sweep.dir={tmp_path}/out", "trainer.max_epochs=1"]
    outcome = cli("sweep", str(file), *small, *here, "hydra.sweeper.only=[b]", "seed=2", "hydra.launcher.n_jobs=1")
    assert outcome.code == 0, outcome
    (config,) = (tmp_path / "out").rglob("config.yaml")
    made = OmegaConf.load(config)
    assert (made.max_loss, made.min_dev_score, made.optimizer.clip_value) == (50, 0, 2)
    for key in ("optimizer.clip_at", "hydra.sweeper.only", "hydra.sweeper.rows", "hydra.launcher.changed"):
        assert f"{key} is deprecated" in outcome.err
