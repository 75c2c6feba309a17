"""The start-up summary: the numbers in its tables are the corpus's, the vocabularies' and the tagger's."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.data.sentence import Counts
from ner_lab.data.vector_lookup import MISSING
from ner_lab.data.vocab import FeatureVocab, Vocab, WordVocab
from ner_lab.models.features.caps import Caps
from ner_lab.models.features.none import NoFeatures
from ner_lab.models.word_embedding.none import NoWords
from ner_lab.training.summary import counts_table, coverage_table, data_summary, parameter_table

OPTIONS = {
    "name": "builtin",
    "format": "markup",
    "columns": {"word": 0, "pos": 1, "chunk": 2, "tag": 3},
    "local": {"train": ["train.txt"], "dev": ["dev.txt"], "test": ["test.txt"]},
}
COVERAGE = {
    "tokens": {"exact": 6000, "lower": 1500, "lower_zero_digits": 0, MISSING: 2500},
    "types": {"exact": 3, "lower": 2, "lower_zero_digits": 0, MISSING: 3},
}


def cells(text: str) -> list[list[str]]:
    """Rows of a table, without the rule below the header."""
    lines = text.splitlines()
    assert set(lines[1]) == {"-", " "}
    return [re.split(r"  +", line.strip()) for line in [lines[0], *lines[2:]]]


def test_the_table_of_counts_has_a_row_for_each_split_and_a_column_for_each_type() -> None:
    counts = {
        "train": Counts(946, 14_041, 203_621, 23_499, {"LOC": 7140, "PER": 6600}),
        "test": Counts(0, 2, 30, 5, {"EVENT": 1, "LOC": 4}),
    }
    assert cells(counts_table(counts, {"train": "IOB1", "test": "IOB2"}, {"train": 113, "test": 20})) == [
        ["split", "documents", "sentences", "tokens", "entities", "EVENT", "LOC", "PER", "written in", "longest"],
        ["train", "946", "14,041", "203,621", "23,499", "0", "7,140", "6,600", "IOB1", "113"],
        ["test", "-", "2", "30", "5", "1", "4", "0", "IOB2", "20"],
    ]


def test_many_types_are_rows_of_a_table_of_their_own() -> None:
    types = {f"T{number:02}": number for number in range(40)}
    counts = {"train": Counts(0, 9, 900, 780, types), "dev": Counts(0, 2, 30, 5, {"T01": 5})}
    first, second = counts_table(counts, dict.fromkeys(counts, "IOB2"), dict.fromkeys(counts, 9)).split("\n\n")
    assert cells(first)[0] == ["split", "documents", "sentences", "tokens", "entities", "written in", "longest"]
    assert cells(second)[:3] == [["entities", "train", "dev"], ["T00", "0", "0"], ["T01", "1", "5"]]
    assert len(cells(second)) == 41


def test_the_table_of_coverage_has_shares_of_tokens_and_of_types() -> None:
    assert cells(coverage_table(COVERAGE)) == [
        ["word vectors", "tokens", "%", "types", "%"],
        ["found as it is", "6,000", "60.00", "3", "37.50"],
        ["found lower-cased", "1,500", "15.00", "2", "25.00"],
        ["found lower-cased, each digit 0", "0", "0.00", "0", "0.00"],
        ["not found", "2,500", "25.00", "3", "37.50"],
    ]


def test_the_table_of_parameters_ends_in_the_sums() -> None:
    counts = {"word embedding": (0, 12_000), "encoder": (3400, 3400), "decoder": (56, 56)}
    tagger = SimpleNamespace(parameter_counts=lambda: counts)
    assert cells(parameter_table(tagger)) == [  # type: ignore[arg-type]
        ["parameters", "trained", "in all"],
        ["word embedding", "0", "12,000"],
        ["encoder", "3,400", "3,400"],
        ["decoder", "56", "56"],
        ["all", "3,456", "15,456"],
    ]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    options = DataOptions(**OPTIONS, cache_dir=str(tmp_path_factory.mktemp("cache")))  # type: ignore[arg-type]
    return prepare(options, Caps(dim=5), NoWords())


def test_the_summary_states_corpus_and_sizes_of_vocabularies(prepared: Prepared) -> None:
    text = data_summary(prepared)
    table, sizes = text.split("\n\n")
    longest = {name: int(split.sentence_lengths.max()) for name, split in prepared.splits.items()}
    assert table == counts_table(prepared.counts, prepared.schemes, longest)
    vocabs = prepared.vocabs
    assert sizes.strip() == (
        f"vocabulary: {len(vocabs.words):,} words trained on, {len(vocabs.chars)} characters, "
        "17 tags (IOBES), dense features: caps 7"
    )


def test_the_summary_states_words_of_the_file_sparse_features_and_coverage_where_there_are_any(
    prepared: Prepared, tmp_path: Path
) -> None:
    words = WordVocab(prepared.vocabs.words.items, [f"w{number}" for number in range(1234)])
    sparse = FeatureVocab({}, Vocab([f"f{number}" for number in range(4321)]))
    vocabs = replace(prepared.vocabs, words=words, features=sparse)
    _, sizes, coverage = data_summary(replace(prepared, vocabs=vocabs, coverage=COVERAGE)).split("\n\n")
    assert f"{len(words):,} words trained on and 1,234 known from the file of vectors, " in sizes
    assert sizes.endswith("4,321 sparse features")
    assert coverage == coverage_table(COVERAGE)


def test_the_summary_of_a_set_without_features_says_nothing_of_features(tmp_path: Path) -> None:
    options = DataOptions(**OPTIONS, cache_dir=str(tmp_path))  # type: ignore[arg-type]
    assert "features" not in data_summary(prepare(options, NoFeatures(), NoWords()))
