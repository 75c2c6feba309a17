"""The whole tagger, for every combination of its parts."""

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from ner_lab.build import build_tagger, data_options_of, feature_set_of, word_embedding_of
from ner_lab.compose import compose_config, options_of
from ner_lab.data.batch import Batch, BatchMaker
from ner_lab.data.prepare import Prepared, prepare
from ner_lab.tagger import Tagger

GROUPS = ("char_encoder", "encoder", "decoder")


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
    for chosen in zip_longest(*([(group, option) for option in options_of(group)] for group in GROUPS)):
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
    decoders = [name for name in options_of("decoder") if name not in ("hmm", "naive_bayes", "direct")]
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
