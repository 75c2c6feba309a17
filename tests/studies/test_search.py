"""Jobs of sweepers that name no folders: named as those of a grid are."""

from hydra.core.override_parser.overrides_parser import OverridesParser

from ner_lab.config.grid import expand, fixed_keys, named_job

PARAMS = {"optimizer.lr": "tag(log,interval(0.001,0.1))", "data.batch_size": "choice(4,8)", "encoder": "bilstm"}


def parse(overrides: list[str]) -> list:
    return OverridesParser.create().parse_overrides(overrides)


def test_what_is_searched_sets_trials_apart_and_what_is_fixed_does_not() -> None:
    fixed = fixed_keys(parse, PARAMS, ["trainer.max_epochs=3", "+data.columns.pos=1"])
    assert fixed == {"encoder", "trainer.max_epochs", "+data.columns.pos"}
    overrides = ["optimizer.lr=0.01", "data.batch_size=4", "encoder=bilstm", "trainer.max_epochs=3"]
    job = named_job(parse, overrides, fixed, 1)
    assert job.folder == "data.batch_size=4,optimizer.lr=0.01/seed=1"
    assert job.overrides == tuple(overrides)


def test_what_the_command_line_sweeps_is_searched_even_if_params_fix_it() -> None:
    assert "encoder" not in fixed_keys(parse, PARAMS, ["encoder=bilstm,cnn"])


def test_a_seed_is_a_seed_and_no_choice() -> None:
    job = named_job(parse, ["seed=7", "decoder=crf"], set(), 1)
    assert (job.folder, job.seed, dict(job.choices)) == ("decoder=crf/seed=7", 7, {"decoder": "crf"})


def test_a_trial_has_the_folder_that_a_grid_would_give_it() -> None:
    values = {"data.train": "'/a b/c.conll'", "data.train_on": "[train,dev]", "+x": "1"}
    (expected,) = expand(parse, values, {}, [], 5)
    job = named_job(parse, [f"{key}={value}" for key, value in values.items()], set(), 5)
    assert job.folder == expected.folder
