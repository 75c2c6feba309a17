"""`ner-lab stack` leaves what lone runs leave."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lone_runs import as_on_a_gpu
from sample import Outcome, metrics_of, read_columns

from ner_lab.compose import compose_config
from ner_lab.errors import UserError
from ner_lab.predict import load
from ner_lab.run_folder import RunFolder
from ner_lab.stacked.members import Asked
from ner_lab.stacked.shape import stacks_of
from ner_lab.stacked.training import Stack
from ner_lab.study.state import DONE, differences, state_of
from ner_lab.train import train

SEEDS = (1, 2, 3)
TIMES = {"train_seconds", "train_tokens_per_second", "data_seconds", "seconds", "tokens_per_second", "stacked"}
EPOCHS = [
    *("trainer.max_epochs=14", "early_stopping.patience=3", "optimizer.lr=0.04", "data.singleton_unk=0.3"),
    *("char_encoder.dropout=0.1", "encoder.input_dropout=0.2", "encoder.output_dropout=0.2"),
]


def close_to(expected: Any) -> Any:
    """The same tree, numbers up to rounding; times aside."""
    if isinstance(expected, dict):
        return {key: close_to(value) for key, value in expected.items() if key not in TIMES}
    if isinstance(expected, list):
        return [close_to(value) for value in expected]
    return pytest.approx(expected, rel=1e-4, abs=1e-4) if isinstance(expected, float) else expected


def without_times(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: without_times(value) for key, value in tree.items() if key not in TIMES}
    return [without_times(value) for value in tree] if isinstance(tree, list) else tree


@pytest.fixture(scope="module")
def alone(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Path]:
    """A lone run of each seed."""
    place = tmp_path_factory.mktemp("alone")
    for seed in SEEDS:
        train(compose_config([*small, *EPOCHS, "logger=csv", f"seed={seed}"]), place / str(seed))
    return {seed: place / str(seed) for seed in SEEDS}


@pytest.fixture(scope="module")
def stacked(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Path]:
    """The same runs as a stack."""
    place = tmp_path_factory.mktemp("stacked")
    folders = {seed: place / str(seed) for seed in SEEDS}
    overrides = [*small, *EPOCHS, "logger=csv"]
    outcomes = Stack(
        [Asked(compose_config([*overrides, f"seed={seed}"]), folder) for seed, folder in folders.items()]
    ).train()
    assert [outcome["seed"] for outcome in outcomes if isinstance(outcome, dict)] == list(SEEDS)
    return folders


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_has_the_numbers_of_its_lone_run(
    seed: int, alone: Mapping[int, Path], stacked: Mapping[int, Path]
) -> None:
    assert without_times(metrics_of(stacked[seed])) == close_to(metrics_of(alone[seed]))
    assert metrics_of(stacked[seed])["stacked"] == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_has_the_predictions_of_its_lone_run(
    seed: int, alone: Mapping[int, Path], stacked: Mapping[int, Path]
) -> None:
    for split in ("dev", "test"):
        file = Path("predictions") / f"{split}.conll"
        assert read_columns(stacked[seed] / file) == read_columns(alone[seed] / file)


def test_seeds_stop_when_their_lone_runs_stop(alone: Mapping[int, Path]) -> None:
    assert len({metrics_of(folder)["epochs"] for folder in alone.values()}) > 1  # or there would be nothing to see


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_leaves_the_files_of_its_lone_run(
    seed: int, alone: Mapping[int, Path], stacked: Mapping[int, Path]
) -> None:
    lone, ours = (
        {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        for folder in (alone[seed], stacked[seed])
    )
    assert ours - {"train.log"} == lone - {"csv/hparams.yaml", "train.log"}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_checkpoint_is_such_as_its_lone_run_keeps(
    seed: int, alone: Mapping[int, Path], stacked: Mapping[int, Path]
) -> None:
    lone, ours = (RunFolder(folder).read_checkpoint() for folder in (alone[seed], stacked[seed]))
    assert ours.keys() >= {"state_dict", "hyper_parameters", "epoch", "global_step", "pytorch-lightning_version"}
    assert {key: ours[key] for key in ("epoch", "global_step")} == {key: lone[key] for key in ("epoch", "global_step")}
    assert ours["hyper_parameters"] == lone["hyper_parameters"]
    torch.testing.assert_close(ours["state_dict"], lone["state_dict"], rtol=1e-4, atol=1e-4)
    assert all(value._base is None for value in ours["state_dict"].values())
    assert load(stacked[seed]).predict([["Anna", "Holm"]])


@pytest.mark.parametrize("seed", SEEDS)
def test_curves_are_told_to_trackers(seed: int, alone: Mapping[int, Path], stacked: Mapping[int, Path]) -> None:
    def columns(folder: Path) -> tuple[set[str], int]:
        header, *rows = (folder / "csv" / "metrics.csv").read_text().splitlines()
        return set(header.split(",")), len(rows)

    names, rows = columns(stacked[seed])
    assert names == columns(alone[seed])[0]
    assert rows == len(metrics_of(stacked[seed])["history"])


def test_as_one_model_seeds_leave_the_stack_where_their_lone_runs_stop(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_on_a_gpu(monkeypatch)
    overrides = [*small, *EPOCHS, "trainer.precision=64-true", "optimizer=sgd", "optimizer.lr=0.5"]
    cfgs = {seed: [*overrides, f"seed={seed}"] for seed in SEEDS}
    lone = [train(compose_config(keys), tmp_path / f"lone{seed}") for seed, keys in cfgs.items()]
    stack = Stack([Asked(compose_config(keys), tmp_path / str(seed)) for seed, keys in cfgs.items()], together=True)
    assert without_times(stack.train()) == close_to(without_times(lone))
    assert len({metrics["epochs"] for metrics in lone}) > 1


def test_members_may_differ_in_rates_dropout_and_clipping(small: list[str], tmp_path: Path) -> None:
    overrides = [*small, "trainer.max_epochs=3"]
    own = {
        "one": ["optimizer.lr=0.02", "encoder.input_dropout=0"],
        "other": ["optimizer.lr=0.005", "encoder.input_dropout=0.6", "optimizer.decay=0.5", "optimizer.clip_at=0.2"],
    }
    cfgs = {name: compose_config([*overrides, *keys]) for name, keys in own.items()}
    assert stacks_of(list(cfgs.values()), None) == [[0, 1]]
    outcomes = Stack([Asked(cfg, tmp_path / name) for name, cfg in cfgs.items()]).train()
    for (name, keys), outcome in zip(own.items(), outcomes, strict=True):
        lone = train(compose_config([*overrides, *keys]), tmp_path / f"{name}_alone")
        assert without_times(outcome) == close_to(without_times(lone))


def test_the_last_epoch_is_kept_where_dev_is_trained_on(small: list[str], tmp_path: Path) -> None:
    overrides = [*small, "data.train_on=[train,dev]", "early_stopping.patience=null", "trainer.max_epochs=2"]
    stack = Stack([Asked(compose_config([*overrides, f"seed={seed}"]), tmp_path / str(seed)) for seed in (1, 2)])
    outcomes = stack.train()
    lone = train(compose_config(overrides), tmp_path / "lone")
    assert without_times(outcomes[0]) == close_to(without_times(lone))


def test_a_shared_order_is_that_of_the_first_run(small: list[str], tmp_path: Path) -> None:
    overrides = [*small, "trainer.max_epochs=2"]
    stack = Stack(
        [Asked(compose_config([*overrides, f"seed={seed}"]), tmp_path / str(seed)) for seed in (1, 2)], order="shared"
    )
    first, second = stack.train()
    lone = [train(compose_config([*overrides, f"seed={seed}"]), tmp_path / f"lone{seed}") for seed in (1, 2)]
    assert without_times(first) == close_to(without_times(lone[0]))
    assert without_times(second) != close_to(without_times(lone[1]))


def test_runs_of_other_shapes_are_stacks_of_their_own(small: list[str]) -> None:
    cfgs = [
        compose_config([*small, f"seed={seed}", f"encoder.hidden_dim={size}", "run_name=x"])
        for seed in (1, 2, 3)
        for size in (4, 5)
    ]
    assert stacks_of(cfgs, None) == [[0, 2, 4], [1, 3, 5]]
    assert stacks_of(cfgs, 2) == [[0, 2], [4], [1, 3], [5]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.batch_tokens=12", "data.group_by_length=false"], r"Give data\.group_by_length"),
        (["trainer.accumulate_grad_batches=2"], r"Raise data\.batch_size"),
    ],
)
def test_batches_of_which_members_may_have_unlike_numbers_are_refused(
    settings: list[str], said: str, small: list[str], tmp_path: Path
) -> None:
    asked = [Asked(compose_config([*small, *settings, f"seed={seed}"]), tmp_path / str(seed)) for seed in range(1, 3)]
    with pytest.raises(UserError, match=said):
        Stack(asked)


def test_the_command_trains_what_a_sweep_then_finds_finished(
    small: list[str], cli: Callable[..., Outcome], tmp_path: Path
) -> None:
    settings = [*small, "trainer.max_epochs=2", "seed=1,2", "decoder=crf,softmax", f"hydra.sweep.dir={tmp_path}"]
    outcome = cli("stack", *settings)
    assert outcome.code == 0, outcome.said
    assert "stack 2 of 2: 2 runs" in outcome.out
    assert "4 done" in outcome.out
    for decoder in ("crf", "softmax"):
        for seed in (1, 2):
            run = RunFolder(tmp_path / f"decoder={decoder}" / f"seed={seed}")
            asked = [*small, "trainer.max_epochs=2", f"seed={seed}", f"decoder={decoder}"]
            assert state_of(run) == DONE
            assert differences(run, compose_config(asked)) == []
            assert run.read_record()["choices"]["decoder"] == decoder
            said = (run.path / "train.log").read_text()
            assert said.count("epoch 2/2") == 1
            assert ["decoder", f"{metrics_of(run.path)['parameters']['decoder']:,}"] in [
                line.split()[:2] for line in said.splitlines()
            ]
    again = cli("stack", *settings)
    assert again.code == 0, again.said
    assert "4 of 4 jobs are finished already" in again.out


def test_a_mistake_in_a_stack_is_told_for_each_of_its_runs(
    small: list[str], cli: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = cli("stack", *small, "seed=1,2", "data.dev=nowhere.conll", f"hydra.sweep.dir={tmp_path}")
    assert outcome.code == 1
    assert outcome.said.count("nowhere.conll") >= 2
    assert "2 of 2 jobs failed" in outcome.err
