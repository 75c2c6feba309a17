"""Features: classes of capitals, and a toy set of dense and sparse ones from sentences to scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.batching.batch import Batch, BatchMaker
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import encode
from ner_lab.data.sentence import Sentence
from ner_lab.data.vocab import FeatureVocab, TagVocab, Vocab, Vocabs, WordVocab
from ner_lab.models.features.base import FeatureLayers, FeatureSet
from ner_lab.models.features.caps import Caps, caps
from ner_lab.models.features.none import NoFeatures

SENTENCES = [
    Sentence(["Anna", "Berg", "saw", "3", "cranes"], ["B-PER", "I-PER", "O", "O", "O"]),
    Sentence(["rain"], ["O"]),
    Sentence(["NATO", "met", "Anna"], ["O", "O", "B-PER"]),
]
TAGS = TagVocab.of(["PER"], "IOB2")


class Toy(FeatureSet):
    """A column of word lengths; sparse features for the first letter, the last two, and a digit."""

    columns = ("length", "caps")

    def dense(self, sentence: Sentence) -> list[list[str]]:
        return [[str(len(word)) for word in sentence.words], [caps(word) for word in sentence.words]]

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        return [[f"first={word[0]}", f"last={word[-2:]}"] if word.isalpha() else [] for word in sentence.words]

    def dims(self) -> dict[str, int]:
        return {"length": 3, "caps": 2}


LENGTHS = Vocab.of(["1", "3", "4", "6"])
CAPS = Vocab.of(["allCaps", "lowercase", "noinfo", "upperInitial"])
SPARSE = Vocab(["first=A", "last=na", "last=rg", "first=s", "last=et"])  # not all that `Toy` finds


def vocabs(features: FeatureVocab) -> Vocabs:
    words = WordVocab.of(sorted({word for sentence in SENTENCES for word in sentence.words}))
    return Vocabs(words=words, chars=Vocab.of("abc"), tags=TAGS, features=features)


def batch_of(features: FeatureSet, vocab: FeatureVocab, *sentences: int) -> Batch:
    split, _ = encode(SENTENCES, vocabs(vocab), DataOptions(name="toy"), features)
    tokens = sum(len(SENTENCES[number].words) for number in sentences)
    return BatchMaker(split)[np.array(sentences), len(sentences), tokens, True]


def toy(*sentences: int) -> tuple[Batch, FeatureLayers]:
    """A batch of these sentences with toy features, and layers with random weights."""
    vocab = FeatureVocab({"length": LENGTHS, "caps": CAPS}, SPARSE)
    layers = Toy().layers(vocab, TAGS.items)
    torch.manual_seed(0)
    torch.nn.init.normal_(layers.scores.weight)
    return batch_of(Toy(), vocab, *sentences), layers


def test_a_batch_without_any_active_feature_scores_zero_everywhere() -> None:
    batch, layers = toy(1)
    assert len(batch.sparse) == 0
    assert torch.equal(layers.direct(batch), torch.zeros(1, 1, len(TAGS)))


def test_training_moves_the_scores_of_active_features_alone() -> None:
    batch, layers = toy(2)
    layers.direct(batch)[:, :, 1].sum().backward()
    active = [SPARSE.ids[name] for name in ("first=A", "last=na", "last=et")]
    expected = torch.zeros(len(SPARSE), len(TAGS))
    expected[active, 1] = 1.0
    assert torch.equal(layers.scores.weight.grad.to_dense(), expected)


def test_dense_vectors_are_looked_up_column_by_column() -> None:
    batch, layers = toy(0, 1)
    vectors = layers(batch)
    assert vectors.shape == (2, 5, layers.output_dim) == (2, 5, 5)
    lengths, capitals = layers.tables
    for column, word in enumerate(SENTENCES[0].words):
        expected = torch.cat([lengths.weight[LENGTHS[str(len(word))]], capitals.weight[CAPS[caps(word)]]])
        assert torch.equal(vectors[0, column], expected)
    assert not vectors[1, 1:].any()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *[("NATO", "allCaps"), ("U.S.", "allCaps"), ("F-16S", "allCaps"), ("ŽÁK", "allCaps")],
        *[("Anna", "upperInitial"), ("A", "upperInitial"), ("I.", "upperInitial"), ("Élan", "upperInitial")],
        *[("rain", "lowercase"), ("e-mail", "lowercase"), ("1st", "lowercase"), ("中国", "lowercase")],
        *[("McNeil", "mixedCaps"), ("iPhone", "mixedCaps"), ("3D", "mixedCaps"), ("AC/dc", "mixedCaps")],
        *[("1996", "noinfo"), (".", "noinfo"), ("10-2", "noinfo"), ("--", "noinfo")],
    ],
)
def test_caps_has_the_five_classes_of_the_paper(word: str, expected: str) -> None:
    assert caps(word) == expected


@given(st.text("abéXYŽ中.3-", min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_capitals_alone_decide_the_class(word: str) -> None:
    letters = [letter for letter in word if letter in "abéXYŽ中"]
    assert (caps(word) == "noinfo") == (not letters)
    assert (caps(word) == "lowercase") == (bool(letters) and word == word.lower())
    assert caps(word.lower()) in ("lowercase", "noinfo")
    if len(letters) > 1 and "中" not in word:
        assert caps(word.upper()) == "allCaps"


def test_fingerprints_differ_between_sets_and_settings() -> None:
    prints = [features.fingerprint() for features in (Caps(dim=3), Caps(dim=4), Toy(), NoFeatures())]
    assert all(one != other for place, one in enumerate(prints) for other in prints[:place])
    assert Caps(dim=3).fingerprint() == prints[0]
