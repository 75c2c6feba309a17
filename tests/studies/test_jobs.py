"""The jobs of a study: which there are, in which order, and what each is told."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.config.grid import Job, expand, included_variants
from ner_lab.config.naming import configuration_name
from ner_lab.errors import UserError

VARIANTS = {
    "BLSTM": {"char_encoder": "none", "features": "none"},
    "BLSTM-CNN": {"char_encoder": "cnn_chiu", "features": "none"},
}


def jobs_of(
    params: Mapping[str, Any] | None = None,
    *arguments: str,
    rows: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 1,
) -> list[Job]:
    return expand(OverridesParser.create().parse_overrides, params or {}, rows or {}, arguments, seed)


def told(job: Job) -> dict[str, Any]:
    """What Hydra makes of a job's overrides."""
    overrides = OverridesParser.create().parse_overrides(list(job.overrides))
    assert not any(override.is_sweep_override() for override in overrides)
    return {override.get_key_element(): override.value() for override in overrides}


# grids


def test_a_grid_is_the_product_in_the_order_stated_the_last_changing_fastest() -> None:
    params = {"char_encoder": "none,cnn", "decoder": "softmax,crf", "seed": "range(1,3)"}
    jobs = jobs_of(params)
    expected = list(itertools.product(["none", "cnn"], ["softmax", "crf"], [1, 2]))
    assert [(job.choices["char_encoder"], job.choices["decoder"], job.seed) for job in jobs] == expected
    assert [told(job) for job in jobs] == [
        {"char_encoder": chars, "decoder": decoder, "seed": seed} for chars, decoder, seed in expected
    ]
    assert jobs[0].folder == "char_encoder=none,decoder=softmax/seed=1"
    assert all(job.label is None and "seed" not in job.choices for job in jobs)


def test_values_of_the_command_line_replace_those_of_the_study() -> None:
    params = {"char_encoder": "none,cnn,bilstm", "decoder": "softmax,crf", "seed": "1,2,3"}
    jobs = jobs_of(params, "seed=7", "decoder=crf", "char_encoder=cnn,lstm")
    assert [job.folder for job in jobs] == [
        "char_encoder=cnn,decoder=crf/seed=7",
        "char_encoder=lstm,decoder=crf/seed=7",
    ]


def test_what_is_swept_on_the_command_line_sets_jobs_apart_and_what_is_fixed_there_does_not() -> None:
    jobs = jobs_of({"decoder": "softmax,crf"}, "optimizer.lr=0.1,0.2", "trainer=ddp", "trainer.max_epochs=3")
    assert [dict(job.choices) for job in jobs] == [
        {"decoder": decoder, "optimizer.lr": rate} for decoder in ("softmax", "crf") for rate in ("0.1", "0.2")
    ]
    assert all(told(job)["trainer"] == "ddp" and told(job)["trainer.max_epochs"] == 3 for job in jobs)


def test_what_a_study_fixes_among_its_params_stays_a_choice() -> None:
    (job,) = jobs_of({"decoder": "crf", "seed": 4})
    assert (job.folder, job.seed) == ("decoder=crf/seed=4", 4)


def test_without_seeds_jobs_have_the_one_of_the_config() -> None:
    (job,) = jobs_of(seed=11)
    assert (job.folder, job.seed, dict(job.choices)) == ("default/seed=11", 11, {})
    (job,) = jobs_of(None, "seed=3", seed=3)
    assert (job.folder, job.seed, told(job)) == ("default/seed=3", 3, {"seed": 3})


def test_null_and_switches_in_a_study_are_what_they_are() -> None:
    (job,) = jobs_of({"early_stopping.patience": None, "decoder.constrained": True, "optimizer.lr": 1e-5})
    assert told(job) == {"early_stopping.patience": None, "decoder.constrained": True, "optimizer.lr": 1e-5}


@pytest.mark.parametrize("override", ["+data.columns.pos=1", "++encoder.x=2", "~features.parts.caps", "~a=b", "x@y=z"])
def test_additions_and_removals_reach_the_job_as_they_are(override: str) -> None:
    jobs = jobs_of({"decoder": "softmax,crf"}, override)
    assert len(jobs) == 2
    assert all(override in job.overrides for job in jobs)


def test_a_key_that_is_added_can_be_swept() -> None:
    jobs = jobs_of(None, "+data.columns.pos=1,2")
    assert [job.folder for job in jobs] == ["data.columns.pos=1/seed=1", "data.columns.pos=2/seed=1"]
    assert [told(job) for job in jobs] == [{"+data.columns.pos": 1}, {"+data.columns.pos": 2}]


VALUES = st.one_of(
    st.integers(-5, 5).map(str),
    st.sampled_from(["null", "true", "1e-5", "0.5", "/a/b.txt", "a b", "[train,dev]", "[[1,2],[3]]", "{x:1,y:[2,3]}"]),
    st.text(st.sampled_from("ab '/,=[]{}"), min_size=1, max_size=6).map(lambda text: '"' + text + '"'),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(VALUES, min_size=1, max_size=4, unique=True))
def test_whatever_values_are_swept_each_job_is_told_one_of_them(values: list[str]) -> None:
    parse = OverridesParser.create().parse_overrides
    expected = [parse([f"data.train={value}"])[0].value() for value in values]
    if len({configuration_name({"k": value}) for value in values}) < len(values):
        with pytest.raises(UserError, match="too alike to name folders"):  # never one of them in silence
            jobs_of({"data.train": ",".join(values)})
        return
    jobs = jobs_of({"data.train": ",".join(values)})
    assert [told(job)["data.train"] for job in jobs] == expected
    assert len({job.folder for job in jobs}) == len(values)
    for job in jobs:
        assert job.folder.count("/") == 1


def test_values_that_would_share_a_folder_are_refused() -> None:
    with pytest.raises(UserError, match=r"data\.train: 'a/b' and 'a_b' are too alike.*data\.train=a_b/seed=1"):
        jobs_of({"data.train": "a/b,a_b"})


def test_the_same_value_twice_is_one_job() -> None:
    assert [job.folder for job in jobs_of({"decoder": "crf,softmax,'crf'", "seed": "1,1"})] == [
        "decoder=crf/seed=1",
        "decoder=softmax/seed=1",
    ]


@pytest.mark.parametrize("values", ["interval(0.1,0.2)", "tag(log,interval(0.1,0.2))"])
@pytest.mark.parametrize("where", ["params", "arguments"])
def test_an_interval_is_no_grid_and_optuna_is_pointed_at(values: str, where: str) -> None:
    with pytest.raises(UserError, match=r"optimizer\.lr=.*interval.*hydra/sweeper=optuna"):
        jobs_of({"optimizer.lr": values}) if where == "params" else jobs_of(None, f"optimizer.lr={values}")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("choice(a,b)", ["a", "b"]),
        ("range(1,4)", ["1", "2", "3"]),
        ("range(0,1,0.5)", ["0.0", "0.5"]),
        ("sort(b,a)", ["a", "b"]),
    ],
)
def test_hydras_ways_to_list_values_are_understood(values: str, expected: Sequence[str]) -> None:
    assert [job.choices["k"] for job in jobs_of({"k": values})] == expected


# rows


def test_rows_are_run_with_every_seed_and_keep_their_labels() -> None:
    jobs = jobs_of({"seed": "1,2"}, "trainer.max_epochs=3", rows=VARIANTS)
    assert [(job.label, job.folder) for job in jobs] == [
        ("BLSTM", "char_encoder=none,features=none/seed=1"),
        ("BLSTM", "char_encoder=none,features=none/seed=2"),
        ("BLSTM-CNN", "char_encoder=cnn_chiu,features=none/seed=1"),
        ("BLSTM-CNN", "char_encoder=cnn_chiu,features=none/seed=2"),
    ]
    assert told(jobs[2]) == {"trainer.max_epochs": 3, "char_encoder": "cnn_chiu", "features": "none", "seed": 1}


def test_values_of_rows_are_those_of_yaml() -> None:
    row = {"a": None, "b": False, "c": 1e-5, "d": ["train", "dev"], "e": "/a b/c.txt"}
    (job,) = jobs_of(rows={"one": row})
    assert told(job) == row


def test_seeds_of_rows_come_from_the_command_line_as_well() -> None:
    assert [job.seed for job in jobs_of({"seed": "1,2"}, "seed=range(5,8)", rows={"one": {"a": 1}})] == [5, 6, 7]


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ({"A": {"a": 1}, "B": {"a": 2, "b": 3}}, [], "'B' and 'A' must set the same keys; only one of them sets b"),
        ({"A": {"a": 1, "seed": 3}}, [], "'A' sets the seed"),
        ({"A": {"a": 1}, "B": {"a": 1}}, [], "variants 'A' and 'B' make the same choices: a=1/seed=1"),
        ({"A": {"a": "x/y"}, "B": {"a": "x_y"}}, [], "variants 'A' and 'B' make the same choices: a=x_y/seed=1"),
        ({"A": {"a": "1,2"}}, [], "'A' gives several values: a=1,2"),
        ({"A": {"a": "range(1,3)"}}, [], r"'A' gives several values: a=range\(1,3\)"),
        (VARIANTS, ["features=caps"], "features is set by the variants of this study"),
        (VARIANTS, ["features=caps,none"], "features is set by the variants of this study"),
        (VARIANTS, ["++features=caps"], "features is set by the variants of this study"),
        (VARIANTS, ["~features"], "features is set by the variants of this study"),
    ],
)
def test_variants_that_contradict_are_refused(
    rows: Mapping[str, Mapping[str, Any]], arguments: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        jobs_of({"seed": "1"}, *arguments, rows=rows)


def test_rows_beside_a_factor_that_params_sweep_are_a_product() -> None:
    jobs = jobs_of({"optimizer.lr": "0.1,0.2", "seed": "1"}, rows=VARIANTS)
    assert [(job.label, job.choices["optimizer.lr"]) for job in jobs] == [
        (label, rate) for label in VARIANTS for rate in ("0.1", "0.2")
    ]


def test_variants_can_be_chosen_by_their_labels() -> None:
    assert included_variants(VARIANTS, None) == VARIANTS
    assert list(included_variants(VARIANTS, ["BLSTM-CNN"])) == ["BLSTM-CNN"]
    with pytest.raises(UserError, match=r"no variant 'BLSTN'\. Did you mean 'BLSTM'\?"):
        included_variants(VARIANTS, ["BLSTN"])
