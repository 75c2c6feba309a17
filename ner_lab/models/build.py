"""Build a tagger from a config: the only place where the parts' sizes meet."""

import math
import os
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from ner_lab.config.instantiate import part_of, sized_part
from ner_lab.data.vocab import Vocabs
from ner_lab.errors import UserError
from ner_lab.models.features.base import FeatureSet
from ner_lab.models.tagger import Embedder, Tagger
from ner_lab.models.word_embedding.base import WordEmbedding
from ner_lab.user_code import reported, targets_in

_LARGE = 4096  # sizes from here on are counted before building


def build_tagger(cfg: DictConfig, vocabs: Vocabs) -> Tagger:
    """Connect the parts. Each has an `output_dim`; no size is set twice.

    Weights are random; `WordTable.fill` copies the vectors of a file. UserError if they do not fit in memory.
    """
    if largest := _large_sizes(cfg):
        _check_memory(_bytes_needed(cfg, vocabs), largest)
    try:
        return _wire(cfg, vocabs)
    except MemoryError:
        _check_memory(math.inf, largest)
    except RuntimeError as error:
        if "allocate" not in str(error):
            raise
        _check_memory(math.inf, largest)
    raise AssertionError


def _bytes_needed(cfg: DictConfig, vocabs: Vocabs) -> float:
    """Bytes of the weights, counted without allocating them; 0 if a class cannot be built that way (it reads its
    values).
    """
    try:
        with torch.device("meta"):
            return 4 * sum(part.numel() for part in _wire(cfg, vocabs).parameters())
    except (UserError, RuntimeError):
        return 0


def _large_sizes(cfg: DictConfig) -> str:
    """The settings that make a tagger large, if any."""
    large = []
    for group in ("word_embedding", "char_encoder", "features", "encoder", "decoder"):
        sizes = {str(key): value for key, value in cfg[group].items() if type(value) is int}
        large += [f"{group}.{key}={value}" for key, value in sizes.items() if value > _LARGE]
    return ", ".join(large)


def _check_memory(needed: float, largest: str) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory / 2:  # gradients and optimizer state need memory as well
        size = f" of {needed / 1e9:,.0f} GB" if math.isfinite(needed) else ""
        raise UserError(
            f"The weights{size} do not fit in this machine's memory of {memory / 1e9:,.0f} GB. "
            f"Choose smaller sizes{' than ' + largest if largest else ''}."
        )


def _check_module(cfg: DictConfig, group: str, part: Any) -> None:
    if not isinstance(part, nn.Module):
        target = cfg[group]["_target_"]
        raise UserError(f"{target} (conf: {group}) makes {type(part).__name__}, expected a torch.nn.Module.")


def _check_output_dim(cfg: DictConfig, group: str, part: Any) -> None:
    """Refuse a part that is not a module, or has no output size."""
    _check_module(cfg, group, part)
    target = str(cfg[group]["_target_"])
    size = getattr(part, "output_dim", None)
    if type(size) is not int or size < 0:
        given = "has no output_dim" if size is None else f"has output_dim {size!r}"
        raise UserError(
            f"{target} (conf: {group}) {given}. Set self.output_dim in __init__ to the size of its vectors, a whole "
            "number."
        )


def _wire(cfg: DictConfig, vocabs: Vocabs) -> Tagger:
    tags, scheme = vocabs.tags.items, vocabs.tags.scheme
    embedding = word_embedding_of(cfg)
    with reported(targets_in(cfg["word_embedding"]), "word_embedding", "layer"):
        words = embedding.layer(
            num_words=len(vocabs.words), num_known=len(vocabs.words.known), vector_dim=vocabs.vector_dim
        )
    chars = sized_part(cfg, "char_encoder", chars=vocabs.chars.items)
    feature_set = feature_set_of(cfg)
    with reported(targets_in(cfg["features"]), "features", "layers"):
        features = feature_set.layers(vocabs.features, tags)
    for group, part in (("word_embedding", words), ("char_encoder", chars), ("features", features)):
        _check_output_dim(cfg, group, part)
    embedder = Embedder(words, chars, features)
    encoder = sized_part(cfg, "encoder", input_dim=embedder.output_dim)
    _check_output_dim(cfg, "encoder", encoder)
    decoder = sized_part(cfg, "decoder", input_dim=encoder.output_dim, tags=tags, scheme=scheme)
    _check_module(cfg, "decoder", decoder)
    if missing := [name for name in ("loss", "decode") if not callable(getattr(decoder, name, None))]:
        raise UserError(f"{cfg.decoder['_target_']} (conf: decoder) has no {' and no '.join(missing)}.")
    return Tagger(embedder, encoder, decoder)


def word_embedding_of(cfg: DictConfig) -> WordEmbedding:
    """The `word_embedding` group: the source of vectors."""
    return part_of(cfg, "word_embedding", WordEmbedding)


def feature_set_of(cfg: DictConfig) -> FeatureSet:
    """The `features` group: the features of a sentence."""
    return part_of(cfg, "features", FeatureSet)
