"""Character encoders against torch's own layers, word by word."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ner_lab.errors import UserError
from ner_lab.models.char_encoder.bilstm import CharBiLSTM
from ner_lab.models.char_encoder.cnn import CharCNN
from ner_lab.models.char_encoder.cnn_chiu import CHAR_TYPES, ChiuCharCNN, char_type

LETTERS = "abcdeABCDE0123.-"
CHARS = ["<pad>", "<unk>", *LETTERS]


def cnn(**options: Any) -> CharCNN:
    torch.manual_seed(0)
    common = {"char_dim": 5, "num_filters": 6, "window": 3, "padding": 2, "dropout": 0.0, "activation": "tanh"}
    return CharCNN(**{"chars": CHARS} | common | options)


def chiu(**options: Any) -> ChiuCharCNN:
    torch.manual_seed(0)
    common = {"char_dim": 5, "char_range": 0.5, "char_type_dim": 4, "num_filters": 6}
    further = {"window": 3, "padding": 1, "dropout": 0.0, "activation": "none"}
    return ChiuCharCNN(**{"chars": CHARS} | common | further | options)


def bilstm(**options: Any) -> CharBiLSTM:
    torch.manual_seed(0)
    common = {"char_dim": 5, "hidden_dim": 4, "dropout": 0.0, "forget_bias": 0.0, "learn_initial": False}
    return CharBiLSTM(**{"chars": CHARS, "cell": "stock", "clip_gradient": None} | common | options)


def learnt_bilstm(**options: Any) -> CharBiLSTM:
    encoder = bilstm(learn_initial=True, **options)
    for direction in (encoder.ahead, encoder.back):
        nn.init.normal_(direction.initial)
    return encoder


def wide_cnn(**options: Any) -> CharCNN:
    return cnn(**{"window": 5, "padding": 2, "activation": "relu"} | options)


def filled_cnn(**options: Any) -> CharCNN:
    return cnn(fill_to=12, num_filters=40, **options)  # enough for a letter to stand out from the word's end


WITH_LETTERS = [cnn, wide_cnn, filled_cnn, chiu, bilstm, learnt_bilstm]


def encoded(*words: str) -> tuple[Tensor, Tensor]:
    """-> chars (forms, letters), lengths (forms,)."""
    ids = [torch.tensor([CHARS.index(letter) if letter in CHARS else 1 for letter in word]) for word in words]
    return nn.utils.rnn.pad_sequence(ids, batch_first=True), torch.tensor([len(word) for word in words])


ACTIVATIONS = {"none": lambda values: values, "tanh": torch.tanh, "relu": torch.relu}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("window", "padding"), [(1, 0), (2, 1), (3, 1), (3, 2), (4, 3), (5, 2)])
def test_cnn_equals_torchs_convolution_and_a_maximum(window: int, padding: int, activation: str) -> None:
    encoder = cnn(window=window, padding=padding, activation=activation)
    nn.init.normal_(encoder.convolution.bias)
    oracle = nn.Conv1d(5, 6, window, padding=padding)
    oracle.weight.data = encoder.convolution.weight.data.view(6, window, 5).transpose(1, 2)
    oracle.bias.data = encoder.convolution.bias.data
    for word in ("a", "B2", "abcdeABCDE0123.-"):
        letters = encoder.embedding.weight[encoded(word)[0][0]]
        expected = ACTIVATIONS[activation](oracle(letters.T)).amax(dim=1)
        torch.testing.assert_close(encoder(*encoded(word, "abcdeABCDE012"))[0], expected)


@pytest.mark.parametrize("make", [cnn, wide_cnn, filled_cnn, chiu])
@pytest.mark.parametrize(("window", "padding"), [(1, 0), (1, 2), (2, 1), (3, 1), (3, 2), (3, 3), (4, 3), (5, 2)])
@given(words=st.lists(st.text(LETTERS, min_size=1, max_size=9), min_size=1, max_size=6))
@settings(max_examples=5, deadline=None)
def test_words_concatenated_give_what_words_of_one_length_give(
    make: Callable[..., CharCNN], window: int, padding: int, words: list[str]
) -> None:
    """The way of the CPU against that of a device, values and gradients."""
    encoder = make(window=window, padding=padding).double()
    nn.init.normal_(encoder.convolution.bias)
    found = []
    for way in (encoder._concatenated, encoder._side_by_side):
        largest = way(*encoded(*words))
        encoder.zero_grad()
        (largest**2).sum().backward()
        found.append([largest, *(weight.grad for weight in encoder.parameters())])
    for row, side in zip(*found, strict=True):
        torch.testing.assert_close(row, side)


def test_cnn_with_types_concatenates_characters_and_their_types() -> None:
    encoder = chiu()
    oracle = nn.Conv1d(9, 6, 3, padding=1)
    oracle.weight.data = encoder.convolution.weight.data.view(6, 3, 9).transpose(1, 2)
    oracle.bias.data = encoder.convolution.bias.data
    word = "aB-3?"
    types = [CHAR_TYPES.index(name) for name in ("lower", "upper", "punctuation", "other", "other")]
    letters = torch.cat([encoder.embedding.weight[encoded(word)[0][0]], encoder.types.weight[types]], dim=1)
    torch.testing.assert_close(encoder(*encoded(word))[0], oracle(letters.T).amax(dim=1))


@pytest.mark.parametrize("learn", [False, True], ids=["zero", "learnt"])
def test_bilstm_equals_the_last_states_of_torchs_lstm_on_each_word(learn: bool) -> None:
    encoder = learnt_bilstm(forget_bias=1.0) if learn else bilstm(forget_bias=1.0)
    oracle = nn.LSTM(5, 4, batch_first=True, bidirectional=True)
    for direction, ending in ((encoder.ahead, ""), (encoder.back, "_reverse")):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(oracle, f"{name}_l0{ending}").data = getattr(direction.cell, f"{name}_l0").data
    start = torch.zeros(2, 2, 1, 4)
    if learn:
        start = torch.stack([encoder.ahead.initial, encoder.back.initial], dim=1)[:, :, None]
    for word in ("a", "B2", "abcdeABCDE"):
        letters = encoder.embedding(encoded(word)[0])
        _, (last, _) = oracle(letters, (start[0].contiguous(), start[1].contiguous()))
        torch.testing.assert_close(encoder(*encoded(word, "abcde", "A"))[0], last[:, 0].flatten())


@pytest.mark.parametrize(
    ("char", "expected"),
    [
        *[("A", "upper"), ("Ž", "upper"), ("Я", "upper"), ("a", "lower"), ("ß", "lower"), ("é", "lower")],
        *[(".", "punctuation"), ("-", "punctuation"), ("«", "punctuation"), ("$", "punctuation")],
        *[("7", "other"), ("½", "other"), ("中", "other"), ("ǅ", "other"), ("\u00a0", "other")],
    ],
)
def test_char_types_are_those_of_the_paper(char: str, expected: str) -> None:
    assert char_type(char) == expected


def test_characters_of_one_type_share_its_vector() -> None:
    encoder = chiu()
    nn.init.zeros_(encoder.embedding.weight)
    a, b, upper, digit, hyphen, unknown = encoder(*encoded("a", "b", "A", "0", "-", "?"))
    assert torch.equal(a, b)
    assert torch.equal(digit, unknown)
    apart = [a, upper, digit, hyphen]
    assert all(not torch.equal(one, other) for place, one in enumerate(apart) for other in apart[:place])


def test_chius_characters_start_within_their_range() -> None:
    weight = chiu(char_dim=50, char_range=0.25).embedding.weight
    assert 0.24 < weight.abs().max() <= 0.25


@pytest.mark.parametrize("make", [cnn, chiu, bilstm])
def test_padding_starts_at_zero_and_is_never_trained(make: Callable[..., nn.Module]) -> None:
    encoder = make()
    assert not encoder.embedding.weight[0].any()
    encoder(*encoded("abc", "A")).sum().backward()
    assert not encoder.embedding.weight.grad[0].any()
    assert encoder.embedding.weight.grad[CHARS.index("A")].any()


@pytest.mark.parametrize("make", WITH_LETTERS)
def test_dropout_is_on_characters_in_training_and_off_in_eval(make: Callable[..., nn.Module]) -> None:
    encoder, plain = make(dropout=0.5), make()
    encoder.load_state_dict(plain.state_dict())
    words = encoded("abcd", "E")
    assert not torch.equal(encoder(*words), plain(*words))
    encoder.eval()
    assert torch.equal(encoder(*words), plain(*words))


@pytest.mark.parametrize("window", range(1, 8))
def test_the_least_padding_for_one_character_is_named_and_works(window: int) -> None:
    least = window // 2
    assert cnn(window=window, padding=least)(*encoded("a")).isfinite().all()
    if least:
        with pytest.raises(UserError, match=f"must be at least {least}; .* A window of {window} must fit"):
            cnn(window=window, padding=least - 1)


# words filled with word-end symbols


def filled(fill_to: int | None = 12, **options: Any) -> CharCNN:
    return cnn(fill_to=fill_to, **options)


def in_full(encoder: CharCNN, word: str, fill_to: int) -> Tensor:
    """The word, all its word-end symbols, torch's convolution, the maximum over the full length."""
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
    encoder = filled(fill_to, window=shape[0], padding=shape[1])
    nn.init.normal_(encoder.convolution.bias)
    vectors = encoder(*encoded(*words))
    wanted = [encoder.embedding.weight, encoder.convolution.weight]
    expected = torch.stack([in_full(encoder, word, fill_to) for word in words])
    torch.testing.assert_close(vectors, expected)
    for found, oracle in zip(
        torch.autograd.grad(vectors.sin().sum(), wanted), torch.autograd.grad(expected.sin().sum(), wanted), strict=True
    ):
        torch.testing.assert_close(found[1:], oracle[1:])


def test_without_dropout_only_the_symbols_of_a_window_are_added() -> None:
    encoder = filled(45)
    read: list[Tensor] = []
    encoder.dropout.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    encoder(*encoded("abcd", "e"))
    assert read[0].shape[0] == 2 + (4 + 3 + 2) + (1 + 3 + 2)  # padding of 2 before, between and after


def test_in_training_every_symbol_of_the_full_length_is_dropped_by_itself() -> None:
    encoder = filled(45, dropout=0.5)
    read: list[Tensor] = []
    encoder.dropout.register_forward_hook(lambda _, given, taken: read.append(taken))
    encoder(*encoded("abcd", "e"))
    assert len(read[0]) == 2 + 2 * (45 + 2)
    letters = torch.stack([read[0][2:47], read[0][49:94]])
    assert len(letters[0, 4:].unique(dim=0)) > 8  # masks of five elements: 32 kinds
    assert letters[:, 4:].count_nonzero(dim=2).sum() > 0
    encoder.eval()
    plain = filled(45)
    plain.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder(*encoded("abcd", "e")), plain(*encoded("abcd", "e")))


def test_a_word_as_long_as_the_filling_or_longer_stays_as_it_is() -> None:
    encoder = filled(4)
    unfilled = filled(None)
    state = encoder.state_dict()
    unfilled.load_state_dict(state | {"embedding.weight": state["embedding.weight"][:-1]})
    words = encoded("abcd", "abcdeA")
    torch.testing.assert_close(encoder(*words), unfilled(*words))
    assert not torch.allclose(encoder(*encoded("abc")), unfilled(*encoded("abc")))


def test_the_word_end_symbol_is_learnt_and_padding_is_not() -> None:
    encoder = filled()
    assert len(encoder.embedding.weight) == len(CHARS) + 1
    encoder(*encoded("abc", "A")).sum().backward()
    assert encoder.embedding.weight.grad[-1].any()
    assert not encoder.embedding.weight.grad[0].any()
    assert not encoder.embedding.weight[0].any()
