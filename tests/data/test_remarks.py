"""What is doubtful about a corpus: a line for each kind, none for a sound corpus."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ner_lab.config.compose import compose_config
from ner_lab.data.corpora import locate, read_corpus
from ner_lab.data.options import DataOptions
from ner_lab.data.readers.conll import ColumnFormat, read_split
from ner_lab.data.remarks import improper_gold, remarks_on, unseen_types
from ner_lab.data.sentence import Split

DOUBTFUL = (
    "Anna I-PER\nHolm I-PER\nran O\n\nBo B-PER\nCy I-LOC\nsat O\n\nDi B-Per\nran O\n\nEl B-per\nFy I-per\nran O\n"
)


def split(folder: Path, text: str, name: str = "train") -> Split:
    path = folder / f"{name}.conll"
    path.write_text(text, encoding="utf-8")
    return read_split(name, path, ColumnFormat())


def sentence(length: int, tag: str = "O", word: str = "w") -> str:
    return "".join(f"{word}{number} {tag}\n" for number in range(length)) + "\n"


def many(entities: int, word: str = "w") -> str:
    """A dev large enough to raise no doubt."""
    return "".join(sentence(2, "B-PER", f"{word}{number}") for number in range(entities // 2))


def remarks(*splits: Split, **given: bool) -> list[str]:
    return remarks_on({split.name: split for split in splits}, DataOptions(name="files"), **given)


def test_gold_that_breaks_its_scheme_is_counted_with_the_first_line_of_each_kind(tmp_path: Path) -> None:
    train = split(tmp_path, DOUBTFUL)
    found = improper_gold(train)
    assert found is not None
    assert found.sentences == 2
    kinds = {"I- that opens an entity": f"{train.path}:1", "I- of another type after B-": f"{train.path}:6"}
    assert found.first == kinds
    first, second = remarks(train)
    assert first.startswith("train: gold tags break IOB2 in 2 of 4 sentences: I- that opens an entity")
    assert second == "entity types that differ only in case are different types: PER/Per/per."


@pytest.mark.parametrize(
    ("tags", "kinds"),
    [
        ("I-PER B-PER O|I-PER I-LOC|O I-LOC", {}),
        ("I-PER O|I-PER I-LOC|O B-LOC", {"B- where I- opens an entity": 8}),
        ("B-PER E-PER|S-LOC O|S-PER O|O E-PER", {"E- that opens an entity": 11}),
        ("B-PER E-PER|S-LOC O|S-PER O|O B-PER", {"B- that ends an entity": 11}),
        ("B-PER L-PER|U-LOC O|U-PER O|B-PER L-LOC", {"L- of another type after B-": 11}),
    ],
)
def test_each_scheme_has_breaks_of_its_own(tmp_path: Path, tags: str, kinds: dict[str, int]) -> None:
    text = "\n\n".join("\n".join(f"w {tag}" for tag in row.split()) for row in tags.split("|"))
    train = split(tmp_path, text)
    found = improper_gold(train)
    first = {} if found is None else found.first
    assert first == {kind: f"{train.path}:{line}" for kind, line in kinds.items()}


@pytest.mark.parametrize(
    ("text", "dev", "says"),
    [
        ("", many(100, "x"), []),
        (sentence(18_000), many(100, "x"), ["train: 51 sentences of 355 words in the mean. Are blank lines between"]),
        ("", many(98, "x"), ["dev: 98 entities, below 100: dev F1"]),
        ("", "x O\n", []),  # a dev without any entity is more than a doubt, and reported elsewhere
        (sentence(5), many(100, "x") + sentence(5) + sentence(5), ["2 of dev's 2 are in train (100.0 %)"]),
        (sentence(5), many(100, "x") + "".join(sentence(5, word=f"y{n}") for n in range(200)) + sentence(5), []),
        (sentence(4), many(100, "x") + sentence(4), []),
    ],
    ids=["sound", "long", "small dev", "no entity in dev", "shared", "shared by few", "shared, but short"],
)
def test_a_doubt_is_one_line_and_a_sound_corpus_has_none(
    tmp_path: Path, text: str, dev: str, says: Sequence[str]
) -> None:
    found = remarks(split(tmp_path, many(100) + text), split(tmp_path, dev, "dev"))
    assert len(found) == len(says)
    assert all(part in line for part, line in zip(says, found, strict=True))


def test_a_corpus_of_one_sentence_is_named_as_such(tmp_path: Path) -> None:
    (line,) = remarks(split(tmp_path, sentence(18_074)))
    assert line.startswith("train: one sentence of 18,074 words. Are blank lines between sentences missing")


def test_a_dev_that_is_held_out_of_train_is_said_with_its_share_and_seed(tmp_path: Path) -> None:
    path = split(tmp_path, many(2000)).path
    options = DataOptions(name="files", train=path, dev_seed=3)
    (line,) = remarks_on(read_corpus(options, locate(options)), options)
    assert line.startswith("dev: held out from train, 0.1 of it (100 sentences, data.dev_seed=3).")


def test_vectors_learnt_from_little_text_are_a_doubt(tmp_path: Path) -> None:
    train = split(tmp_path, many(100))
    assert remarks(train) == []
    (line,) = remarks(train, from_scratch=True)
    assert line.startswith("train: 100 words, and word vectors are learnt from them alone.")


def test_all_types_that_train_lacks_are_one_line_a_split(tmp_path: Path) -> None:
    text = "".join(f"w B-T{number:03}\n\n" for number in range(300))
    splits = {"train": split(tmp_path, "w B-T000\n"), "dev": split(tmp_path, text + text, "dev")}
    (line,) = unseen_types(splits)
    assert line.startswith("dev: 299 types that train lacks: T001, T002, ")
    assert f"and 279 more; 598 entities (the first: {tmp_path}/dev.conll:3)." in line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("form", "columns", "expected"),
    [
        ("markup", {"word": 1, "tag": 3}, ["data.columns={'word': 1, 'tag': 3} does not apply to news"]),
        ("markup", {"word": 0, "pos": 1, "chunk": 2, "tag": 3}, []),
        ("markup", {"word": 0, "tag": -1}, []),
        ("columns", {"word": 1, "tag": 3}, []),
    ],
)
def test_columns_set_for_a_corpus_in_markup_give_one_line(
    form: str, columns: dict[str, int], expected: list[str]
) -> None:
    lines = remarks_on({}, DataOptions(name="news", format=form, columns=columns))
    assert [line.partition(", which")[0] for line in lines] == expected


def test_the_built_in_corpus_as_configured_gives_no_line_on_columns() -> None:
    for name in ("builtin", "files"):
        columns = dict(compose_config([f"data={name}"]).data.columns)
        assert remarks_on({}, DataOptions(name=name, format="markup", columns=columns)) == []
