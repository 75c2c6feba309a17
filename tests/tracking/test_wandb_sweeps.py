"""`ner-lab sweep NAME --wandb`: W&B accepts what is printed, and its agents train what `ner-lab sweep` would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from offline_run import read_back
from sample import SMALL, Outcome, metrics_of
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from ner_lab.config.study_files import SWEEPS_DIR, jobs_of, read_study_file
from ner_lab.errors import UserError
from ner_lab.tracking.wandb.sweep import sweep_config


def agent_arguments(config: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """The command line that a W&B agent makes of a sweep's `command`."""
    macros = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    line = []
    for word in create_sweep_command(list(config["command"])):
        line += macros[word[2:-1]] if word.startswith("${") and word.endswith("}") else [word]
    return line


@pytest.mark.parametrize("name", ["classical", "tag_schemes", "chiu_nichols2016_dropout", "search"])
def test_wandb_accepts_the_sweep_and_expands_a_grid_to_the_jobs_of_the_study(name: str) -> None:
    sweeps = pytest.importorskip("sweeps", reason="the package sweeps checks and expands sweeps as W&B does")
    config = yaml.safe_load(yaml.safe_dump(sweep_config(SWEEPS_DIR / f"{name}.yaml", [])))
    assert sweeps.config.schema_violations_from_proposed_config(config) == []
    jobs = {tuple(sorted(job.overrides)) for job in jobs_of(read_study_file(SWEEPS_DIR / f"{name}.yaml"))}
    if name != "search":
        runs = sweeps.next_runs(sweeps.SweepConfig(config), [], n=len(jobs) + 1)
        values = [{key: value["value"] for key, value in run.config.items()} for run in runs if run is not None]
        assert len(values) == len(jobs)
        assert {tuple(sorted(agent_arguments(config, each)[-len(each) :])) for each in values} == jobs


def test_a_search_has_the_ranges_and_the_settings_of_its_study(tmp_path: Path) -> None:
    params = {"a": "range(15,84)", "b": "range(1,9,step=4)", "c": "interval(0.0,0.5)", "d": "choice(x,1)", "f": "3"}
    params |= {"e": "tag(log,interval(0.001,0.01))", "g": "tag(int,interval(1,5))"}
    defaults = ["config", {"override paper": "lample2016"}, {"override hydra/sweeper": "optuna"}, "_self_"]
    study = {
        "defaults": defaults,
        "trainer": {"max_epochs": 3},
        "run_name": "a b",
        "hydra": {"sweeper": {"params": params}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    config = sweep_config(tmp_path / "mine.yaml", ["d=5,6"])
    assert config["method"] == "bayes"
    assert config["command"][2:-1] == [
        "study.name=mine",
        "hydra.run.dir=outputs/mine/wandb/${oc.env:WANDB_RUN_ID}",
        "paper=lample2016",
        "trainer.max_epochs=3",
        "run_name='a b'",
    ]
    assert config["parameters"] == {
        "a": {"distribution": "int_uniform", "min": 15, "max": 83},
        "b": {"values": [1, 5]},
        "c": {"distribution": "uniform", "min": 0.0, "max": 0.5},
        "d": {"values": [5, 6]},
        "f": {"value": 3},
        "e": {"distribution": "log_uniform_values", "min": 0.001, "max": 0.01},
        "g": {"distribution": "int_uniform", "min": 1, "max": 5},
    }


@pytest.mark.parametrize(
    ("study", "override", "message"),
    [
        ("lample2016_components", [], "variants"),
        ("classical", ["trainer.max_epochs=1"], r"trainer\.max_epochs=1.*only swept keys"),
        ("search", ["optimizer.lr=tag(log,int,interval(1,9))"], "logarithmic range of integers"),
    ],
)
def test_what_a_sweep_of_wandb_cannot_hold_is_refused(study: str, override: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sweep_config(SWEEPS_DIR / f"{study}.yaml", override)


def test_the_printed_command_trains_one_job_of_the_study_in_its_folder(
    corpus: Path, cli: Callable[..., Outcome], tmp_path: Path, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"char_encoder": "cnn", "decoder": "softmax", "seed": 2}
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"wandb_version": 1, **{key: {"value": value} for key, value in values.items()}}))
    (tmp_path / "sweeps").mkdir()
    study = yaml.safe_load((SWEEPS_DIR / "chars_by_decoder.yaml").read_text())
    study["defaults"] = ["config", {"override data": "files"}, *study["defaults"][1:]]
    files = {split: f"{corpus}/{split}.conll" for split in ("train", "dev", "test")}
    study |= {"data": {"dir": str(corpus), "batch_size": 4, **files}, "trainer": {"max_epochs": 1}, "threads": 1}
    for group, key, value in (setting.replace("=", ".").split(".") for setting in SMALL if setting.count(".") == 1):
        if group in ("word_embedding", "encoder"):
            study.setdefault(group, {})[key] = int(value)
    (tmp_path / "sweeps" / "chars_by_decoder.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    printed = cli("sweep", "chars_by_decoder", "--wandb", "seed=1,2")
    config = yaml.safe_load(printed.out)
    assert config["parameters"]["seed"] == {"values": [1, 2]}
    for name, value in (("SWEEP_ID", "s"), ("RUN_ID", "given"), ("SWEEP_PARAM_PATH", str(params))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    wandb.teardown()  # wandb reads the environment once, and an earlier test may have made it do so
    outcome = cli(*agent_arguments(config, values)[1:])
    assert outcome.code == 0, outcome.said
    folder = tmp_path / "outputs/chars_by_decoder/char_encoder=cnn,decoder=softmax/seed=2"
    assert metrics_of(folder)["status"] == "ok"
    assert (folder / "wandb_id").read_text().strip() == "given"
    back = read_back(folder)
    assert (back.run.sweep_id, back.run.run_group, back.exit_codes) == ("s", "chars_by_decoder", [0])
    assert set(back.run.tags) == {"chars_by_decoder", "char_encoder=cnn", "decoder=softmax"}
    # what the agent chose keeps the group's key; the group's own keys can be searched beside it
    assert back.config["decoder"] == "softmax"
    assert back.config["encoder"]["hidden_dim"] == 12
    assert any(key.startswith("char_encoder.") for key in back.config)
