"""Lexicon features: columns from files, when these are read, and what happens where they are not as they should be."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ner_lab.data.sentence import Sentence
from ner_lab.errors import UserError
from ner_lab.models.features import lexicons as lexicons_module
from ner_lab.models.features.lexicons import Lexicons

WORDS = ["Anna", "Holm", "saw", "New", "York", "and", "Holm"]
SENTENCE = Sentence(WORDS, ["O"] * len(WORDS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two lists of names as people write them, and one in SENNA's format."""
    place = tmp_path / "lists"
    place.mkdir()
    (place / "people.txt").write_text("Anna Holm\nIda Berg (nurse)\n")
    (place / "places.txt").write_text("New York City\nOslo\n")
    (place / "ner.loc.lst").write_text("new\nnew york\noslo\n")
    (place / "ner.loc.dat").write_bytes(b"\0\1\1")
    return place


def lexicons(given: Mapping[str, Any], *, cache: Path | None = None, single: Any = ("PER",), dim: int = 3) -> Lexicons:
    return Lexicons(
        lexicons=given, dim=dim, single_token_partial=single, cache_dir=None if cache is None else str(cache)
    )


def mine(folder: Path, **further: Any) -> dict[str, Any]:
    entries = {"PER": ["people.txt"], "LOC": ["places.txt"]}
    return {"mine": {"entries": entries, "dir": str(folder), **further}}


def senna(folder: Path | None, **further: Any) -> dict[str, Any]:
    given = {"entries": {"LOC": "ner.loc.lst"}, "dir": folder and str(folder), "raw": False, "matching": "exact"}
    return {"senna": given | {"url": "https://example.org/senna-v3.0.tgz"} | further}


def column(features: Lexicons, name: str) -> str:
    return "".join(features.dense(SENTENCE)[features.columns.index(name)])


# columns


def test_each_lexicon_has_a_column_for_each_category(folder: Path) -> None:
    features = lexicons(mine(folder) | senna(folder))
    assert features.columns == ("mine.PER", "mine.LOC", "senna.LOC")
    assert features.dims() == {"mine.PER": 3, "mine.LOC": 3, "senna.LOC": 3}
    assert ["".join(values) for values in features.dense(SENTENCE)] == ["BEOOOOE", "OOOBIOO", "OOOBEOO"]
    assert features.sparse(SENTENCE) == []


@pytest.mark.parametrize(
    ("settings", "people", "places"),
    [
        ({"matching": "partial"}, "BEOOOOE", "OOOBIOO"),
        ({"matching": "exact"}, "BEOOOOO", "OOOOOOO"),
        ({"matching": "partial", "coding": "YN"}, "YYNNNNY", "NNNYYNN"),
        ({"matching": "exact", "coding": "YN"}, "YYNNNNN", "NNNNNNN"),
        ({"matching": "collobert", "coding": "YN"}, "YYNNNNN", "NNNYYNN"),
    ],
)
def test_matching_and_coding_are_those_of_the_options(
    folder: Path, settings: dict[str, str], people: str, places: str
) -> None:
    features = lexicons(mine(folder, **settings))
    assert (column(features, "mine.PER"), column(features, "mine.LOC")) == (people, places)


def test_one_word_matches_a_part_in_the_given_categories_only(folder: Path) -> None:
    (folder / "places.txt").write_text("Holm Bay\n")
    assert column(lexicons(mine(folder)), "mine.LOC") == "OOOOOOO"
    features = lexicons(mine(folder), single=["LOC"])
    assert (column(features, "mine.LOC"), column(features, "mine.PER")) == ("OBOOOOB", "BEOOOOO")


def test_a_category_may_have_several_files_anywhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "more.txt").write_text("saw\n")
    monkeypatch.chdir(tmp_path)
    features = lexicons({"mine": {"entries": {"PER": [str(folder / "people.txt"), "more.txt"]}}})
    assert column(features, "mine.PER") == "BESOOOE"
    inside = lexicons({"mine": {"entries": {"PER": ["people.txt", str(tmp_path / "more.txt")]}, "dir": str(folder)}})
    assert inside.dense(SENTENCE) == features.dense(SENTENCE)


def test_with_whole_only_just_complete_names_match(folder: Path) -> None:
    text = Sentence(["New", "friends"], ["O", "O"])
    assert lexicons(senna(folder)).dense(text) == [["S", "O"]]
    assert lexicons(senna(folder, whole_only=True)).dense(text) == [["O", "O"]]


def test_lists_are_found_in_sennas_hash_folder(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "hash")
    assert column(lexicons(senna(tmp_path)), "senna.LOC") == "OOOBEOO"


# when files are read


def test_sets_of_one_process_read_a_file_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = lexicons_module.fragments_of

    def counted(entries: list[str], **how: Any) -> Any:
        built.append(len(entries))
        return build(entries, **how)

    monkeypatch.setattr(lexicons_module, "fragments_of", counted)
    first, second = lexicons(mine(folder)), lexicons(mine(folder) | senna(folder))
    for features in (first, second, first, second):
        features.dense(SENTENCE)
    assert len(built) == 3
    lexicons(mine(folder, matching="exact")).dense(SENTENCE)
    assert len(built) == 5
    (folder / "people.txt").write_text("New York\n")
    assert column(lexicons(mine(folder)), "mine.PER") == "OOOBEOO"
    assert column(first, "mine.PER") == "BEOOOOE"


def test_sennas_lists_come_out_of_its_archive_in_the_cache(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "vectors" / "senna-v3.0.tgz"
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as tar:
        for room, name in (("hash", "ner.loc.lst"), ("data", "ner.loc.dat")):
            content = (folder / name).read_bytes()
            member = tarfile.TarInfo(f"senna/{room}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    text = Sentence(["New", "York"], ["O", "O"])
    fetched = lexicons(senna(None, whole_only=True), cache=tmp_path / "cache")
    given = lexicons(senna(folder, whole_only=True))
    assert fetched.dense(text) == given.dense(text) == [["B", "E"]]
    assert fetched.fingerprint() == given.fingerprint()
    assert lexicons(senna(None), cache=tmp_path / "cache").dense(text) == [["B", "E"]]


def test_a_failed_download_names_the_option_for_a_local_folder(tmp_path: Path) -> None:
    given = senna(None, url="http://127.0.0.1:9/senna-v3.0.tgz")
    with pytest.raises(UserError, match=r"could not be downloaded.*features: lexicons\.senna\.dir=FOLDER"):
        lexicons(given, cache=tmp_path).learn([])


# what a checkpoint and a cache entry depend on


def test_a_trained_lexicon_no_longer_needs_its_files(folder: Path) -> None:
    given = mine(folder) | senna(folder, whole_only=True)
    trained = lexicons(given)
    learnt = json.loads(json.dumps(trained.learn([SENTENCE])))
    codes = trained.dense(SENTENCE)
    (folder / "places.txt").write_text("Anna\n")
    (folder / "people.txt").unlink()
    (folder / "ner.loc.dat").unlink()
    loaded = lexicons(given)
    loaded.remember(learnt)
    assert loaded.dense(SENTENCE) == codes


def test_a_checkpoint_with_sums_alone_needs_the_same_files(folder: Path, tmp_path: Path) -> None:
    sums = {name: one.files.hashes() for name, one in lexicons(mine(folder)).lexicons.items()}
    moved = folder.rename(tmp_path / "elsewhere")
    features = lexicons(mine(moved))
    features.remember(sums)
    assert column(features, "mine.PER") == "BEOOOOE"
    (moved / "places.txt").write_text("New York City\n")
    with pytest.raises(UserError, match=r"entries of mine\.LOC differ from those of the training.*train again"):
        lexicons(mine(moved)).remember(sums)


@pytest.mark.parametrize(
    "learnt",
    [{}, {"mine": {"PER": "Anna"}}, *({"mine": {"PER": "Anna", "LOC": wrong}} for wrong in (3, "", ["x"], "x" * 2001))],
)
def test_a_checkpoint_without_these_entries_is_refused(folder: Path, learnt: Any) -> None:
    with pytest.raises(UserError, match=r"checkpoint.*mine.*Train again"):
        lexicons(mine(folder)).remember(learnt)


def test_fingerprints_change_with_whatever_changes_the_features(folder: Path) -> None:
    sets = [
        lexicons(mine(folder)),
        lexicons(mine(folder, matching="exact")),
        lexicons(mine(folder, coding="YN")),
        lexicons(mine(folder, raw=False)),
        lexicons(mine(folder), single=[]),
        lexicons(senna(folder)),
        lexicons(senna(folder, whole_only=True)),
    ]
    prints = [features.fingerprint() for features in sets]
    (folder / "people.txt").write_text("Anna Berg\n")
    prints.append(lexicons(mine(folder)).fingerprint())
    assert all(one != other for place, one in enumerate(prints) for other in prints[:place])
    assert json.loads(json.dumps(prints)) == prints


def test_fingerprints_do_not_depend_on_paths_or_on_earlier_reading(folder: Path, tmp_path: Path) -> None:
    features = lexicons(mine(folder))
    before = features.fingerprint()
    features.dense(SENTENCE)
    assert features.fingerprint() == before
    moved = folder.rename(tmp_path / "elsewhere")
    assert lexicons(mine(moved), dim=9).fingerprint() == before


def test_files_are_distinguished_without_a_writable_cache(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a folder")
    assert lexicons(mine(folder), cache=tmp_path / "file").learn([]) == lexicons(mine(folder)).learn([])


# mistakes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"matching": "fuzzy"}, r"lexicons\.mine\.matching must be one of exact, partial, collobert"),
        ({"coding": "BIO"}, r"lexicons\.mine\.coding must be BIOES or YN"),
        ({"matching": "collobert"}, r"lexicons\.mine\.matching=collobert .*Set lexicons\.mine\.coding=YN"),
        ({"matchin": "exact"}, r"lexicons\.mine has no key 'matchin'\. Its keys are entries, dir, .*matching"),
        ({"entries": {}}, r"lexicons\.mine\.entries must be categories and their files.*; got \{\}"),
        ({"entries": ["a"]}, r"lexicons\.mine\.entries must be .*; got \['a'\]"),
        ({"entries": {"PER": []}}, r"lexicons\.mine\.entries\.PER must be a file or a list of files; got \[\]"),
        ({"entries": {"PER": [1]}}, r"lexicons\.mine\.entries\.PER must be .*; got \[1\]"),
    ],
)
def test_invalid_settings_are_refused(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lexicons(mine(folder, **settings))


def test_missing_files_are_named_with_their_key_and_the_next_step(folder: Path, tmp_path: Path) -> None:
    (folder / "places.txt").unlink()
    with pytest.raises(
        UserError,
        match=r"lexicons\.mine\.entries\.LOC is .*lists/places\.txt: there is no such file\. .*"
        r"Set lexicons\.mine\.dir to the folder of the file\.",
    ):
        lexicons(mine(folder)).fingerprint()
    with pytest.raises(UserError, match=r"is gone\.txt: there is no such file\. Correct the path\."):
        lexicons({"mine": {"entries": {"LOC": "gone.txt"}}}).fingerprint()
    with pytest.raises(UserError, match=r"or set lexicons\.senna\.dir=null to download SENNA's lists"):
        lexicons(senna(tmp_path)).fingerprint()
    with pytest.raises(UserError, match=r"lexicons\.mine\.dir=.*nowhere: there is no such folder"):
        lexicons(mine(tmp_path / "nowhere")).fingerprint()


def test_a_list_without_entries_is_refused(folder: Path) -> None:
    (folder / "places.txt").write_text("\n(all)\n")
    with pytest.raises(UserError, match=r"lexicons\.mine\.entries\.LOC: .*places\.txt has no entries"):
        lexicons(mine(folder)).dense(SENTENCE)
