"""The embedder: parts joined in order, each token with the letters of its own spelling."""

import torch
from torch import Tensor, nn

from ner_lab.data.batching.batch import Batch
from ner_lab.models.char_encoder.bilstm import CharBiLSTM
from ner_lab.models.char_encoder.none import NoChars
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


def test_a_tokens_vector_is_its_word_its_letters_and_its_features() -> None:
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


def test_parts_without_dimensions_leave_the_others_alone() -> None:
    nothing, letters = NoWords().layer(num_words=4, num_known=0, vector_dim=0), char_encoder()
    only_letters = Embedder(nothing, letters, empty_features())
    assert only_letters.output_dim == 4
    assert torch.equal(only_letters(batch())[0, 0], letters(batch().chars, batch().char_lengths)[0])
    silent = Embedder(nothing, NoChars(chars=CHARS), empty_features())
    assert silent.output_dim == 0
    assert silent(batch()).shape == (2, 3, 0)


def empty_features() -> FeatureLayers:
    return FeatureLayers({}, {})
