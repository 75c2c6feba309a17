"""Words filled up with word-end symbols: what is laid out cheaply against filling in full."""

from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ner_lab.models.char_encoder.cnn import CharCNN

LETTERS = "abcdeABCDE"
CHARS = ["<pad>", "<unk>", *LETTERS]


def filled_cnn(fill_to: int | None = 12, **options: Any) -> CharCNN:
    torch.manual_seed(0)
    common = {"char_dim": 5, "num_filters": 6, "window": 3, "padding": 2, "dropout": 0.0, "activation": "tanh"}
    return CharCNN(**{"chars": CHARS, "fill_to": fill_to} | common | options)


def encoded(*words: str) -> tuple[Tensor, Tensor]:
    """-> chars (forms, letters), lengths (forms,)."""
    ids = [torch.tensor([CHARS.index(letter) for letter in word]) for word in words]
    return nn.utils.rnn.pad_sequence(ids, batch_first=True), torch.tensor([len(word) for word in words])


def in_full(encoder: CharCNN, word: str, fill_to: int) -> Tensor:
    """The word, all its word-end symbols, torch's convolution, the maximum over the whole length."""
    symbols = [CHARS.index(letter) for letter in word] + [len(CHARS)] * (fill_to - len(word))
    letters = encoder.embedding.weight[symbols]
    weight = encoder.convolution.weight.view(6, encoder.window, 5).transpose(1, 2)
    filtered = F.conv1d(letters.T[None], weight, encoder.convolution.bias, padding=encoder.padding)[0]
    return filtered.tanh().amax(dim=1)


@given(
    words=st.lists(st.text(LETTERS, min_size=1, max_size=9), min_size=1, max_size=4),
    fill_to=st.integers(1, 20),
    shape=st.sampled_from([(1, 0), (2, 1), (3, 1), (3, 2), (4, 3), (5, 2), (5, 4)]),
)
@settings(max_examples=30, deadline=None)
def test_a_few_symbols_give_what_filling_in_full_gives(words: list[str], fill_to: int, shape: tuple[int, int]) -> None:
    encoder = filled_cnn(fill_to, window=shape[0], padding=shape[1])
    nn.init.normal_(encoder.convolution.bias)
    vectors = encoder(*encoded(*words))
    wanted = [encoder.embedding.weight, encoder.convolution.weight]
    expected = torch.stack([in_full(encoder, word, fill_to) for word in words])
    torch.testing.assert_close(vectors, expected)
    for found, oracle in zip(
        torch.autograd.grad(vectors.sin().sum(), wanted), torch.autograd.grad(expected.sin().sum(), wanted), strict=True
    ):
        torch.testing.assert_close(found[1:], oracle[1:])


def test_without_dropout_no_more_symbols_are_laid_out_than_a_window_holds() -> None:
    encoder = filled_cnn(45)
    read: list[Tensor] = []
    encoder.dropout.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    encoder(*encoded("abcd", "e"))
    assert read[0].shape[0] == 2 + (4 + 3 + 2) + (1 + 3 + 2)  # padding of 2 before, between and behind


def test_in_training_every_symbol_of_the_full_length_is_dropped_by_itself() -> None:
    encoder = filled_cnn(45, dropout=0.5)
    read: list[Tensor] = []
    encoder.dropout.register_forward_hook(lambda _, given, taken: read.append(taken))
    encoder(*encoded("abcd", "e"))
    assert len(read[0]) == 2 + 2 * (45 + 2)
    letters = torch.stack([read[0][2:47], read[0][49:94]])
    assert len(letters[0, 4:].unique(dim=0)) > 8  # masks of five elements: 32 kinds
    assert letters[:, 4:].count_nonzero(dim=2).sum() > 0
    encoder.eval()
    plain = filled_cnn(45)
    plain.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder(*encoded("abcd", "e")), plain(*encoded("abcd", "e")))


def test_a_word_as_long_as_the_filling_or_longer_stays_as_it_is() -> None:
    encoder = filled_cnn(4)
    unfilled = filled_cnn(None)
    state = encoder.state_dict()
    unfilled.load_state_dict(state | {"embedding.weight": state["embedding.weight"][:-1]})
    words = encoded("abcd", "abcdeA")
    torch.testing.assert_close(encoder(*words), unfilled(*words))
    assert not torch.allclose(encoder(*encoded("abc")), unfilled(*encoded("abc")))


def test_the_word_end_symbol_is_learnt_and_padding_is_not() -> None:
    encoder = filled_cnn()
    assert len(encoder.embedding.weight) == len(CHARS) + 1
    encoder(*encoded("abc", "A")).sum().backward()
    assert encoder.embedding.weight.grad[-1].any()
    assert not encoder.embedding.weight.grad[0].any()
    assert not encoder.embedding.weight[0].any()
