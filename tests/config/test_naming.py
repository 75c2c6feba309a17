"""Names of configurations: from choices to a folder, and from what a study states to choices."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ner_lab.config.naming import UNCHOSEN, configuration_name, job_folder, parse_configuration, short_names

KEYS = st.from_regex(r"[+~]{0,2}[a-z_]{1,12}(\.[a-z_]{1,12}){0,3}", fullmatch=True)
ANY_CHOICES = st.dictionaries(KEYS, st.text(max_size=40), max_size=6)
PLAIN_CHOICES = st.dictionaries(
    st.from_regex(r"[a-z_]{1,12}(\.[a-z_]{1,12}){0,2}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_.-]{1,12}|\[[a-z]{1,5}(, ?[a-z]{1,5}){0,3}\]|\{x: ?1, ?y: ?2\}", fullmatch=True),
    min_size=1,
    max_size=5,
)


def test_a_configuration_is_named_by_its_choices_in_the_order_of_keys() -> None:
    assert configuration_name({"decoder": "crf", "char_encoder": "cnn"}) == "char_encoder=cnn,decoder=crf"
    assert job_folder({"decoder": "crf"}, 3) == "decoder=crf/seed=3"
    assert job_folder({}, 3) == f"{UNCHOSEN}/seed=3"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("/a b/train.conll", "k=_a_b_train.conll"),
        ("'two words'", "k=two_words"),
        ('"x"', "k=x"),
        ("[train,dev]", "k=[train+dev]"),
        ("[train, dev]", "k=[train+dev]"),
        ("{x:1,y:2}", "k={x:1+y:2}"),
        ("1e-05", "k=1e-05"),
        ("-1", "k=-1"),
        ("..", "k=.."),
        ("", "k=_"),
        ("null", "k=null"),
        ("Zürich", "k=Zürich"),
    ],
)
def test_a_value_becomes_part_of_a_folders_name(value: str, name: str) -> None:
    assert configuration_name({"k": value}) == name


def test_a_key_that_is_added_is_named_and_ordered_without_its_plus_sign() -> None:
    assert configuration_name({"+data.x": "1", "b": "2", "++e": "3"}) == "b=2,data.x=1,e=3"


@settings(deadline=None)
@given(ANY_CHOICES)
@example({"k": "/../../etc"})
@example({"k": "x" * 300})
@example({"k": "ü" * 300})
def test_whatever_is_chosen_the_name_fits_one_folder_and_does_not_depend_on_the_order(
    choices: dict[str, str],
) -> None:
    name = configuration_name(choices)
    assert 0 < len(name.encode()) <= 255
    assert name not in (".", "..")
    assert not re.search(r"[/\\\s'\"\0$*?<>|]", name)
    assert configuration_name(dict(reversed(choices.items()))) == name


def test_long_names_are_cut_but_stay_apart() -> None:
    one, other = (configuration_name({"k": "x" * 300 + end}) for end in "ab")
    assert one != other
    assert one[:150] == other[:150] == "k=" + "x" * 148


@settings(deadline=None)
@given(PLAIN_CHOICES, st.sampled_from([",", ", ", " , "]))
def test_what_a_study_states_in_any_order_names_the_configuration(choices: dict[str, str], comma: str) -> None:
    stated = comma.join(f"{key}={value}" for key, value in reversed(choices.items()))
    assert parse_configuration(stated) == choices
    assert configuration_name(parse_configuration(stated)) == configuration_name(choices)


def test_a_name_gives_back_its_choices() -> None:
    choices = {"decoder": "crf", "data.train_on": "[train+dev]"}
    assert parse_configuration(configuration_name(choices)) == choices
    assert parse_configuration("") == {}


def test_short_names_leave_out_what_all_share() -> None:
    names = ["a=1,b=2,c=3/seed=1", "a=1,b=2,c=4/seed=1", "a=1,b=5,c=4/seed=1"]
    assert list(short_names(names).values()) == ["b=2,c=3", "b=2,c=4", "b=5,c=4"]
    assert short_names(["a=1/seed=1"]) == {"a=1/seed=1": "a=1,seed=1"}
    assert short_names([]) == {}
