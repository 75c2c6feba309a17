"""Columns of the corpus as categories: orthogonal codes, learnt vectors, columns that are not there."""

import torch

from ner_lab.data.batching.batch import Batch
from ner_lab.data.sentence import Sentence
from ner_lab.data.vocab import FeatureVocab, Vocab
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


def test_orthogonal_codes_have_one_dimension_for_each_value() -> None:
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


def test_learnt_vectors_have_the_given_size_for_every_column() -> None:
    torch.manual_seed(0)
    both = layers(6)
    assert both.output_dim == 12
    assert Columns(names=["pos", "chunk"], dim=6).dims() == {"pos": 6, "chunk": 6}
    vectors = both(batch_of([[[2, 3]]]))[0, 0]
    assert torch.equal(vectors, torch.cat([both.tables[0].weight[2], both.tables[1].weight[3]]))


def test_values_are_those_of_the_file_and_an_absent_column_has_one_value() -> None:
    of = Sentence(["It", "fell"], ["O", "O"], {"pos": ["PRP", "VBD"], "lemma": ["it", "fall"]})
    assert Columns(names=["pos"], dim=None).dense(of) == [["PRP", "VBD"]]
    assert Columns(names=["lemma", "pos"], dim=None).dense(of) == [["it", "fall"], ["PRP", "VBD"]]
    assert Columns(names=["chunk", "pos"], dim=None).dense(of) == [["_", "_"], ["PRP", "VBD"]]
    assert Columns(names=["chunk"], dim=None).sparse(of) == []


def test_columns_are_read_and_named() -> None:
    features = Columns(names=["pos", "chunk"], dim=None)
    assert features.columns == features.reads == ("pos", "chunk")
