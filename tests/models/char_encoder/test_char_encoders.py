"""Character encoders: one vector a word, whatever stands beside it; hand-made oracles."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ner_lab.errors import UserError
from ner_lab.models.char_encoder.bilstm import CharBiLSTM
from ner_lab.models.char_encoder.cnn import CharCNN
from ner_lab.models.char_encoder.cnn_chiu import CHAR_TYPES, ChiuCharCNN, char_type
from ner_lab.models.char_encoder.none import NoChars

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


def coupled_bilstm(**options: Any) -> CharBiLSTM:
    return learnt_bilstm(cell="coupled", **options)


def clipped_bilstm(**options: Any) -> CharBiLSTM:
    return bilstm(cell="peephole", clip_gradient=0.1, **options)


def learnt_bilstm(**options: Any) -> CharBiLSTM:
    encoder = bilstm(learn_initial=True, **options)
    for direction in (encoder.ahead, encoder.back):
        nn.init.normal_(direction.initial)
    return encoder


def wide_cnn(**options: Any) -> CharCNN:
    return cnn(**{"window": 5, "padding": 2, "activation": "relu"} | options)


def none(**options: Any) -> NoChars:
    return NoChars(chars=CHARS)


def filled_cnn(**options: Any) -> CharCNN:
    return cnn(fill_to=12, num_filters=40, **options)  # enough for a letter to stand out from the word's end


WITH_LETTERS = [cnn, wide_cnn, filled_cnn, chiu, bilstm, learnt_bilstm, coupled_bilstm, clipped_bilstm]


def encoded(*words: str) -> tuple[Tensor, Tensor]:
    """-> chars (forms, letters), lengths (forms,)."""
    ids = [torch.tensor([CHARS.index(letter) if letter in CHARS else 1 for letter in word]) for word in words]
    return nn.utils.rnn.pad_sequence(ids, batch_first=True), torch.tensor([len(word) for word in words])


@given(words=st.lists(st.text(LETTERS + "?", min_size=1, max_size=9), min_size=2, max_size=5))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("make", [*WITH_LETTERS, none])
def test_a_words_vector_does_not_depend_on_the_other_words(make: Callable[..., nn.Module], words: list[str]) -> None:
    encoder = make()
    together = encoder(*encoded(*words))
    assert together.shape == (len(words), encoder.output_dim)
    for row, word in enumerate(words):
        torch.testing.assert_close(together[row], encoder(*encoded(word))[0])


@pytest.mark.parametrize("make", WITH_LETTERS)
def test_what_stands_behind_the_last_letter_is_never_read(make: Callable[..., nn.Module]) -> None:
    encoder = make()
    chars, lengths = encoded("abcde", "D")
    wider = torch.cat([chars, torch.zeros_like(chars)], dim=1)
    torch.testing.assert_close(encoder(wider, lengths), encoder(chars, lengths))


@pytest.mark.parametrize("make", WITH_LETTERS)
@pytest.mark.parametrize("place", range(4))
def test_every_letter_and_its_place_count(make: Callable[..., nn.Module], place: int) -> None:
    encoder = make(**({"activation": "none"} if make is wide_cnn else {}))
    word, letters = encoder(*encoded("abcd"))[0], list("abcd")
    letters[place] = "E"
    assert not torch.equal(encoder(*encoded("".join(letters)))[0], word)
    assert not torch.equal(encoder(*encoded("dcba"))[0], word)


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
def test_words_in_a_row_give_what_words_of_one_length_give(
    make: Callable[..., CharCNN], window: int, padding: int, words: list[str]
) -> None:
    """The way of the CPU against that of a device, values and gradients."""
    encoder = make(window=window, padding=padding).double()
    nn.init.normal_(encoder.convolution.bias)
    found = []
    for way in (encoder._in_a_row, encoder._side_by_side):
        largest = way(*encoded(*words))
        encoder.zero_grad()
        (largest**2).sum().backward()
        found.append([largest, *(weight.grad for weight in encoder.parameters())])
    for row, side in zip(*found, strict=True):
        torch.testing.assert_close(row, side)


def test_cnn_with_types_convolves_letters_joined_by_their_type() -> None:
    encoder = chiu()
    oracle = nn.Conv1d(9, 6, 3, padding=1)
    oracle.weight.data = encoder.convolution.weight.data.view(6, 3, 9).transpose(1, 2)
    oracle.bias.data = encoder.convolution.bias.data
    word = "aB-3?"
    types = [CHAR_TYPES.index(name) for name in ("lower", "upper", "punctuation", "other", "other")]
    letters = torch.cat([encoder.embedding.weight[encoded(word)[0][0]], encoder.types.weight[types]], dim=1)
    torch.testing.assert_close(encoder(*encoded(word))[0], oracle(letters.T).amax(dim=1))


@pytest.mark.parametrize("learn", [False, True], ids=["zero", "learnt"])
def test_bilstm_equals_the_last_states_of_torchs_own_on_the_single_word(learn: bool) -> None:
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


@pytest.mark.parametrize("make", [bilstm, learnt_bilstm, coupled_bilstm, clipped_bilstm])
def test_bilstm_reads_its_letters_to_both_ends(make: Callable[..., CharBiLSTM]) -> None:
    encoder = make()
    word, first, last = (encoder(*encoded(word))[0] for word in ("abcd", "Ebcd", "abcE"))
    for half in (slice(0, 4), slice(4, 8)):
        assert not torch.equal(word[half], first[half])
        assert not torch.equal(word[half], last[half])


@pytest.mark.parametrize("cell", ["stock", "coupled"])
def test_learnt_initial_states_of_the_bilstm_get_a_gradient(cell: str) -> None:
    encoder = bilstm(learn_initial=True, cell=cell)
    encoder(*encoded("ab", "c")).sum().backward()
    assert encoder.ahead.initial.grad.abs().sum() > 0
    assert encoder.back.initial.grad.abs().sum() > 0


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


def test_letters_of_one_type_share_its_vector() -> None:
    encoder = chiu()
    nn.init.zeros_(encoder.embedding.weight)
    a, b, upper, digit, hyphen, unknown = encoder(*encoded("a", "b", "A", "0", "-", "?"))
    assert torch.equal(a, b)
    assert torch.equal(digit, unknown)
    apart = [a, upper, digit, hyphen]
    assert all(not torch.equal(one, other) for place, one in enumerate(apart) for other in apart[:place])


def test_without_types_letters_stand_alone() -> None:
    encoder = chiu(char_type_dim=0)
    assert encoder.types is None
    assert encoder.convolution.in_features == 3 * 5
    letters = torch.tensor([[2, 3]])
    assert torch.equal(encoder.embed(letters), encoder.embedding(letters))


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
def test_dropout_is_on_letters_in_training_and_off_in_eval(make: Callable[..., nn.Module]) -> None:
    encoder, plain = make(dropout=0.5), make()
    encoder.load_state_dict(plain.state_dict())
    words = encoded("abcd", "E")
    assert not torch.equal(encoder(*words), plain(*words))
    encoder.eval()
    assert torch.equal(encoder(*words), plain(*words))


def test_no_characters_give_vectors_without_dimensions() -> None:
    encoder = none()
    assert encoder.output_dim == 0
    vectors = encoder(*encoded("abc", "d"))
    assert vectors.shape == (2, 0)
    assert vectors.dtype == torch.get_default_dtype()
    assert not list(encoder.parameters())


@pytest.mark.parametrize("window", range(1, 8))
def test_least_padding_for_a_one_letter_word_is_named_and_works(window: int) -> None:
    least = window // 2
    assert cnn(window=window, padding=least)(*encoded("a")).isfinite().all()
    if least:
        with pytest.raises(UserError, match=f"window of {window} on a one-letter word; it must be at least {least}"):
            cnn(window=window, padding=least - 1)


def test_mistaken_cells_are_refused_with_their_keys() -> None:
    with pytest.raises(UserError, match=r"char_encoder\.cell is 'gru'"):
        bilstm(cell="gru")
    with pytest.raises(UserError, match=r"char_encoder\.clip_gradient is 0"):
        bilstm(clip_gradient=0)


def test_unknown_activations_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'gelu'\. It takes none, tanh, relu"):
        cnn(activation="gelu")
