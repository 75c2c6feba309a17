"""Preparing a data set: what its vocabularies come from, what is cached, what is warned of."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ner_lab.data.preparation as prepare_module
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import Prepared, encode, prepare
from ner_lab.data.sentence import Counts, Sentence
from ner_lab.data.vocab import UNK
from ner_lab.errors import UserError
from ner_lab.io.download import Progress

# word, part of speech, tag; "|" parts sentences
TRAIN = """\
Ann NNP B-PER, Holm NNP I-PER, left VBD O, Oslo NNP B-LOC, in IN O, 1996 CD O | The DT O, fog NN O, rose VBD O
| Oslo NNP B-LOC, and CC O, Bergen NNP B-LOC, met VBD O | Bank NNP B-ORG, of IN I-ORG, Oslo NNP I-ORG, fell VBD O
| the DT O, bank NN O, fell VBD O, 31 CD O | Tove NNP B-PER, Berg NNP I-PER, rose VBD O | It PRP O, rose VBD O
| Holm NNP B-PER, saw VBD O, Berg NNP B-PER | In IN O, 1997 CD O, fog NN O, fell VBD O | the DT O, sea NN O
| a DT O, bank NN O, of IN O, fog NN O | Bergen NNP B-ORG, beat VBD O, Lyn NNP B-ORG, 3-1 CD O"""
DEV = """\
Åse NNP B-PER, saw VBD O, Bergen NNP B-LOC | oslo NN B-LOC, fell VBD O | Lyn NNP B-ORG, of IN O, 2026 CD O
| The DT O, tide NN O, rose VBD O, in IN O, Molde NNP B-LOC"""
TEST = """\
BERGEN NNP B-ORG, fell VBD O | Kvitsøy UH B-LOC, rose VBD O, 42 CD O | Ann NNP B-PER, met VBD O, Åse NNP B-PER
| it PRP O, fell VBD O"""
TEXTS = {"train": TRAIN, "dev": DEV, "test": TEST}
VECTORS = ["the", "oslo", "Bergen", "0000", "00", "fog", "molde", "fell", "unused", "kvitsøy", "tide"]


class Cues:
    """A feature set: part of speech and shape as dense columns, endings as sparse features."""

    columns: tuple[str, ...] = ("pos", "shape")
    min_count = 2

    def __init__(self, name: str = "cues") -> None:
        self.name = name

    def learn(self, train: Sequence[Sentence]) -> Any:
        return None

    def remember(self, learnt: Any) -> None:
        assert learnt is None

    def dense(self, sentence: Sentence) -> list[list[str]]:
        return [sentence.columns["pos"], ["upper" if word[0].isupper() else word[0] for word in sentence.words]]

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        return [[f"ends={word[-1]}", f"begins={word[0]}"] for word in sentence.words]

    def fingerprint(self) -> dict[str, Any]:
        return {"name": self.name}


class NoVectors:
    """A word embedding without a file."""

    lookup: tuple[str, ...] = ()
    min_coverage = 0.0
    from_scratch = False

    def file(self, cache: Path, progress: Progress | None) -> Path | None:
        return None

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        raise AssertionError("there is no file")

    def fingerprint(self) -> dict[str, Any]:
        return {}


class TextVectors(NoVectors):
    """A word embedding with a file of words and numbers."""

    def __init__(self, path: Path, lookup: tuple[str, ...], min_coverage: float = 0.0) -> None:
        self.path = path
        self.lookup = lookup
        self.min_coverage = min_coverage

    def file(self, cache: Path, progress: Progress | None) -> Path | None:
        return self.path

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        kept = [line for line in lines if wanted is None or line[0] in wanted]
        return [line[0] for line in kept], np.array([line[1:] for line in kept], dtype=np.float32).reshape(-1, 3)

    def fingerprint(self) -> dict[str, Any]:
        return {"lookup": list(self.lookup)}


LOOKUP = ("exact", "lower", "lower_zero_digits")


def sentences_in(text: str) -> list[list[list[str]]]:
    return [[token.split() for token in sentence.split(",")] for sentence in text.split("|")]


def write(path: Path, text: str) -> None:
    parts = ["".join(" ".join(row) + "\n" for row in rows) for rows in sentences_in(text)]
    path.write_text("\n".join(parts), encoding="utf-8")


def options_in(folder: Path, **changed: Any) -> DataOptions:
    """Writes the corpus (texts in `changed` replace a split's) and gives the options that read it."""
    places: dict[str, Any] = {}
    for name, text in TEXTS.items():
        write(folder / f"{name}.conll", changed.pop(f"{name}_text", text))
        places[name] = str(folder / f"{name}.conll")
    columns = {"word": 0, "pos": 1, "tag": 2}
    places |= {"name": "files", "columns": columns, "cache_dir": str(folder / "cache")}
    return DataOptions(**places | changed)


def vectors_in(folder: Path, lookup: tuple[str, ...] = LOOKUP, min_coverage: float = 0.0) -> TextVectors:
    lines = [f"{word} {number} {number / 2} -1\n" for number, word in enumerate(VECTORS)]
    (folder / "vectors.txt").write_text("".join(lines), encoding="utf-8")
    return TextVectors(folder / "vectors.txt", lookup, min_coverage)


def entries(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cache" / "prepared").iterdir() if path.is_dir()}


def assert_equal(one: Prepared, other: Prepared) -> None:
    for field in fields(Prepared):
        if field.name not in ("splits", "vectors"):
            assert getattr(one, field.name) == getattr(other, field.name)
    np.testing.assert_array_equal(one.vectors, other.vectors)
    assert list(one.splits) == list(other.splits)
    for name, split in one.splits.items():
        twin = other.splits[name]
        assert (split.name, split.path, split.table.spellings) == (twin.name, twin.path, twin.table.spellings)
        pairs = [(split, twin, array) for array in prepare_module._SPLIT_ARRAYS]
        pairs += [(split.table, twin.table, array) for array in prepare_module._TABLE_ARRAYS]
        for left, right, array in pairs:
            np.testing.assert_array_equal(getattr(left, array), getattr(right, array))
            assert getattr(left, array).dtype == getattr(right, array).dtype


def test_a_second_call_gives_the_same_without_reading_corpus_or_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, vectors = options_in(tmp_path), vectors_in(tmp_path)
    first = prepare(options, Cues(), vectors)

    def refuse(*arguments: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(prepare_module, "read_corpus", refuse)
    monkeypatch.setattr(TextVectors, "rows", refuse)
    assert_equal(first, prepare(options, Cues(), vectors))
    other_batches = replace(
        options, batch_size=3, batch_tokens=7, group_by_length=False, eval_batch_tokens=5, singleton_unk=0.3
    )
    assert_equal(first, prepare(other_batches, Cues(), vectors))
    with pytest.raises(AssertionError, match="read again"):
        prepare(replace(options, digits="zero"), Cues(), vectors)


@pytest.mark.parametrize(
    "change",
    [
        {"train_text": TRAIN + " | Mo NNP B-PER"},
        {"dev_text": DEV + " | Mo NNP B-PER"},
        {"test_text": TEST + " | Mo NNP B-PER"},
        {"test_text": TEST.replace("fell VBD O", "fell VBN O", 1)},
        {"scheme": "IOB2"},
        {"digits": "zero"},
        {"lowercase": True},
        {"min_count": 2},
        {"unknown_chars": "skip"},
        {"max_sentence_length": 3},
        {"max_word_length": 4},
        {"vocabulary": "file"},
        {"file_scheme": "IOB2"},
        {"separator": "space"},
        {"docstart": "keep"},
        {"columns": {"word": 0, "pos": 0, "tag": 2}},
        {"dev": None, "dev_share": 0.2},
        {"dev": None, "dev_seed": 2},
        {"train_on": ["train", "dev"]},
    ],
    ids=" ".join,
)
def test_any_change_of_files_or_options_makes_a_new_entry_and_the_old_one_stays(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    vectors = vectors_in(tmp_path)
    base = {key: None for key in change if key == "dev"}
    options = options_in(tmp_path, **base)
    first = prepare(options, Cues(), vectors)
    old = entries(tmp_path)
    assert len(old) == 1
    changed = prepare(options_in(tmp_path, **change), Cues(), vectors)
    assert len(entries(tmp_path)) == 2
    assert old < entries(tmp_path)
    fresh_folder = options_in(tmp_path, **change, cache_dir=str(tmp_path / "other"))
    assert_equal(changed, prepare(fresh_folder, Cues(), vectors))
    assert_equal(first, prepare(options_in(tmp_path, **base), Cues(), vectors))
    assert len(entries(tmp_path)) == 2


def test_other_features_vectors_or_look_up_make_a_new_entry(tmp_path: Path) -> None:
    options = options_in(tmp_path)
    prepare(options, Cues(), vectors_in(tmp_path))
    prepare(options, Cues("others"), vectors_in(tmp_path))
    assert len(entries(tmp_path)) == 2
    prepare(options, Cues(), vectors_in(tmp_path, lookup=("exact",)))
    assert len(entries(tmp_path)) == 3
    prepare(options, Cues(), NoVectors())
    assert len(entries(tmp_path)) == 4
    vectors = vectors_in(tmp_path)
    vectors.path.write_text(vectors.path.read_text(encoding="utf-8").replace("oslo 1 ", "oslo 9 "), encoding="utf-8")
    found = prepare(options, Cues(), vectors)
    assert len(entries(tmp_path)) == 5
    assert found.vectors is not None
    assert found.vectors[found.vocabs.words.find("Oslo")].tolist() == [9, 0.5, -1]


AT_ONCE = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import ner_lab.data.preparation as module
from test_prepare import Cues, DataOptions, TextVectors, LOOKUP
folder = Path(sys.argv[2])
read = module.read_corpus
def noted(*arguments):
    with open(folder / "reads", "a") as file:
        file.write("read\\n")
    time.sleep(0.3)
    return read(*arguments)
module.read_corpus = noted
places = {name: str(folder / f"{name}.conll") for name in ("train", "dev", "test")}
options = DataOptions(
    name="files", columns={"word": 0, "pos": 1, "tag": 2}, cache_dir=str(folder / "cache"), **places
)
(folder / f"ready{os.getpid()}").touch()
while len(list(folder.glob("ready*"))) < 2:
    time.sleep(0.01)
found = module.prepare(options, Cues(), TextVectors(folder / "vectors.txt", LOOKUP))
print(found.splits["test"].forms.tolist(), found.vectors.tolist(), found.vocabs.to_plain())
"""


def test_two_processes_that_want_the_same_entry_at_once_make_it_once(tmp_path: Path) -> None:
    options, vectors = options_in(tmp_path), vectors_in(tmp_path)
    command = [sys.executable, "-c", AT_ONCE, str(Path(__file__).parent), str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert (tmp_path / "reads").read_text() == "read\n"
    assert len(entries(tmp_path)) == 1
    found = prepare(options, Cues(), vectors)
    assert found.vectors is not None
    expected = f"{found.splits['test'].forms.tolist()} {found.vectors.tolist()} {found.vocabs.to_plain()}\n"
    assert outputs == [expected, expected]


def test_the_words_are_trains_in_order_and_only_frequent_ones_have_a_row(tmp_path: Path) -> None:
    found = prepare(options_in(tmp_path), Cues(), NoVectors())
    train_words = [row[0] for rows in sentences_in(TRAIN) for row in rows]
    assert found.vocabs.words.items[2:] == list(dict.fromkeys(train_words))
    found = prepare(options_in(tmp_path, min_count=3, lowercase=True, digits="zero_run"), Cues(), NoVectors())
    # how often: the 3, oslo 3, in 2, 0 3 (1996, 31, 1997), fog 3, rose 3, bank 3, of 2, fell 3, holm 2, berg 2
    assert set(found.vocabs.words.items[2:]) == {"the", "oslo", "0", "fog", "rose", "bank", "fell"}
    assert found.vocabs.words.find("BANK") == found.vocabs.words.ids["bank"]
    assert found.vocabs.words.find("holm") == UNK


def test_letters_are_trains_after_digits_are_normalised_with_their_case(tmp_path: Path) -> None:
    found = prepare(options_in(tmp_path, digits="zero", lowercase=True), Cues(), NoVectors())
    letters = {letter for rows in sentences_in(TRAIN) for row in rows for letter in row[0]}
    assert set(found.vocabs.chars.items[2:]) == {letter for letter in letters if not letter.isdigit()} | {"0"}
    assert {"A", "a", "0"} <= set(found.vocabs.chars.items)
    assert "ø" not in found.vocabs.chars.ids  # only in test


def test_feature_values_are_trains_and_rare_sparse_features_are_left_out(tmp_path: Path) -> None:
    features = prepare(options_in(tmp_path), Cues(), NoVectors()).vocabs.features
    assert features.columns["pos"].items[2:] == sorted({"NNP", "VBD", "IN", "CD", "DT", "NN", "CC", "PRP"})
    assert features.columns["pos"]["UH"] == UNK  # only in test
    words = [row[0] for rows in sentences_in(TRAIN) for row in rows]
    names = [name for word in words for name in (f"ends={word[-1]}", f"begins={word[0]}")]
    assert set(features.sparse.items) == {name for name in names if names.count(name) >= 2}
    assert len(features.sparse.items) < len(set(names))


@pytest.mark.parametrize("vocabulary", ["train", "corpus", "file"])
def test_no_vocabulary_ever_sees_the_tags_of_dev_and_test(tmp_path: Path, vocabulary: str) -> None:
    vectors = vectors_in(tmp_path)
    first = prepare(options_in(tmp_path, vocabulary=vocabulary), Cues(), vectors)
    other_tags = {"B-PER": "O", " O": " B-LOC", "B-LOC": "B-EVENT", "B-ORG": "B-PER"}
    texts = {}
    for name in ("dev", "test"):
        rows = [
            [[word, pos, other_tags.get(tag, "B-PER")] for word, pos, tag in rows] for rows in sentences_in(TEXTS[name])
        ]
        texts[f"{name}_text"] = "|".join(",".join(" ".join(row) for row in sentence) for sentence in rows)
    second = prepare(options_in(tmp_path, vocabulary=vocabulary, **texts), Cues(), vectors)
    assert second.splits["dev"].labels.tolist() != first.splits["dev"].labels.tolist()
    assert second.vocabs == first.vocabs
    np.testing.assert_array_equal(second.vectors, first.vectors)
    assert second.coverage == first.coverage


def test_the_words_of_dev_and_test_only_decide_which_rows_of_the_file_are_kept(tmp_path: Path) -> None:
    vectors = vectors_in(tmp_path)
    first = prepare(options_in(tmp_path), Cues(), vectors).vocabs.to_plain()
    unlike = {"dev_text": "Ωmega UH O, tide NN O", "test_text": "Żuk UH O, 777 CD O"}
    second = prepare(options_in(tmp_path, **unlike), Cues(), vectors).vocabs.to_plain()
    assert (first["words"].pop("known"), second["words"].pop("known")) == (
        ["oslo", "0000", "tide", "molde", "kvitsøy", "00"],
        ["tide"],
    )
    assert first.pop("word_classes") != second.pop("word_classes")  # for scores by class: the tagger never sees them
    assert second == first


@pytest.mark.parametrize("vocabulary", ["train", "corpus", "file"])
def test_every_word_has_its_own_row_or_the_files_or_none(tmp_path: Path, vocabulary: str) -> None:
    found = prepare(options_in(tmp_path, vocabulary=vocabulary), Cues(), vectors_in(tmp_path))
    words, vectors = found.vocabs.words, found.vectors
    assert vectors is not None
    assert vectors.shape == (len(words) + len(words.known), 3)
    assert found.vocabs.vector_dim == 3
    rows = {word: [number, number / 2, -1] for number, word in enumerate(VECTORS)}
    train_words = {row[0] for sentence in sentences_in(TRAIN) for row in sentence}
    table = found.splits["test"].table
    for spelling, number in zip(table.spellings, table.words.tolist(), strict=True):
        digits = "".join("0" if letter.isdigit() else letter for letter in spelling.lower())
        row = next((rows[form] for form in (spelling, spelling.lower(), digits) if form in rows), None)
        if spelling in train_words:
            assert words.items[number] == spelling
        elif row is None or vocabulary == "train":
            assert number == UNK
            row = None
        else:
            assert number >= len(words)
        np.testing.assert_array_equal(vectors[number], row or [np.nan] * 3)


def test_coverage_of_all_splits_is_counted_by_hand(tmp_path: Path) -> None:
    small = {
        "train_text": "Oslo NNP B-LOC, fell VBD O, fell VBD O | The DT O, 1996 CD O, Mo NNP B-PER",
        "dev_text": "oslo NNP B-LOC, the DT O, Mo NNP B-PER",
        "test_text": "THE DT O, 2026 CD O, xyz NN O",
    }
    found = prepare(options_in(tmp_path, **small), Cues(), vectors_in(tmp_path))
    assert found.coverage == {
        "tokens": {"exact": 4, "lower": 3, "lower_zero_digits": 2, "missing": 3},
        "types": {"exact": 3, "lower": 3, "lower_zero_digits": 2, "missing": 2},
    }
    assert prepare(options_in(tmp_path, **small), Cues(), NoVectors()).coverage is None


def test_a_word_is_in_train_by_its_lower_cased_spelling_and_in_the_file_as_it_is_looked_up(tmp_path: Path) -> None:
    small = {
        "train_text": "Oslo NNP B-LOC, fell VBD O, MO NNP B-PER, 1996 CD O",
        "dev_text": "OSLO NNP B-LOC, Mo NNP B-PER, 1997 CD O, 96 CD O",
        "test_text": "THE DT O, Tide NN O, xyz NN O, 123 CD O",
    }
    expected = {
        "IV": {"Oslo", "OSLO", "fell", "1996"},
        "OOTV": {"1997", "96", "THE", "Tide"},  # 1997 is not 1996, though its vector is that of 0000
        "OOEV": {"MO", "Mo"},
        "OOBV": {"xyz", "123"},
    }

    def classes(found: Prepared) -> dict[str, set[str]]:
        words = found.vocabs.word_classes
        return {name: {word for word in words if words[word] == name} for name in expected}

    for vocabulary in ("train", "corpus", "file"):
        options = options_in(tmp_path, vocabulary=vocabulary, **small)
        for _ in range(2):  # from the corpus, then from the cache
            assert classes(prepare(options, Cues(), vectors_in(tmp_path))) == expected
    for digits in ("zero", "zero_run"):  # how the tagger sees digits does not matter
        assert classes(prepare(options_in(tmp_path, digits=digits, **small), Cues(), vectors_in(tmp_path))) == expected
    exact = classes(prepare(options_in(tmp_path, **small), Cues(), vectors_in(tmp_path, lookup=("exact",))))
    assert exact["OOEV"] == {"Oslo", "OSLO", "MO", "Mo", "1996"}
    assert not prepare(options_in(tmp_path, **small), Cues(), NoVectors()).vocabs.word_classes


@pytest.mark.parametrize("cached", [False, True])
def test_too_little_coverage_is_an_error_with_the_counts_even_where_the_data_is_ready(
    tmp_path: Path, cached: bool
) -> None:
    options = options_in(tmp_path, dev_text="Mo NNP B-PER", test_text="Mo NNP B-PER")
    types = {row[0] for sentence in sentences_in(TRAIN + "|Mo") for row in sentence}
    known = {"The", "the", "Oslo", "Bergen", "1996", "1997", "31", "fog", "fell"}
    assert known < types
    if cached:
        prepare(options, Cues(), vectors_in(tmp_path))
    counts = f"only {len(known)} of {len(types)} words .*min_coverage requires 90%"
    with pytest.raises(UserError, match=counts):
        prepare(options, Cues(), vectors_in(tmp_path, min_coverage=0.9))
    prepare(options, Cues(), vectors_in(tmp_path, min_coverage=len(known) / len(types)))


def test_a_file_that_knows_no_word_of_the_corpus_is_an_error_with_the_counts(tmp_path: Path) -> None:
    vectors = vectors_in(tmp_path, min_coverage=0.01)
    vectors.path.write_text("whole,line,as,one,token 1 2 3\n", encoding="utf-8")
    types = {row[0] for text in TEXTS.values() for sentence in sentences_in(text) for row in sentence}
    with pytest.raises(UserError, match=rf"vectors\.txt: only 0 of {len(types)} words .*read as single tokens\?"):
        prepare(options_in(tmp_path), Cues(), vectors)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_types_that_train_lacks_have_one_line_a_split_and_are_never_tags_of_the_tagger(
    tmp_path: Path, split: str
) -> None:
    text = "Ann NNP B-PER | the DT O, Fjord NNP B-EVENT, Cup NNP I-EVENT, Run NNP B-EVENT, May NNP B-DATE"
    options = options_in(tmp_path, **{f"{split}_text": text})
    for _ in range(2):  # from the corpus, then from the cache
        found = prepare(options, Cues(), NoVectors())
        assert found.warnings[-1] == (
            # line 1 Ann, line 2 blank, line 3 the
            f"{split}: 2 types that train lacks: DATE, EVENT; 3 entities (the first: {tmp_path / split}.conll:4). "
            "They cannot be predicted and count as missed."
        )
        tags = found.vocabs.tags
        assert tags.entity_types == ["LOC", "ORG", "PER"]
        assert found.labels[: len(tags)] == tags.items
        assert found.labels[len(tags) :] == ["B-EVENT", "E-EVENT", "S-EVENT", "S-DATE"]
        assert found.splits[split].labels.max() >= len(tags) > found.splits["train"].labels.max()
        assert found.counts[split].per_type == {"DATE": 1, "EVENT": 2, "PER": 1}


def test_a_train_split_without_a_single_entity_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.conll: no entities, all tags are O\..*data\.columns\.tag"):
        prepare(options_in(tmp_path, train_text="fog NN O, rose VBD O"), Cues(), NoVectors())
    assert not entries(tmp_path)


def test_long_sentences_are_left_out_of_train_alone_and_that_is_said(tmp_path: Path) -> None:
    found = prepare(options_in(tmp_path, max_sentence_length=4), Cues(), NoVectors())
    assert found.warnings[-1] == f"{tmp_path / 'train.conll'}: sentences longer than 4 words are not trained on: 1."
    assert found.splits["train"].sentence_lengths.tolist() == [len(rows) for rows in sentences_in(TRAIN)][1:]
    assert found.splits["dev"].sentence_lengths.tolist() == [len(rows) for rows in sentences_in(DEV)]
    assert "left" not in found.vocabs.words.ids
    assert found.counts["train"].sentences == len(sentences_in(TRAIN))
    with pytest.raises(UserError, match=r"max_sentence_length=1 leaves no sentence of .*train\.conll"):
        prepare(options_in(tmp_path, max_sentence_length=1), Cues(), NoVectors())


def test_where_dev_is_trained_on_as_well_everything_follows_the_sentences_of_both(tmp_path: Path) -> None:
    other_type = DEV + " | the DT O, Fjord UH B-EVENT"
    options = options_in(tmp_path, train_on=["train", "dev"], dev_text=other_type)
    found = prepare(options, Cues(), vectors_in(tmp_path))
    train, dev = sentences_in(TRAIN), sentences_in(other_type)
    split = found.splits["train"]
    assert [split.words_of(number) for number in range(len(split))] == [
        [row[0] for row in rows] for rows in [*train, *dev]
    ]
    begin = split.starts[len(train)]
    for array in ("forms", "labels", "categories"):
        np.testing.assert_array_equal(getattr(split, array)[begin:], getattr(found.splits["dev"], array))
    words = [row[0] for rows in [*train, *dev] for row in rows]
    vocabs = found.vocabs
    assert vocabs.words.items[2:] == list(dict.fromkeys(words))
    assert {"Å", "2"} <= set(vocabs.chars.items)
    assert vocabs.tags.entity_types == ["EVENT", "LOC", "ORG", "PER"]
    assert "UH" in vocabs.features.columns["pos"].ids
    names = [name for word in words for name in (f"ends={word[-1]}", f"begins={word[0]}")]
    assert set(vocabs.features.sparse.items) == {name for name in names if names.count(name) >= 2}
    table = split.table
    single = {word for word, once in zip(table.spellings, table.singletons, strict=True) if once}
    assert single == {word for word in words if words.count(word) == 1}
    assert {vocabs.word_classes[row[0]] for rows in dev for row in rows} == {"IV", "OOEV"}
    assert found.labels == vocabs.tags.items
    assert not found.warnings


def test_files_and_their_counts_stay_apart_where_both_are_trained_on(tmp_path: Path) -> None:
    apart = prepare(options_in(tmp_path), Cues(), vectors_in(tmp_path))
    both = prepare(options_in(tmp_path, train_on=["train", "dev"]), Cues(), vectors_in(tmp_path))
    assert (both.counts, both.schemes, both.coverage) == (apart.counts, apart.schemes, apart.coverage)
    for name in ("dev", "test"):
        assert both.splits[name].path == apart.splits[name].path
        ours, theirs = both.splits[name], apart.splits[name]
        assert [ours.words_of(n) for n in range(len(ours))] == [theirs.words_of(n) for n in range(len(theirs))]
    held_out = prepare(options_in(tmp_path, dev=None, dev_share=0.25, train_on=["train", "dev"]), Cues(), NoVectors())
    assert len(held_out.splits["dev"]) == 3
    assert len(held_out.splits["train"]) == len(sentences_in(TRAIN))


def test_documents_of_train_and_dev_keep_numbers_of_their_own(tmp_path: Path) -> None:
    mark = "-DOCSTART- X O"
    texts = {"train_text": f"{mark} | {TRAIN} | {mark} | It PRP O, rose VBD O", "dev_text": f"{mark} | {DEV}"}
    split = prepare(options_in(tmp_path, train_on=["train", "dev"], **texts), Cues(), NoVectors()).splits["train"]
    sizes = [len(sentences_in(TRAIN)), 1, len(sentences_in(DEV))]
    assert split.documents.tolist() == [number for number, size in enumerate(sizes) for _ in range(size)]
    unmarked = prepare(options_in(tmp_path, train_on=["train", "dev"]), Cues(), NoVectors()).splits["train"]
    assert set(unmarked.documents.tolist()) == {-1}


def test_long_sentences_of_dev_are_not_trained_on_but_scored(tmp_path: Path) -> None:
    long_dev = DEV + " | the DT O, lonely JJ O, bank NN O, of IN O, Molde NNP B-LOC, rose VBD O"
    options = options_in(tmp_path, train_on=["train", "dev"], max_sentence_length=5, dev_text=long_dev)
    found = prepare(options, Cues(), NoVectors())
    assert [message.partition(": ")[0] for message in found.warnings] == [
        str(tmp_path / f"{name}.conll") for name in ("train", "dev")
    ]
    lengths = [len(rows) for rows in [*sentences_in(TRAIN), *sentences_in(long_dev)]]
    assert found.splits["train"].sentence_lengths.tolist() == [length for length in lengths if length <= 5]
    assert len(found.splits["dev"]) == len(sentences_in(long_dev))
    assert "lonely" not in found.vocabs.words.ids
    assert found.vocabs.words.find("Molde") != UNK


def test_words_that_train_has_once_are_marked_after_normalisation(tmp_path: Path) -> None:
    table = prepare(options_in(tmp_path), Cues(), NoVectors()).splits["train"].table
    words = [row[0] for rows in sentences_in(TRAIN) for row in rows]
    marked = {word for word, single in zip(table.spellings, table.singletons, strict=True) if single}
    assert marked == {word for word in words if words.count(word) == 1}
    options = options_in(tmp_path, digits="zero", lowercase=True)
    table = prepare(options, Cues(), NoVectors()).splits["train"].table
    marked = {word for word, single in zip(table.spellings, table.singletons, strict=True) if single}
    assert marked >= {"Tove", "sea", "31", "42"}  # 42 is 00 as 31 is
    assert not marked & {"The", "the", "Bank", "1996", "1997", "2026"}


def test_counts_schemes_and_paths_are_those_of_the_files(tmp_path: Path) -> None:
    found = prepare(options_in(tmp_path), Cues(), NoVectors())
    assert found.counts["dev"] == Counts(0, 4, 13, 5, {"LOC": 3, "ORG": 1, "PER": 1})
    for name, text in TEXTS.items():
        rows = sentences_in(text)
        assert found.counts[name].sentences == len(rows) == len(found.splits[name])
        assert found.counts[name].tokens == sum(map(len, rows)) == len(found.splits[name].labels)
        opened = [row[2][2:] for sentence in rows for row in sentence if row[2].startswith("B-")]
        assert found.counts[name].per_type == {kind: opened.count(kind) for kind in sorted(set(opened))}
        assert found.schemes[name] == "IOB2"
        assert found.splits[name].path == str(tmp_path / f"{name}.conll")


def test_without_a_dev_split_a_share_of_train_is_held_out_and_its_words_are_not_trains(tmp_path: Path) -> None:
    found = prepare(options_in(tmp_path, dev=None, dev_share=0.25), Cues(), NoVectors())
    train, dev = (
        [split.words_of(n) for n in range(len(split))] for split in (found.splits["train"], found.splits["dev"])
    )
    whole = [[row[0] for row in rows] for rows in sentences_in(TRAIN)]
    assert len(dev) == 3
    assert sorted(train + dev) == sorted(whole)
    assert set(found.vocabs.words.items[2:]) == {word for sentence in train for word in sentence}


def test_further_sentences_are_encoded_as_the_splits_were(tmp_path: Path) -> None:
    options = options_in(tmp_path, digits="zero", unknown_chars="skip", max_word_length=5)
    found = prepare(options, Cues(), vectors_in(tmp_path))
    rows = sentences_in(TEST)
    sentences = [
        Sentence([row[0] for row in part], [row[2] for row in part], {"pos": [row[1] for row in part]}) for part in rows
    ]
    split, labels = encode(sentences, found.vocabs, options, Cues())
    expected = found.splits["test"]
    assert labels == found.labels
    np.testing.assert_array_equal(split.labels, expected.labels)
    np.testing.assert_array_equal(split.categories, expected.categories)
    np.testing.assert_array_equal(split.sparse, expected.sparse)
    np.testing.assert_array_equal(split.sparse_starts, expected.sparse_starts)
    for array in ("words", "lengths"):
        ours, theirs = getattr(split.table, array), getattr(expected.table, array)
        np.testing.assert_array_equal(ours[split.forms], theirs[expected.forms])
    width = split.table.chars.shape[1]
    np.testing.assert_array_equal(split.table.chars[split.forms], expected.table.chars[expected.forms][:, :width])


def test_an_entry_of_the_cache_holds_plain_data_alone(tmp_path: Path) -> None:
    prepare(options_in(tmp_path), Cues(), vectors_in(tmp_path))
    (entry,) = entries(tmp_path)
    files = {path.name for path in (tmp_path / "cache" / "prepared" / entry).iterdir()}
    assert {"meta.json", "sums.json", "vectors.npy", "train.labels.npy", "table.words.npy"} < files
    assert {Path(name).suffix for name in files} == {".json", ".npy"}
    meta = json.loads((tmp_path / "cache" / "prepared" / entry / "meta.json").read_text(encoding="utf-8"))
    assert meta["spellings"][:2] == ["Ann", "Holm"]
