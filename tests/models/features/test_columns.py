"""Columns of the corpus as categories: orthogonal codes, learnt vectors, columns that are not there."""

import pytest
import torch
from sample import DEV, TEST, TRAIN, marked, write_corpus

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import Batch, eval_batches
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.data.sentence import Sentence
from ner_lab.data.vocab import FeatureVocab, Vocab
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.models.features.base import FeatureLayers
from ner_lab.models.features.columns import Columns

POS = Vocab.of(["DT", "NN", "VB"])
CHUNK = Vocab.of(["B-NP", "O"])


def layers(dim: int | None) -> FeatureLayers:
    return Columns(names=["pos", "chunk"], dim=dim).layers(FeatureVocab({"pos": POS, "chunk": CHUNK}), ["O"])


def batch_of(categories: list[list[list[int]]]) -> Batch:
    """A batch of which only the dense features matter: categories (batch, time, columns)."""
    numbers = torch.tensor(categories)
    mask = numbers.any(dim=2)
    nothing = torch.zeros(0, dtype=torch.long)
    words = mask.long()
    return Batch(words, nothing, nothing, words, numbers, nothing, nothing, words, mask, mask.sum(dim=1), nothing)


def test_orthogonal_codes_have_a_dimension_of_their_own_for_each_value() -> None:
    codes = layers(None)
    pos, chunk = len(POS) - 1, len(CHUNK) - 1  # padding has none, a value that train lacks has one
    assert codes.output_dim == pos + chunk
    table = codes.tables[0].weight[1:]
    assert torch.equal(table @ table.T, torch.eye(pos))
    vectors = codes(batch_of([[[2, 3], [4, 1], [1, 2]]]))[0]
    assert vectors.tolist() == [
        [0, 1, 0, 0] + [0, 0, 1],
        [0, 0, 0, 1] + [1, 0, 0],
        [1, 0, 0, 0] + [0, 1, 0],
    ]


def test_orthogonal_codes_are_not_trained_and_learnt_vectors_are() -> None:
    assert not [part for part in layers(None).parameters() if part.requires_grad]
    assert [tuple(part.shape) for part in layers(4).parameters() if part.requires_grad] == [(5, 4), (4, 4)]


def test_learnt_vectors_have_the_stated_size_for_every_column() -> None:
    torch.manual_seed(0)
    both = layers(6)
    assert both.output_dim == 12
    assert Columns(names=["pos", "chunk"], dim=6).dims() == {"pos": 6, "chunk": 6}
    vectors = both(batch_of([[[2, 3]]]))[0, 0]
    assert torch.equal(vectors, torch.cat([both.tables[0].weight[2], both.tables[1].weight[3]]))


def test_values_stand_as_in_the_file_and_an_absent_column_has_one_value() -> None:
    of = Sentence(["It", "fell"], ["O", "O"], {"pos": ["PRP", "VBD"], "lemma": ["it", "fall"]})
    assert Columns(names=["pos"], dim=None).dense(of) == [["PRP", "VBD"]]
    assert Columns(names=["lemma", "pos"], dim=None).dense(of) == [["it", "fall"], ["PRP", "VBD"]]
    assert Columns(names=["chunk", "pos"], dim=None).dense(of) == [["_", "_"], ["PRP", "VBD"]]
    assert Columns(names=["chunk"], dim=None).sparse(of) == []


def test_columns_are_read_and_named() -> None:
    features = Columns(names=["pos", "chunk"], dim=None)
    assert features.columns == features.reads == ("pos", "chunk")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The small corpus with a column for parts of speech, all of one value in the file."""
    folder = tmp_path_factory.mktemp("columns")
    overrides = ["data=files", "+data.columns.pos=1", "features=columns"]
    for name, text in (("train", TRAIN), ("dev", DEV), ("test", TEST)):
        path = write_corpus(folder / f"{name}.conll", marked(text), columns=("word", "pos", "tag"))
        if name == "dev":
            path.write_text(path.read_text(encoding="utf-8").replace(" X ", " Y "), encoding="utf-8")
        overrides.append(f"data.{name}={path}")
    cfg = compose_config(overrides)
    return prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))


def test_a_prepared_corpus_has_the_columns_numbered_and_unseen_values_unknown(prepared: Prepared) -> None:
    assert {name: vocab.items[2:] for name, vocab in prepared.vocabs.features.columns.items()} == {
        "pos": ["X"],
        "chunk": ["_"],
    }
    features = Columns(names=["pos", "chunk"], dim=None).layers(prepared.vocabs.features, ["O"])
    codes = {name: features(next(eval_batches(prepared.splits[name], 200)))[0, 0].tolist() for name in ("train", "dev")}
    assert codes == {"train": [0, 1, 0, 1], "dev": [1, 0, 0, 1]}
