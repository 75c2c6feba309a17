"""Every file of conf/: it composes, fits its class, and what it says can be trained."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ner_lab.config.compose import CONF_DIR, compose_config, options_of
from ner_lab.config.instantiate import data_options_of
from ner_lab.config.untrusted import package_of
from ner_lab.data.batching.batch import eval_batches
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import prepare
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.models.word_embedding.base import WordTable
from ner_lab.tracking.base import Tracker
from ner_lab.training.module import TaggerModule
from ner_lab.training.train import try_parts
from ner_lab.version import PACKAGE

GROUPS = sorted(folder.name for folder in CONF_DIR.iterdir() if folder.is_dir() and folder.name != "hydra")
OPTIONS = [(group, option) for group in GROUPS for option in options_of(group)]
BUILDABLE = [(group, option) for group, option in OPTIONS if group not in ("paper", "trainer")]
GIVEN_BY_BUILD = {"chars", "input_dim", "tags", "scheme"}
PARTS = ("word_embedding", "char_encoder", "features", "encoder", "decoder")  # tests/models/test_contract_of_options.py
OTHERS = [(group, option) for group, option in OPTIONS if group not in PARTS]


def own_lines(group: str, option: str) -> DictConfig:
    loaded = OmegaConf.load(CONF_DIR / group / f"{option}.yaml")
    assert isinstance(loaded, DictConfig)
    return loaded


def target_of(section: DictConfig) -> Any:
    module, _, name = section["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def keys_of(section: DictConfig) -> set[str]:
    return {str(key) for key in section if not str(key).startswith("_")}


@pytest.fixture(scope="module")
def sections() -> Mapping[tuple[str, str], DictConfig]:
    """The section of every option as it is composed; options of different groups are composed together."""
    rounds = zip_longest(*([(group, option) for option in options_of(group)] for group in GROUPS if group != "paper"))
    found = {}
    for chosen in rounds:
        cfg = compose_config([f"{group}={option}" for group, option in filter(None, chosen)])
        found.update({(group, option): cfg[group] for group, option in filter(None, chosen)})
    return found


@pytest.fixture(scope="module")
def plain() -> DictConfig:
    return compose_config(["data=files"])


@pytest.mark.parametrize(("group", "option"), OTHERS)
def test_every_option_composes_builds_and_takes_a_training_step(
    group: str,
    option: str,
    plain: DictConfig,
    sections: Mapping[tuple[str, str], DictConfig],
    place_files: Callable[[DictConfig], None],
) -> None:
    if group == "paper":
        cfg = compose_config([f"paper={option}"])
    else:
        cfg = plain.copy()
        cfg[group] = sections[group, option]
    place_files(cfg)
    prepared = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))
    torch.manual_seed(1)
    kept: Any = OmegaConf.to_container(cfg, resolve=True)
    module = TaggerModule(kept, prepared.vocabs.to_plain(), prepared.labels)
    if prepared.vectors is not None:
        assert isinstance(module.tagger.embedder.words, WordTable)
        module.tagger.embedder.words.fill(prepared.vectors)
    assert len(try_parts(cfg, prepared)) == 6
    batch = next(eval_batches(prepared.splits["train"], 200))
    trained = {name: part for name, part in module.named_parameters() if part.requires_grad}
    before = {name: part.detach().clone() for name, part in trained.items()}
    optimizer = module.recipe.optimizer(module.tagger)

    losses = module.tagger(batch)
    loss = module.recipe.reduce(losses, len(batch), int(batch.mask.sum()), world=1)
    loss.backward()
    module.recipe.clip_gradients(list(trained.values()))
    optimizer.step()

    assert losses.shape == (len(batch),)
    assert bool(torch.isfinite(losses).all())
    assert bool((losses > 0).all())
    for name, part in trained.items():
        assert part.grad is not None, name
        gradient = part.grad.to_dense()
        assert bool(torch.isfinite(gradient).all()), name
        assert bool(gradient.any()), f"no gradient reaches {name}"
        assert not torch.equal(part, before[name]), f"{name} stays as it is"


@pytest.mark.parametrize(("group", "option"), BUILDABLE)
def test_the_target_lies_in_the_package_of_the_groups_name(
    group: str, option: str, sections: Mapping[tuple[str, str], DictConfig]
) -> None:
    target = sections[group, option]["_target_"]
    if group == "data":
        assert target == "ner_lab.data.options.DataOptions"
    else:
        assert target.startswith(f"{package_of(group)}.")


@pytest.mark.parametrize("option", options_of("trainer"))
def test_a_trainer_option_is_made_of_lightnings_own_arguments(
    option: str, sections: Mapping[tuple[str, str], DictConfig]
) -> None:
    section = sections["trainer", option].copy()
    section.accelerator = "cpu"
    assert section["_target_"] == "pytorch_lightning.Trainer"
    assert keys_of(section) <= set(inspect.signature(pl.Trainer).parameters)
    assert isinstance(instantiate(section, logger=False), pl.Trainer)


@pytest.mark.parametrize(("group", "option"), BUILDABLE)
def test_an_option_states_every_argument_of_its_class(
    group: str, option: str, sections: Mapping[tuple[str, str], DictConfig]
) -> None:
    section = sections[group, option]
    arguments = set(inspect.signature(target_of(section)).parameters)
    waits = GIVEN_BY_BUILD if section.get("_partial_") else set()
    assert keys_of(section) == arguments - waits


@pytest.mark.parametrize(("group", "option"), [pair for pair in OPTIONS if pair[0] != "paper"])
def test_parts_wait_for_their_sizes_and_all_get_plain_lists(
    group: str, option: str, sections: Mapping[tuple[str, str], DictConfig]
) -> None:
    section = sections[group, option]
    assert section["_convert_"] == "all"
    assert section.get("_partial_", False) is (group in ("char_encoder", "encoder", "decoder"))


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_has_a_package_of_its_name(group: str) -> None:
    if group not in ("paper", "trainer"):  # a paper only chooses, the trainer is Lightning's
        assert Path(PACKAGE, *package_of(group).split(".")[1:], "__init__.py").is_file() or group == "data"


def test_every_group_is_chosen_from_in_the_experiment() -> None:
    chosen = {str(next(iter(line))) for line in OmegaConf.load(CONF_DIR / "config.yaml").defaults if line != "_self_"}
    assert {name for name in chosen if "hydra" not in name} == set(GROUPS)


@pytest.mark.parametrize("group", [group for group in GROUPS if (CONF_DIR / group / "none.yaml").exists()])
def test_nothing_has_no_settings(group: str) -> None:
    allowed = {"encoder": {"input_dropout"}}.get(group, set())
    assert keys_of(own_lines(group, "none")) == allowed


def test_the_base_of_data_says_what_the_record_has_as_defaults() -> None:
    said = OmegaConf.to_container(own_lines("data", "base"))
    assert isinstance(said, dict)
    for field in fields(DataOptions):
        if field.name == "name":
            continue
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        assert said[field.name] == default, field.name


@pytest.mark.parametrize("option", options_of("logger"))
def test_a_logger_option_makes_a_tracker_that_can_be_closed_before_it_was_opened(option: str) -> None:
    tracker = instantiate(compose_config([f"logger={option}"]).logger)
    assert isinstance(tracker, Tracker)
    tracker.close(failed=True)


@pytest.mark.parametrize("option", options_of("paper"))
def test_a_paper_sets_no_key_in_a_group_that_ablations_swap(option: str) -> None:
    free = {"data", "trainer", "early_stopping", "min_dev_score", "seed", "threads"}
    assert {str(key) for key in own_lines("paper", option)} - {"defaults"} <= free


@pytest.mark.parametrize("file", sorted(CONF_DIR.glob("*/*.yaml")), ids=lambda file: file.stem)
def test_every_file_says_first_what_it_is(file: Path) -> None:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if "@package" not in line]
    assert lines[0].startswith("# ")
