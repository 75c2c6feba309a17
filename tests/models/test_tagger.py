"""The tagger: its embedder joins the parts in order, and its parameters are counted part by part."""

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import Batch
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.models.build import build_tagger, feature_set_of, word_embedding_of
from ner_lab.models.char_encoder.bilstm import CharBiLSTM
from ner_lab.models.features.base import FeatureLayers
from ner_lab.models.tagger import Embedder
from ner_lab.models.word_embedding.base import WordTable
from ner_lab.models.word_embedding.none import NoWords

CHARS = ["<pad>", "<unk>", "a", "b", "c"]


def batch() -> Batch:
    """Two sentences, `ab c ab` and `c`; one dense column."""
    none = torch.zeros(0, dtype=torch.long)
    return Batch(
        words=torch.tensor([[2, 3, 2], [3, 0, 0]]),
        chars=torch.tensor([[2, 3], [4, 0]]),
        char_lengths=torch.tensor([2, 1]),
        forms=torch.tensor([[0, 1, 0], [1, 1, 1]]),
        categories=torch.tensor([[[1], [2], [2]], [[1], [0], [0]]]),
        sparse=none,
        sparse_offsets=none,
        tags=torch.zeros(2, 3, dtype=torch.long),
        mask=torch.tensor([[True, True, True], [True, False, False]]),
        lengths=torch.tensor([3, 1]),
        sentences=torch.tensor([0, 1]),
    )


def char_encoder() -> CharBiLSTM:
    return CharBiLSTM(
        chars=CHARS,
        char_dim=3,
        hidden_dim=2,
        dropout=0.0,
        cell="stock",
        clip_gradient=None,
        forget_bias=0.0,
        learn_initial=False,
    )


def test_a_tokens_vector_concatenates_word_characters_and_features() -> None:
    words, chars = WordTable(4, 0, 5), char_encoder()
    features = FeatureLayers({"caps": 3}, {"caps": 2})
    embedder = Embedder(words, chars, features)
    assert embedder.output_dim == 5 + 4 + 2
    vectors = embedder(batch())
    assert vectors.shape == (2, 3, 11)
    spelt = {
        2: chars(torch.tensor([[2, 3]]), torch.tensor([2]))[0],
        3: chars(torch.tensor([[4]]), torch.tensor([1]))[0],
    }
    for row, column in batch().mask.nonzero().tolist():
        word, category = int(batch().words[row, column]), int(batch().categories[row, column, 0])
        expected = torch.cat([words.table[word], spelt[word], features.tables[0].weight[category]])
        torch.testing.assert_close(vectors[row, column], expected)


def test_every_spelling_of_a_batch_is_encoded_once() -> None:
    seen = []

    class Counting(nn.Module):
        output_dim = 1

        def forward(self, chars: Tensor, lengths: Tensor) -> Tensor:
            seen.append(len(chars))
            return lengths[:, None].float()

    vectors = Embedder(NoWords().layer(num_words=4, num_known=0, vector_dim=0), Counting(), empty_features())(batch())
    assert seen == [2]
    assert vectors[0, :, 0].tolist() == [2.0, 1.0, 2.0]


def empty_features() -> FeatureLayers:
    return FeatureLayers({}, {})


@pytest.fixture(scope="module")
def cfg(corpus: Path) -> DictConfig:
    return compose_config(["data=files", f"data.train={corpus / 'train.conll'}", "word_embedding.dim=10"])


@pytest.fixture(scope="module")
def prepared(cfg: DictConfig) -> Prepared:
    return prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))


def test_parameters_are_counted_part_by_part_and_none_is_left_out(cfg: DictConfig, prepared: Prepared) -> None:
    tagger = build_tagger(cfg, prepared.vocabs)
    counts = tagger.parameter_counts()
    assert sum(total for _, total in counts.values()) == sum(part.numel() for part in tagger.parameters())
    assert counts["word embedding"] == (10 * len(prepared.vocabs.words),) * 2
    assert counts["features"] == (5 * len(prepared.vocabs.features.columns["caps"]),) * 2


def test_frozen_weights_count_as_not_trained(cfg: DictConfig, prepared: Prepared) -> None:
    tagger = build_tagger(cfg, prepared.vocabs)
    tagger.encoder.requires_grad_(False)
    trained, total = tagger.parameter_counts()["encoder"]
    assert trained == 0
    assert total == sum(part.numel() for part in tagger.encoder.parameters()) > 0
