"""The whole tagger, for every combination of its parts; what a sentence is read with never changes its result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, zip_longest
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from sample import DEV, TEST, marked
from torch import Tensor

from ner_lab.config.compose import compose_config, options_of
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import Batch, BatchMaker
from ner_lab.data.encoding import EncodedSplit
from ner_lab.data.preparation import Prepared, encode, prepare
from ner_lab.data.sentence import Sentence
from ner_lab.evaluation.scoring import predict_labels
from ner_lab.inference.batch_tagger import Labeller
from ner_lab.models.build import build_tagger, feature_set_of, word_embedding_of
from ner_lab.models.tagger import Tagger

GROUPS = ("char_encoder", "encoder", "decoder")
COUNTED = {"hmm": "words", "naive_bayes": "huang_counts", "direct": "known_entities"}
"""Decoders that read no states, and the features they read."""
FEATURES = ("caps", "none", "huang", "columns", "context", "spelling")


@pytest.fixture(scope="module")
def cfg(corpus: Path) -> DictConfig:
    return compose_config(["data=files", f"data.train={corpus / 'train.conll'}", "word_embedding.dim=10"])


@pytest.fixture(scope="module")
def prepared(cfg: DictConfig) -> Prepared:
    return prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))


@pytest.fixture(scope="module")
def parts() -> Mapping[tuple[str, str], DictConfig]:
    """The section of each option of the groups."""
    found = {}
    rounds = [[(group, option) for option in options_of(group)] for group in GROUPS]
    rounds.append([("features", option) for option in (*FEATURES, *COUNTED.values())])
    for chosen in zip_longest(*rounds):
        cfg = compose_config([f"{group}={option}" for group, option in filter(None, chosen)])
        found.update({(group, option): cfg[group] for group, option in filter(None, chosen)})
    return found


def some(prepared: Prepared, *sentences: int) -> Batch:
    chosen = np.array(sentences)
    split = prepared.splits["train"]
    return BatchMaker(split)[(chosen, len(chosen), int(split.sentence_lengths[chosen].sum()), True)]


def scores_of(tagger: Tagger, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """-> states (batch, time, dim), tags (batch, time), losses (batch,)"""
    with torch.inference_mode():
        hidden = tagger.encoder(tagger.embedder(batch), batch.lengths)
        return hidden, tagger.decode(batch), tagger.losses(batch)


def combinations() -> list[tuple[str, str, str]]:
    """Every char encoder with every encoder, every encoder with every decoder that reads its states."""
    chars, encoders = options_of("char_encoder"), options_of("encoder")
    decoders = [name for name in options_of("decoder") if name not in COUNTED]
    chosen = {(name, encoder, "crf") for name in chars for encoder in encoders}
    for place, encoder in enumerate(encoders):
        fitting = [name for name in decoders if not name.endswith("_chiu") or encoder.startswith("bi")]
        chosen |= {(chars[(place + number) % len(chars)], encoder, name) for number, name in enumerate(fitting)}
    return sorted(chosen)


@pytest.mark.parametrize(("char_encoder", "encoder", "decoder"), combinations())
def test_a_sentence_alone_is_the_same_in_a_padded_batch(
    char_encoder: str,
    encoder: str,
    decoder: str,
    cfg: DictConfig,
    prepared: Prepared,
    parts: Mapping[tuple[str, str], DictConfig],
) -> None:
    experiment = cfg.copy()
    for group, option in zip(GROUPS, (char_encoder, encoder, decoder), strict=True):
        experiment[group] = parts[group, option]
    torch.manual_seed(3)
    tagger = build_tagger(experiment, prepared.vocabs).eval()
    lengths = prepared.splits["train"].sentence_lengths
    sentences = [int(lengths.argmax()), int(lengths.argmin()), 4]
    assert len({int(lengths[number]) for number in sentences}) == 3

    states, tags, losses = scores_of(tagger, some(prepared, *sentences))

    for row, sentence in enumerate(sentences):
        length = int(lengths[sentence])
        alone_states, alone_tags, alone_losses = scores_of(tagger, some(prepared, sentence))
        assert torch.allclose(states[row, :length], alone_states[0], atol=1e-5)
        assert torch.equal(tags[row, :length], alone_tags[0])
        assert torch.allclose(losses[row], alone_losses[0], atol=1e-4)
        assert not tags[row, length:].any(), "0 at padding"


def test_parameters_are_counted_part_by_part_and_none_is_left_out(cfg: DictConfig, prepared: Prepared) -> None:
    tagger = build_tagger(cfg, prepared.vocabs)
    counts = tagger.parameter_counts()
    assert sum(whole for _, whole in counts.values()) == sum(part.numel() for part in tagger.parameters())
    assert counts["word embedding"] == (10 * len(prepared.vocabs.words),) * 2
    assert counts["features"] == (5 * len(prepared.vocabs.features.columns["caps"]),) * 2


def test_frozen_weights_count_as_not_trained(cfg: DictConfig, prepared: Prepared) -> None:
    tagger = build_tagger(cfg, prepared.vocabs)
    tagger.encoder.requires_grad_(False)
    trained, whole = tagger.parameter_counts()["encoder"]
    assert trained == 0
    assert whole == sum(part.numel() for part in tagger.encoder.parameters()) > 0


# batch mates


def one_of_each() -> Iterator[tuple[str, str, str, str]]:
    """Every encoder, char encoder and decoder at least once, among changing features."""
    decoders = [name for name in options_of("decoder") if name not in COUNTED]
    two_ways = [name for name in decoders if name.endswith("_chiu")]  # they take the two directions apart
    others = cycle(name for name in decoders if name not in two_ways)
    chars, features = cycle(options_of("char_encoder")), cycle(FEATURES)
    for encoder in options_of("encoder"):
        fitting = two_ways.pop() if two_ways and encoder.startswith("bi") else next(others)
        feature = next(features)
        yield next(chars), encoder, fitting, "caps" if "stack_lstm" in fitting else feature  # no sparse ones there
    for decoder, feature in COUNTED.items():
        yield "none", "none_dry", decoder, feature


ONE_OF_EACH = list(one_of_each())
STEP_BY_STEP = [options for options in ONE_OF_EACH if "stack_lstm" in options[2]]


@dataclass
class Part:
    """What a tagger says of one sentence."""

    states: Tensor
    """(time, dim)"""
    tags: list[int]
    loss: float


@dataclass
class Reader:
    """A tagger with random weights, and sentences to read."""

    tagger: Tagger
    split: EncodedSplit
    words: list[list[str]]
    labeller: Labeller

    def read(self, sentences: Sequence[int]) -> dict[int, Part]:
        """A batch of these sentences, in this order."""
        chosen = np.array(sentences)
        tokens = int(self.split.sentence_lengths[chosen].sum())
        batch = BatchMaker(self.split)[chosen, len(chosen), tokens, True]
        states, tags, losses = scores_of(self.tagger, batch)
        return {
            number: Part(states[row, :length], tags[row, :length].tolist(), float(losses[row]))
            for row, (number, length) in enumerate(zip(sentences, batch.lengths.tolist(), strict=True))
        }


def with_outliers(longest: int) -> list[list[str]]:
    """Common sentences, one of one word, one of so many, one with a word of 60 letters."""
    common = [sentence.words for sentence in [*marked(DEV), *marked(TEST)]]
    every = [word for words in common for word in words]
    return [*common, ["Oslo"], (every * 10)[:longest], ["In", "Unheard-of" * 6, "lives", "Anna"]]


@pytest.fixture(
    scope="module",
    params=[
        *((options, 25 if options in STEP_BY_STEP else 300) for options in ONE_OF_EACH),
        *(pytest.param((options, 300), marks=pytest.mark.soak) for options in STEP_BY_STEP),
    ],
    ids=lambda chosen: f"{'-'.join(chosen[0])}-{chosen[1]}",
)
def reader(request: pytest.FixtureRequest, cfg: DictConfig, parts: Mapping[tuple[str, str], DictConfig]) -> Reader:
    options, longest = request.param
    experiment = cfg.copy()
    for group, option in zip((*GROUPS, "features"), options, strict=True):
        experiment[group] = parts[group, option]
    data, features = data_options_of(experiment), feature_set_of(experiment)
    prepared = prepare(data, features, word_embedding_of(experiment))
    torch.manual_seed(5)
    tagger = build_tagger(experiment, prepared.vocabs).eval()
    if options[2] in COUNTED:
        for weight in tagger.parameters():
            weight.data.random_(0, 9)  # counts
    features.remember(prepared.vocabs.features.learnt)
    words = with_outliers(longest)
    columns = [name for name in data.columns if name not in ("word", "tag")]
    rows = [Sentence(own, ["O"] * len(own), {name: ["_"] * len(own) for name in columns}) for own in words]
    split, _ = encode(rows, prepared.vocabs, data, features)
    return Reader(tagger, split, words, Labeller(tagger, prepared.vocabs, data, features))


def test_every_option_is_read_with_batch_mates() -> None:
    for place, group in enumerate(GROUPS):
        assert {options[place] for options in ONE_OF_EACH} == set(options_of(group))


def test_mates_order_and_outliers_change_no_tag_and_no_score(reader: Reader) -> None:
    numbers = list(range(len(reader.words)))
    usual, long, odd = numbers[:-2], *numbers[-2:]
    alone = {number: reader.read([number])[number] for number in numbers}
    for batch in (usual, usual[::-1], numbers[::-1], [usual[0], long], [odd, usual[1]]):
        for number, found in reader.read(batch).items():
            assert found.tags == alone[number].tags
            torch.testing.assert_close(found.states, alone[number].states, rtol=1e-5, atol=1e-5)
            assert found.loss == pytest.approx(alone[number].loss, rel=1e-5, abs=1e-5)


def test_however_a_split_is_cut_into_batches_its_tags_are_the_same(reader: Reader) -> None:
    one_by_one = predict_labels(reader.tagger, reader.split, 1)
    for batch_tokens in (40, 10_000):
        assert predict_labels(reader.tagger, reader.split, batch_tokens) == one_by_one, batch_tokens
    together = reader.labeller.tags(reader.words)
    assert list(map(len, together)) == list(map(len, one_by_one))
    half = len(reader.words) // 2
    assert reader.labeller.tags(reader.words[:half]) + reader.labeller.tags(reader.words[half:]) == together
