"""Configs from overrides: composed, checked to the last key."""

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from ner_lab.config.compose import (
    CONF_DIR,
    all_keys,
    apply_overrides,
    check_keys,
    compose_config,
    data_section,
    options_of,
    override_parser,
)
from ner_lab.errors import UserError, nearest

CHOICES = {
    "data": "files",
    "word_embedding": "random",
    "char_encoder": "cnn",
    "features": "caps",
    "encoder": "bilstm",
    "decoder": "crf",
    "optimizer": "adam",
    "trainer": "cpu",
    "logger": "none",
    "paper": "none",
}
GROUPS = [name for name in CHOICES if name != "paper"]


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    return compose_config([f"{group}={option}" for group, option in CHOICES.items()])


def leaves(cfg: DictConfig, place: str = "") -> set[str]:
    found = set()
    for name in map(str, cfg):
        node = cfg._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none():
            found |= leaves(node, f"{place}{name}.")
        found.add(f"{place}{name}")
    return found


# composing


def test_composing_leaves_an_outer_hydra_as_it_was() -> None:
    instance = GlobalHydra.instance()
    before, instance.hydra = instance.hydra, object()
    try:
        outer = instance.hydra
        assert compose_config(["seed=3"]).seed == 3
        assert instance.hydra is outer
        with pytest.raises(HydraException):
            compose_config(["no_such_key=3"])
        assert instance.hydra is outer
    finally:
        instance.hydra = before


@pytest.mark.parametrize("name", ["own", "my parts", "parts (1), new=old", "a'b"])
def test_a_folder_of_options_is_added_whatever_its_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / name / "encoder" / "narrow.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("defaults: [bilstm, _self_]\nhidden_dim: 7\n")
    assert compose_config(["encoder=narrow"], [str(tmp_path / name)]).encoder.hidden_dim == 7


def test_several_folders_of_options_are_added(tmp_path: Path) -> None:
    for group in ("encoder", "decoder"):
        (tmp_path / group / group).mkdir(parents=True)
        (tmp_path / group / group / "own.yaml").write_text(f"_target_: own.{group}\n")
    cfg = compose_config(["encoder=own", "decoder=own"], [str(tmp_path / "encoder"), str(tmp_path / "decoder")])
    assert (cfg.encoder["_target_"], cfg.decoder["_target_"]) == ("own.encoder", "own.decoder")


def test_all_keys_of_the_experiment_are_known(composed: DictConfig) -> None:
    known = set(all_keys())
    missing = {key for key in leaves(composed) if not key.rpartition(".")[2].startswith("_")} - known
    assert missing == set()
    assert not {key for key in known if key.partition(".")[0] not in (*CHOICES, *map(str, composed))}


def test_options_are_those_of_the_folder_without_what_they_share() -> None:
    assert "base" not in options_of("data")
    assert set(options_of("decoder")) == {file.stem for file in (CONF_DIR / "decoder").iterdir()}


# checking keys


def test_the_usual_config_passes(composed: DictConfig) -> None:
    check_keys(composed, CHOICES)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("early_stoping", "unknown config key 'early_stoping'. Did you mean 'early_stopping'? The config takes"),
        ("data.batch_sise", "unknown config key 'data.batch_sise'. Did you mean 'batch_size'? data takes"),
        ("trainer.max_epoch", "Did you mean 'max_epochs'?"),
        ("early_stopping.patients", "Did you mean 'patience'?"),
        ("encoder.zzz", "unknown config key 'encoder.zzz'. encoder takes"),
    ],
)
def test_a_key_that_came_in_by_a_file_is_found_out(key: str, message: str, composed: DictConfig) -> None:
    cfg = composed.copy()
    OmegaConf.update(cfg, key, 3, force_add=True)
    with pytest.raises(UserError, match=message.replace(".", r"\.").replace("?", r"\?")):
        check_keys(cfg, CHOICES)


def test_names_of_columns_are_the_users_own(composed: DictConfig) -> None:
    cfg = composed.copy()
    OmegaConf.update(cfg, "data.columns.lemma", 3, force_add=True)
    OmegaConf.update(cfg, "data.counts.train", {"tokens": 3}, force_add=True)
    check_keys(cfg, CHOICES)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("trainer.max_epochs", "many", "a whole number"),
        ("trainer.max_epochs", 2.5, "a whole number"),
        ("encoder.hidden_dim", True, "a whole number"),
        ("optimizer.lr", "fast", "a number"),
        ("optimizer.lr", False, "a number"),
        ("data.lowercase", "yes", "true or false"),
        ("data.lowercase", 1, "true or false"),
        ("early_stopping", None, "it has keys of its own: patience"),
        ("early_stopping", 3, "it has keys of its own: patience"),
    ],
)
def test_a_number_stays_a_number_and_a_switch_a_switch(
    key: str, value: object, expected: str, composed: DictConfig
) -> None:
    cfg = composed.copy()
    OmegaConf.update(cfg, key, value, merge=False)
    with pytest.raises(UserError, match=f"^{key} (must be|is 'None', but|is '3', but) .*{expected}"):
        check_keys(cfg, CHOICES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer.lr", 1),  # a whole number is a number as well
        ("trainer.devices", "auto"),
        ("trainer.deterministic", "warn"),
        ("trainer.limit_train_batches", 0.1),
        ("early_stopping.patience", None),
        ("data.max_word_length", 20),
        ("threads", 2),
    ],
)
def test_values_that_can_be_pass(key: str, value: object, composed: DictConfig) -> None:
    cfg = composed.copy()
    OmegaConf.update(cfg, key, value)
    check_keys(cfg, CHOICES)


# the arguments of the commands that Hydra does not start


def test_without_an_option_the_data_of_the_run_are_kept_and_changed_key_by_key() -> None:
    base = DictConfig({"data": {"name": "mine", "test": "a", "columns": {"word": 0, "tag": -1}}, "seed": 4})
    cfg = data_section(["data.test=b", "data.columns.tag=1"], base)
    assert cfg == {"data": {"name": "mine", "test": "b", "columns": {"word": 0, "tag": 1}}}
    assert base.data.test == "a", "the run's own config stays as it is"
    assert data_section(["+data.columns.pos=1"], base).data.columns == {"word": 0, "tag": -1, "pos": 1}
    with pytest.raises(UserError, match=r"unknown config key 'data\.tets'\. Did you mean 'data\.test'\?"):
        data_section(["data.tets=b"], base)
    with pytest.raises(UserError, match=r"unknown config key 'data\.colums\.tag'"):
        data_section(["data.colums.tag=1"], base)


def test_with_an_option_the_data_are_composed_afresh() -> None:
    base = DictConfig({"data": {"name": "mine", "test": "a"}})
    data = data_section(["data=files", "data.test=b"], base).data
    assert (data.name, data.test, data.scheme) == ("files", "b", "IOBES")


# errors in words


def test_the_nearest_name_is_offered_and_none_where_none_is_near() -> None:
    assert nearest("encodr", ["decoder", "encoder"]) == ". Did you mean 'encoder'?"
    assert nearest("xyz", ["decoder", "encoder"]) == "."
    assert nearest("xyz", []) == "."


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(GROUPS), st.data())
def test_a_name_with_one_letter_left_out_is_understood(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(name) - 1))  # without its first letter, decoder is as near as encoder
    assert nearest(name[:place] + name[place + 1 :], GROUPS) == f". Did you mean '{name}'?"


def test_composing_needs_no_arguments_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest", "--nonsense"])
    assert compose_config([]).seed == 1


def test_keys_of_parts_within_an_option_are_known() -> None:
    assert {"features.parts.context.lowercase", "features.parts.lexicons.lexicons.senna.dir"} <= set(all_keys())


def composed_and_choices(*overrides: str) -> tuple[DictConfig, dict[str, str]]:
    choices = CHOICES | {"features": "none"}
    return compose_config([*(f"{key}={value}" for key, value in choices.items()), *overrides]), choices


@pytest.mark.parametrize(
    ("before", "overrides"),
    [
        ([], ["features=caps_gazetteer", "+features@features.parts.more=caps"]),
        (["trainer.limit_train_batches=7"], ["trainer.limit_train_batches=0.5"]),
        (["trainer.limit_train_batches=0.25"], ["trainer.limit_train_batches=3"]),
        (["trainer.max_epochs=9"], ["++trainer.max_epochs=2", "++data.columns.lemma=2"]),
        ([], ["data.map_types={PERSON: PER}", "data.train=[M\u00fcller.conll]", "data.dev=M\u00fcller.conll"]),
    ],
    ids=lambda overrides: " ".join(overrides[-1:]),
)
def test_overrides_of_a_composed_config_do_what_they_do_when_it_is_composed(
    before: list[str], overrides: list[str]
) -> None:
    expected, _ = composed_and_choices(*before, *overrides)
    cfg, choices = composed_and_choices(*before)
    apply_overrides(cfg, overrides, choices=choices)
    assert OmegaConf.to_container(cfg) == OmegaConf.to_container(expected)


def test_overrides_of_a_composed_config_take_options_of_the_users_own_folders(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "mine.yaml").write_text("defaults: [bilstm]\nhidden_dim: 7\n")
    cfg, choices = composed_and_choices()
    assert apply_overrides(cfg, ["encoder=mine"], [str(tmp_path)], choices)["encoder"] == "mine"
    assert cfg.encoder.hidden_dim == 7


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.train=[M\u00fcller.conll, b.conll]", ["M\u00fcller.conll", "b.conll"]),
        ("data.train={a: M\u00fcller}", {"a": "M\u00fcller"}),
        ("data.train=M\u00fcller.conll", "M\u00fcller.conll"),
    ],
)
def test_values_beyond_ascii_need_no_quotes(override: str, value: object) -> None:
    assert override_parser()([override])[0].value() == value
