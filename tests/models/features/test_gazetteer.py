"""Gazetteer features: switches for words of listed phrases, past the encoder or as columns."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.sentence import Sentence
from ner_lab.errors import UserError
from ner_lab.models.features.gazetteer import Gazetteer

WORDS = ["the", "New", "York", "Times", "of", "New", "Orleans"]
SENTENCE = Sentence(WORDS, ["O"] * len(WORDS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two lists in SENNA's format; `new` only begins names."""
    (tmp_path / "ner.loc.lst").write_text("new\nnew orleans\nnew york\n")
    (tmp_path / "ner.loc.dat").write_bytes(b"\0\1\1")
    (tmp_path / "ner.org.lst").write_text("new\nnew york\nnew york times\ntimes\ntimes of\ntimes of new\n")
    (tmp_path / "ner.org.dat").write_bytes(b"\0\0\1\0\0\1")
    return tmp_path


def gazetteer(folder: Path | None, **further: Any) -> Gazetteer:
    given: dict[str, Any] = {
        "entries": {"LOC": ["ner.loc.lst"], "ORG": "ner.org.lst"},
        "dir": folder and str(folder),
        "url": None,
        "raw": False,
        "whole_only": True,
        "dim": 0,
        "cache_dir": None,
    }
    return Gazetteer(**given | further)


def test_any_phrase_switches_on_all_its_words_also_where_phrases_overlap(folder: Path) -> None:
    loc, org = "gazetteer=LOC", "gazetteer=ORG"
    assert gazetteer(folder).sparse(SENTENCE) == [[], [loc, org], [loc, org], [org], [org], [loc, org], [loc]]


def test_a_line_that_only_begins_names_does_not_match_unless_all_lines_are_taken(folder: Path) -> None:
    text = Sentence(["New", "friends"], ["O", "O"])
    assert gazetteer(folder).sparse(text) == [[], []]
    assert gazetteer(folder, whole_only=False).sparse(text) == [["gazetteer=LOC", "gazetteer=ORG"], []]


def test_with_a_size_the_switches_are_columns(folder: Path) -> None:
    features = gazetteer(folder, dim=5)
    assert features.columns == ("gazetteer.LOC", "gazetteer.ORG")
    assert features.dims() == {"gazetteer.LOC": 5, "gazetteer.ORG": 5}
    assert features.sparse(SENTENCE) == []
    on_off = [
        ["on" if f"gazetteer={kind}" in names else "off" for names in gazetteer(folder).sparse(SENTENCE)]
        for kind in ("LOC", "ORG")
    ]
    assert features.dense(SENTENCE) == on_off
    assert on_off[0] == ["off", "on", "on", "off", "off", "on", "on"]


TOKENS = st.sampled_from(["a", "B", "b", "c"])


@given(st.lists(TOKENS, max_size=7), st.lists(st.lists(TOKENS, min_size=1, max_size=4), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_switches_equal_a_search_for_every_phrase_at_every_position(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], phrases: list[list[str]]
) -> None:
    file = tmp_path_factory.mktemp("lists") / "all.txt"
    file.write_text("".join(f"{' '.join(phrase)}\n" for phrase in phrases))
    features = gazetteer(None, entries={"X": str(file)}, whole_only=False)
    expected = searched([word.lower() for word in words], [[token.lower() for token in phrase] for phrase in phrases])
    assert features.sparse(Sentence(words, ["O"] * len(words))) == [["gazetteer=X"] * on for on in expected]


def searched(words: Sequence[str], phrases: Sequence[Sequence[str]]) -> list[bool]:
    hits: Mapping[int, bool] = {
        start + place: True
        for phrase in phrases
        for start in range(len(words))
        if words[start : start + len(phrase)] == phrase
        for place in range(len(phrase))
    }
    return [hits.get(place, False) for place in range(len(words))]


def test_fingerprints_change_with_whatever_changes_the_features(folder: Path) -> None:
    sets = [
        gazetteer(folder),
        gazetteer(folder, dim=5),
        gazetteer(folder, raw=True),
        gazetteer(folder, whole_only=False),
    ]
    prints = [features.fingerprint() for features in sets]
    assert gazetteer(folder, dim=6).fingerprint() == prints[1]
    (folder / "ner.loc.dat").write_bytes(b"\1\1\1")
    prints.append(gazetteer(folder).fingerprint())
    assert all(one != other for place, one in enumerate(prints) for other in prints[:place])
    assert json.loads(json.dumps(prints)) == prints


def test_a_trained_gazetteer_no_longer_needs_its_files(folder: Path) -> None:
    trained = gazetteer(folder)
    learnt, sums = json.loads(json.dumps(trained.learn([SENTENCE]))), {"gazetteer": trained.files.hashes()}
    found = trained.sparse(SENTENCE)
    (folder / "ner.org.lst").write_text("new\nnew york\nnew york post\ntimes\ntimes of\ntimes of new\n")
    loaded = gazetteer(folder)
    loaded.remember(learnt)
    assert loaded.sparse(SENTENCE) == found
    with pytest.raises(UserError, match=r"gazetteer\.ORG differ from those of the training"):
        gazetteer(folder).remember(sums)
