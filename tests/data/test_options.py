"""The `data` group: every option of it is well-formed, and what it refuses it explains."""

import re
from dataclasses import MISSING, fields, replace
from functools import cache
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from ner_lab.config.compose import CONF_DIR, compose_config, options_of
from ner_lab.data.options import DataOptions
from ner_lab.data.sentence import SPLITS
from ner_lab.errors import UserError

CORPORA = options_of("data")


def options(**given: Any) -> DataOptions:
    return DataOptions(**{"name": "files", **given})


@cache
def corpus_options(corpus: str) -> DataOptions:
    return instantiate(compose_config([f"data={corpus}"]).data)


# conf/data


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_option_of_the_group_is_a_record_under_its_own_name(corpus: str) -> None:
    found = corpus_options(corpus)
    assert isinstance(found, DataOptions)
    assert found.name == corpus
    assert type(found.columns) is dict  # plain containers, which can be hashed into a key
    assert type(found.downloads) is list


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_public_address_is_https_with_a_sum_and_gives_known_splits(corpus: str) -> None:
    found = corpus_options(corpus)
    digits = {"sha256": 64, "md5": 32}
    for item in found.downloads:
        assert set(item) == {"url", "checksum", "splits"}
        assert item["url"].startswith("https://")
        algorithm, _, value = item["checksum"].partition(":")
        assert re.fullmatch(rf"[0-9a-f]{{{digits[algorithm]}}}", value)
    given = [split for item in found.downloads for split in item["splits"]]
    assert len(given) == len(set(given))
    assert set(given) <= set(SPLITS)
    if found.downloads:
        assert set(given) == set(found.local) == set(found.counts)
        assert found.licence


def test_the_base_option_holds_every_key_with_its_default() -> None:
    base = OmegaConf.to_container(OmegaConf.load(CONF_DIR / "data" / "base.yaml"))
    assert isinstance(base, dict)
    defaults = {
        field.name: field.default_factory() if field.default_factory is not MISSING else field.default
        for field in fields(DataOptions)
    }
    stated = {key: value for key, value in base.items() if not str(key).startswith("_")}
    assert stated == defaults | {"name": "???"}


# what is refused


@pytest.mark.parametrize(
    ("key", "value", "takes"),
    [
        ("format", "json", "columns or markup; got"),
        ("docstart", "skip", "drop or keep; got"),
        ("digits", "one", "one of keep, zero, zero_run; got"),
        ("unknown_chars", "drop", "unk or skip; got"),
        ("vocabulary", "dev", "one of train, corpus, file; got"),
        ("batch_size", 0, "a whole number of at least 1"),
        ("batch_size", 2.5, "a whole number of at least 1"),
        ("batch_size", None, "a whole number of at least 1"),
        ("min_count", 0, "a whole number of at least 1"),
        ("eval_batch_tokens", -1, "a whole number of at least 1"),
        ("batch_tokens", 0, "at least 1, or null for no limit"),
        ("max_sentence_length", 0, "at least 1, or null for no limit"),
        ("max_word_length", "ten", "at least 1, or null for no limit"),
        ("singleton_unk", -0.1, "a probability, from 0 to 1"),
        ("singleton_unk", 1.1, "a probability, from 0 to 1"),
        ("train_on", "train", "[train], or [train,dev]"),
        ("train_on", [], "[train], or [train,dev]"),
        ("train_on", None, "[train], or [train,dev]"),
        ("train_on", ["dev"], "[train], or [train,dev]"),
        ("train_on", ["train", "train"], "[train], or [train,dev]"),
        ("train_on", ["train", "devel"], "[train], or [train,dev]"),
        ("train_on", ["train", 3], "[train], or [train,dev]"),
        ("train_on", ["train", "dev", "test"], "With test in train"),
        ("dev_share", 0.0, "between 0 and 1"),
        ("dev_share", 1.0, "between 0 and 1"),
    ],
)
def test_a_wrong_value_is_refused_with_the_key_the_value_and_what_it_takes(key: str, value: object, takes: str) -> None:
    with pytest.raises(UserError, match=rf"^data\.{key} must be .*{re.escape(takes)}"):
        options(**{key: value})


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (["PER"], r"data\.map_types must be .* got \['PER'\]"),
        ({"PER": None}, "None is not text"),
        ({False: "PER"}, "False is not text.*Quote"),
        ({"PER": ""}, "'' is empty"),
        ({"O": "PER"}, "O is not an entity type"),
    ],
)
def test_what_is_no_map_of_types_is_refused_with_an_example(value: object, what: str) -> None:
    with pytest.raises(UserError, match=what) as refused:
        options(map_types=value)
    assert "{PERSON: PER}" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("singleton_unk", 0), ("singleton_unk", 1.0), ("batch_tokens", None), ("batch_size", 1), ("dev_share", 0.999)],
)
def test_the_last_value_allowed_is_allowed(key: str, value: object) -> None:
    assert getattr(options(**{key: value}), key) == value


@pytest.mark.parametrize(
    "columns",
    [{}, {"word": 0}, {"tag": 1}, {"word": 0, "tag": None}, {"word": 0, "tag": "ner"}, {"word": 0, "tag": 1.0}],
)
def test_columns_need_the_numbers_of_word_and_tag(columns: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"data\.columns must be column numbers from 0, at least of word and tag"):
        options(columns=columns)


@pytest.mark.parametrize("key", ["scheme", "file_scheme"])
def test_schemes_are_checked_and_written_one_way(key: str) -> None:
    assert getattr(options(**{key: "bio"}), key) == "IOB2"
    with pytest.raises(UserError, match=r"'IOBX' is not a tag scheme; use one of IO, IOB1, IOB2, IOBES, BILOU"):
        options(**{key: "IOBX"})


@pytest.mark.parametrize("train_on", [["train", "dev"], ["dev", "train"], ("train", "dev")])
def test_train_and_dev_are_trained_on_whichever_way_round_they_are_written(train_on: Any) -> None:
    assert options(train_on=train_on) == options(train_on=["train", "dev"])
    assert options(train_on=train_on).trains_on_dev
    assert not options().trains_on_dev


def test_a_files_scheme_may_be_left_to_be_recognised() -> None:
    assert options().file_scheme == "auto"
    with pytest.raises(UserError, match=r"'auto' is not a tag scheme; use one of IO, IOB1"):
        options(scheme="auto")


@pytest.mark.parametrize("separator", ["comma", ""])
def test_an_unknown_separator_is_refused_where_the_columns_are_read(separator: str) -> None:
    with pytest.raises(UserError, match=rf"data\.separator must be one of auto, tab, space, any; got '{separator}'"):
        _ = options(separator=separator).column_format


# what follows from them


def test_the_column_format_is_that_of_the_options() -> None:
    columns = options(columns={"word": 1, "pos": 2, "tag": -2}, separator="tab", docstart="keep").column_format
    assert (columns.word, columns.tag, dict(columns.others)) == (1, -2, {"pos": 2})
    assert (columns.separator, columns.docstart) == ("tab", "keep")


PLACES_AND_BATCHES: dict[str, Any] = {
    "dir": "/elsewhere",
    "train": "/elsewhere/train.txt",
    "dev": "/elsewhere/dev.txt",
    "test": "/elsewhere/test.txt",
    "local": {"train": ["a.txt"]},
    "downloads": [{"url": "https://example.org/a", "splits": {"train": "a"}}],
    "licence": "MIT",
    "cache_dir": "/elsewhere",
    "batch_size": 99,
    "batch_tokens": 99,
    "group_by_length": False,
    "eval_batch_tokens": 99,
    "singleton_unk": 0.25,
}
CONTENT: dict[str, Any] = {
    "name": "other",
    "counts": {"train": {"tokens": 1}},
    "verify": False,
    "format": "markup",
    "columns": {"word": 0, "tag": 1},
    "separator": "tab",
    "docstart": "keep",
    "file_scheme": "IOB1",
    "map_types": {"PERSON": "PER"},
    "dev_share": 0.25,
    "dev_seed": 2,
    "train_on": ["train", "dev"],
    "scheme": "IOB2",
    "digits": "zero",
    "lowercase": True,
    "min_count": 2,
    "unknown_chars": "skip",
    "max_sentence_length": 9,
    "max_word_length": 9,
    "vocabulary": "train",
}


def test_each_option_is_known_to_change_the_prepared_data_or_not() -> None:
    assert PLACES_AND_BATCHES.keys() | CONTENT.keys() == {field.name for field in fields(DataOptions)}
    assert not PLACES_AND_BATCHES.keys() & CONTENT.keys()


@pytest.mark.parametrize("key", PLACES_AND_BATCHES)
def test_places_and_batches_leave_the_prepared_data_as_they_are(key: str) -> None:
    changed = replace(options(), **{key: PLACES_AND_BATCHES[key]})
    assert changed != options()
    assert changed.what_encoding_depends_on() == options().what_encoding_depends_on()


@pytest.mark.parametrize("key", CONTENT)
def test_every_other_option_makes_other_prepared_data(key: str) -> None:
    changed = replace(options(), **{key: CONTENT[key]})
    assert changed.what_encoding_depends_on() != options().what_encoding_depends_on()
