"""What every option of the five groups of parts promises; a new YAML file is covered automatically.

An option is built in a small tagger. The partners from the other groups change from option to option, so that parts
meet in many combinations.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle, zip_longest

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
from ner_lab.models.build import build_tagger, feature_set_of, word_embedding_of
from ner_lab.models.tagger import Tagger

GROUPS = ("word_embedding", "char_encoder", "features", "encoder", "decoder")
NO_STATES = {"word_embedding": "none", "char_encoder": "none", "encoder": "none_dry"}
PARTNERS = {
    ("decoder", "hmm"): NO_STATES | {"features": "words"},
    ("decoder", "naive_bayes"): NO_STATES | {"features": "huang_counts"},
    ("decoder", "direct"): NO_STATES | {"features": "known_entities"},
    ("features", "words"): NO_STATES | {"decoder": "hmm"},
    ("features", "huang_counts"): NO_STATES | {"decoder": "naive_bayes"},
    ("features", "known_entities"): NO_STATES | {"decoder": "direct"},
}
"""Options that work only together."""
SMALLEST = {"char_encoder": "none", "encoder": "none_dry", "decoder": "softmax"}
COUNTED = {decoder for group, decoder in PARTNERS if group == "decoder"}
TWO_DIRECTIONS = {option for option in options_of("decoder") if option.endswith("_chiu")}
READS_DEVICE = {option for option in options_of("decoder") if option.startswith("stack_lstm")}
"""The number of steps depends on the gold tags."""
SMALL_SIZE = 8


def partners() -> dict[tuple[str, str], dict[str, str]]:
    """For each (group, option), an option of every group."""
    decoders = [option for option in options_of("decoder") if option not in COUNTED | TWO_DIRECTIONS | READS_DEVICE]
    chars, encoders = cycle(options_of("char_encoder")), cycle(options_of("encoder"))
    decoder = cycle(decoders)
    chosen = {}
    for group in GROUPS:
        for option in options_of(group):
            choice = {"word_embedding": "random", "char_encoder": next(chars), "features": "caps"}
            choice |= {"encoder": next(encoders), "decoder": next(decoder)}
            if option in TWO_DIRECTIONS and group == "decoder":
                choice["encoder"] = "bilstm_chiu"
            chosen[group, option] = choice | PARTNERS.get((group, option), {}) | {group: option}
    return chosen


CHOICES = partners()


@pytest.fixture(scope="module")
def sections() -> Mapping[tuple[str, str], DictConfig]:
    """The config of every option, its sizes reduced; options of different groups are composed together."""
    rounds = zip_longest(*([(group, option) for option in options_of(group)] for group in GROUPS))
    found = {}
    for chosen in rounds:
        cfg = compose_config(["data=files", *(f"{group}={option}" for group, option in filter(None, chosen))])
        found.update({(group, option): cfg[group] for group, option in filter(None, chosen)})
    for section in found.values():
        for key in section:
            if str(key).endswith(("dim", "num_filters")) and type(section[key]) is int:
                section[key] = min(section[key], SMALL_SIZE)
    return found


@dataclass
class Case:
    """A tagger of one option and its partners, with the data that it reads."""

    cfg: DictConfig
    prepared: Prepared
    split: EncodedSplit
    """A few sentences, the last three unusual"""

    def tagger(self) -> Tagger:
        torch.manual_seed(5)
        return build_tagger(self.cfg, self.prepared.vocabs)

    def tagger_for_evaluation(self) -> Tagger:
        """A tagger whose tables of counts, if any, hold counts."""
        tagger = self.tagger().eval()
        for name, parameter in tagger.named_parameters():
            if name.endswith("counts"):
                parameter.data.random_(0, 9)
        return tagger


@pytest.fixture(scope="module")
def case_of(
    sections: Mapping[tuple[str, str], DictConfig], place_files: Callable[[DictConfig], None]
) -> Callable[..., Case]:
    plain = compose_config(["data=files"])
    place_files(plain)

    @cache
    def prepared_with(words: str, features: str, longest: int) -> tuple[DictConfig, Prepared, EncodedSplit]:
        cfg = plain.copy()
        cfg.word_embedding, cfg.features = sections["word_embedding", words], sections["features", features]
        place_files(cfg)
        data, feature_set = data_options_of(cfg), feature_set_of(cfg)
        prepared = prepare(data, feature_set, word_embedding_of(cfg))
        feature_set.remember(prepared.vocabs.features.learnt)
        columns = [name for name in data.columns if name not in ("word", "tag")]
        rows = [
            Sentence(words, ["O"] * len(words), {name: ["X"] * len(words) for name in columns})
            for words in unusual_sentences(longest)
        ]
        return cfg, prepared, encode(rows, prepared.vocabs, data, feature_set)[0]

    @cache
    def case_with(longest: int, words: str, chars: str, features: str, encoder: str, decoder: str) -> Case:
        cfg, prepared, split = prepared_with(words, features, longest)
        cfg = cfg.copy()
        for group, option in (("char_encoder", chars), ("encoder", encoder), ("decoder", decoder)):
            cfg[group] = sections[group, option]
        return Case(cfg, prepared, split)

    def make(group: str, option: str, longest: int | None = None, partners: Mapping[str, str] | None = None) -> Case:
        choice = CHOICES[group, option] | (partners or {}) | PARTNERS.get((group, option), {}) | {group: option}
        longest = longest or (40 if choice["decoder"] in READS_DEVICE else 300)
        return case_with(longest, *(choice[name] for name in GROUPS))

    return make


def unusual_sentences(longest: int) -> list[list[str]]:
    """Common sentences, then one of one word, one of many, and one with a word of 60 characters."""
    common = [sentence.words for sentence in [*marked(DEV), *marked(TEST)]]
    words = [word for sentence in common for word in sentence]
    return [*common, ["Oslo"], (words * 10)[:longest], ["In", "Unheard-of" * 6, "lives", "Anna"]]


def batch_of(split: EncodedSplit, sentences: Sequence[int]) -> Batch:
    chosen = np.array(sentences)
    return BatchMaker(split)[chosen, len(chosen), int(split.sentence_lengths[chosen].sum()), True]


def outputs_of(tagger: Tagger, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """-> states (batch, time, dim), tags (batch, time), losses (batch,)."""
    with torch.inference_mode():
        states, direct = tagger.encoder(tagger.embedder(batch), batch.lengths), tagger.embedder.features.direct(batch)
        tags = tagger.decoder.decode(states, batch.mask, direct)
        return states, tags, tagger.decoder.loss(states, batch.tags, batch.mask, direct)


every_option = pytest.mark.parametrize(("group", "option"), CHOICES)


def test_each_option_of_the_folders_has_partners() -> None:
    assert set(CHOICES) == {(group, option) for group in GROUPS for option in options_of(group)}


@every_option
def test_an_option_gives_a_finite_loss_and_a_gradient_to_each_trained_parameter(
    group: str, option: str, case_of: Callable[..., Case]
) -> None:
    case = case_of(group, option)
    tagger = case.tagger()
    split = case.prepared.splits["train"]
    losses = tagger(batch_of(split, range(len(split))))
    assert losses.shape == (len(split),)
    assert losses.isfinite().all()
    losses.sum().backward()
    for name, parameter in tagger.named_parameters():
        if parameter.requires_grad and parameter.numel():
            assert parameter.grad is not None, name
            gradient = parameter.grad.to_dense()
            assert gradient.isfinite().all(), name
            assert gradient.any(), name


@every_option
def test_padding_and_batch_mates_change_neither_states_nor_tags_nor_loss(
    group: str, option: str, case_of: Callable[..., Case]
) -> None:
    case = case_of(group, option)
    tagger, split = case.tagger_for_evaluation(), case.split
    numbers = list(range(len(split)))
    lengths = split.sentence_lengths
    alone = {number: outputs_of(tagger, batch_of(split, [number])) for number in numbers}
    num_tags = len(case.prepared.vocabs.tags)
    for sentences in (numbers, numbers[-3::-1], [numbers[-1], numbers[0]]):
        states, tags, losses = outputs_of(tagger, batch_of(split, sentences))
        time = int(lengths[sentences].max())
        assert states.shape == (len(sentences), time, tagger.encoder.output_dim)
        assert tags.shape == (len(sentences), time)
        assert tags.dtype == torch.long
        assert 0 <= int(tags.min()) <= int(tags.max()) < num_tags
        for row, number in enumerate(sentences):
            length, (own_states, own_tags, own_losses) = int(lengths[number]), alone[number]
            torch.testing.assert_close(states[row, :length], own_states[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(losses[row], own_losses[0], rtol=1e-5, atol=1e-4)
            assert torch.equal(tags[row, :length], own_tags[0])
            assert not tags[row, length:].any(), "0 at padding"
    assert predict_labels(tagger, split, 30) == predict_labels(tagger, split, 1)


@every_option
def test_a_saved_and_loaded_tagger_is_the_same(group: str, option: str, case_of: Callable[..., Case]) -> None:
    case = case_of(group, option)
    tagger, batch = case.tagger_for_evaluation(), batch_of(case.split, range(4))
    file = io.BytesIO()
    torch.save(tagger.state_dict(), file)
    file.seek(0)
    torch.manual_seed(6)
    loaded = build_tagger(case.cfg, case.prepared.vocabs).eval()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for value, expected in zip(outputs_of(loaded, batch), outputs_of(tagger, batch), strict=True):
        assert torch.equal(value, expected)


@every_option
def test_a_training_step_reads_no_number_from_the_device(group: str, option: str, case_of: Callable[..., Case]) -> None:
    """A step on torch's `meta` device, where tensors have shapes and no numbers: a GPU would have to be waited for.

    As on a GPU, the step takes the ways that are not the CPU's own.
    """
    case = case_of(group, option, partners={} if option in TWO_DIRECTIONS else SMALLEST)
    tagger = case.tagger().to("meta")
    batch = batch_of(case.split, case.split.sentence_lengths.argsort()[:3].tolist()).to("meta")
    if option in READS_DEVICE:
        with pytest.raises((RuntimeError, NotImplementedError)):
            tagger(batch).sum().backward()
        return
    losses = tagger(batch)
    losses.sum().backward()
    assert losses.shape == (3,)


@pytest.mark.soak
@pytest.mark.parametrize("option", sorted(READS_DEVICE))
def test_a_very_long_batch_mate_changes_no_tag(option: str, case_of: Callable[..., Case]) -> None:
    case = case_of("decoder", option, 300)
    tagger = case.tagger_for_evaluation()
    assert predict_labels(tagger, case.split, 10_000) == predict_labels(tagger, case.split, 1)
