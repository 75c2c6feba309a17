"""From a config to a tagger: the only place where the parts' sizes meet."""

import math
import os
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from ner_lab.config.instantiate import part_of, sized_part
from ner_lab.data.vocab import Vocabs
from ner_lab.errors import UserError
from ner_lab.models.embedder import Embedder
from ner_lab.models.features.base import FeatureSet
from ner_lab.models.tagger import Tagger
from ner_lab.models.word_embedding.base import WordEmbedding
from ner_lab.user_code import reported, targets_in

_LARGE = 4096  # a size that calls for counting before building


def build_tagger(cfg: DictConfig, vocabs: Vocabs) -> Tagger:
    """Wire the parts. Each states its `output_dim`; nobody types a size twice.

    Weights are random; `WordTable.fill` puts in the vectors of a file. UserError where memory does not hold them.
    """
    if largest := _large_sizes(cfg):
        _refuse(_bytes_needed(cfg, vocabs), largest)
    try:
        return _wire(cfg, vocabs)
    except MemoryError:
        _refuse(math.inf, largest)
    except RuntimeError as error:
        if "allocate" not in str(error):
            raise
        _refuse(math.inf, largest)
    raise AssertionError


def _bytes_needed(cfg: DictConfig, vocabs: Vocabs) -> float:
    """Of the weights, counted without making them; 0 where a class cannot be made so (it looks at its numbers)."""
    try:
        with torch.device("meta"):
            return 4 * sum(part.numel() for part in _wire(cfg, vocabs).parameters())
    except (UserError, RuntimeError):
        return 0


def _large_sizes(cfg: DictConfig) -> str:
    """The settings that make a tagger large, if any does."""
    found = []
    for group in ("word_embedding", "char_encoder", "features", "encoder", "decoder"):
        flat = {str(key): value for key, value in cfg[group].items() if type(value) is int}
        found += [f"{group}.{key}={value}" for key, value in flat.items() if value > _LARGE]
    return ", ".join(found)


def _refuse(needed: float, largest: str) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory / 2:  # beside the weights stand gradients and what the optimizer keeps
        size = f" of {needed / 1e9:,.0f} GB" if math.isfinite(needed) else ""
        raise UserError(
            f"weights{size} are more than this machine's {memory / 1e9:,.0f} GB can train. "
            f"Choose smaller sizes{' than ' + largest if largest else ''}."
        )


def _check_module(cfg: DictConfig, group: str, part: Any) -> None:
    if not isinstance(part, nn.Module):
        target = cfg[group]["_target_"]
        raise UserError(f"{target} (conf: {group}) makes {type(part).__name__}, expected a torch.nn.Module.")


def _check_output_dim(cfg: DictConfig, group: str, part: Any) -> None:
    """Refuse a part that is no module, or does not give the size of its output."""
    _check_module(cfg, group, part)
    target = str(cfg[group]["_target_"])
    size = getattr(part, "output_dim", None)
    if type(size) is not int or size < 0:
        given = "has no output_dim" if size is None else f"has output_dim {size!r}"
        raise UserError(
            f"{target} (conf: {group}) {given}, expected the size of its vectors as a whole number: set "
            "self.output_dim in __init__."
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
    """The `word_embedding` group: where vectors come from."""
    return part_of(cfg, "word_embedding", WordEmbedding)


def feature_set_of(cfg: DictConfig) -> FeatureSet:
    """The `features` group: what is read off a sentence."""
    return part_of(cfg, "features", FeatureSet)
