"""Every file of sweeps/wandb/: W&B takes it, and its agents train what `ner-lab sweep` would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, RangeSweep
from offline_run import read_back
from sample import SMALL, Outcome, metrics_of

from ner_lab.config.compose import CONF_DIR
from ner_lab.config.grid import Job, expand
from ner_lab.tracking import metric_names as names

SWEEPS = CONF_DIR.parent / "sweeps"
FILES = {file.stem: file for file in sorted((SWEEPS / "wandb").glob("*.yaml"))}
SEARCHES = ["search"]
GRIDS = [name for name in FILES if name not in SEARCHES]
PARSE = OverridesParser.create().parse_overrides


def of_wandb(name: str) -> dict[str, Any]:
    return yaml.safe_load(FILES[name].read_text(encoding="utf-8"))


def sweeper(name: str) -> dict[str, Any]:
    return yaml.safe_load((SWEEPS / f"{name}.yaml").read_text(encoding="utf-8"))["hydra"]["sweeper"]


def jobs(name: str) -> list[Job]:
    return expand(PARSE, sweeper(name)["params"], {}, [], seed=1)


def arguments(name: str, chosen: dict[str, Any]) -> list[str]:
    """The command line that an agent makes of a file's `command`."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    macros = create_sweep_command_args({"args": {key: {"value": value} for key, value in chosen.items()}})
    line = []
    for word in create_sweep_command(list(of_wandb(name)["command"])):
        line += macros[word[2:-1]] if word.startswith("${") and word.endswith("}") else [word]
    return line


def test_every_study_that_is_a_grid_or_a_search_has_a_file() -> None:
    wanted = {file.stem for file in SWEEPS.glob("*.yaml") if not sweeper(file.stem).get("variants")}
    assert set(FILES) == wanted


@pytest.mark.parametrize("name", FILES)
def test_wandb_takes_the_file(name: str) -> None:
    sweeps = pytest.importorskip("sweeps", reason="the package sweeps checks what W&B takes")
    assert sweeps.config.schema_violations_from_proposed_config(of_wandb(name)) == []
    assert of_wandb(name)["metric"] == {"name": names.DEV_F1, "goal": "maximize"}


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_has_the_jobs_of_its_study(name: str) -> None:
    sweeps = pytest.importorskip("sweeps", reason="the package sweeps expands grids as W&B does")
    expected = {(*(f"{key}={value}" for key, value in job.choices.items()), f"seed={job.seed}") for job in jobs(name)}
    runs = sweeps.next_runs(sweeps.SweepConfig(of_wandb(name)), [], n=len(expected) + 1)
    expanded = [{key: value["value"] for key, value in run.config.items()} for run in runs if run is not None]
    assert len(expanded) == len(expected)
    assert {tuple(sorted(arguments(name, chosen)[-len(chosen) :])) for chosen in expanded} == {
        tuple(sorted(job)) for job in expected
    }


@pytest.mark.parametrize("name", GRIDS)
def test_agents_train_the_study_itself_in_its_folders(name: str) -> None:
    *command, last = arguments(name, {"seed": 1})
    folder = f"hydra.run.dir=outputs/{name}/${{job_name:}}"
    assert command == ["ner-lab", "train", "--config-dir=sweeps", f"--config-name={name}", folder]
    assert last == "seed=1"


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_goes_through_the_space_of_its_study(name: str) -> None:
    parameters = of_wandb(name)["parameters"]
    overrides = PARSE([f"{key}={value}" for key, value in sweeper(name)["params"].items()])
    assert set(parameters) == {override.key_or_group for override in overrides}
    for override in overrides:
        space, here = override.value(), parameters[override.key_or_group]
        if isinstance(space, IntervalSweep):
            assert (here["min"], here["max"]) == (space.start, space.end)
        elif "values" in here:
            assert [str(value) for value in here["values"]] == list(override.sweep_string_iterator())
        else:
            assert isinstance(space, RangeSweep)
            assert (here["min"], here["max"] + 1) == (space.start, space.stop)


def test_a_job_of_an_agent_lies_where_the_study_looks_for_it(
    corpus: Path, cli: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"char_encoder": "cnn", "decoder": "softmax", "seed": 2}
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"wandb_version": 1, **{key: {"value": value} for key, value in chosen.items()}}))
    (tmp_path / "sweeps").mkdir()
    files = {"dir": str(corpus), "batch_size": 4, **{split: f"{corpus}/{split}.conll" for split in ("train", "dev")}}
    own = yaml.safe_load((SWEEPS / "chars_by_decoder.yaml").read_text())
    own["defaults"] = ["config", {"override data": "files"}, *own["defaults"][1:]]
    own |= {"data": {**files, "test": f"{corpus}/test.conll"}, "trainer": {"max_epochs": 1}, "threads": 1}
    for setting in SMALL:
        group, _, rest = setting.partition(".")
        if rest and group in ("word_embedding", "encoder"):
            key, _, value = rest.partition("=")
            own.setdefault(group, {})[key] = int(value)
    (tmp_path / "sweeps" / "chars_by_decoder.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
    for name in ("WANDB_BASE_URL", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):  # set by the command: put back
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in (("SWEEP_ID", "s"), ("RUN_ID", "given"), ("SWEEP_PARAM_PATH", str(params))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.chdir(tmp_path)
    wandb.teardown()  # an earlier test of this process may have read the environment, which W&B does once
    outcome = cli(*arguments("chars_by_decoder", chosen)[1:])
    assert outcome.code == 0, outcome.said
    folder = tmp_path / "outputs/chars_by_decoder/char_encoder=cnn,decoder=softmax/seed=2"
    assert metrics_of(folder)["status"] == "ok"
    assert (folder / "wandb_id").read_text().strip() == "given"
    back = read_back(folder)
    assert back.run.sweep_id == "s"
    assert back.run.run_group == "chars_by_decoder"
    assert set(back.run.tags) == {"chars_by_decoder", "char_encoder=cnn", "decoder=softmax"}
