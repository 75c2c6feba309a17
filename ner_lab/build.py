"""From a config to a tagger: the only place where the parts' sizes meet."""

import importlib
import inspect
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ner_lab.data.options import DataOptions
from ner_lab.data.vocab import Vocabs
from ner_lab.embedder import Embedder
from ner_lab.errors import UserError
from ner_lab.features.base import FeatureSet
from ner_lab.optimizer.recipe import OptimizerRecipe
from ner_lab.suggest import nearest
from ner_lab.tagger import Tagger
from ner_lab.word_embedding.base import WordEmbedding


def build_tagger(cfg: DictConfig, vocabs: Vocabs) -> Tagger:
    """Wire the parts. Each states its `output_dim`; nobody types a size twice.

    Weights are random; `WordTable.fill` puts in the vectors of a file.
    """
    tags, scheme = vocabs.tags.items, vocabs.tags.scheme
    words = word_embedding_of(cfg).layer(
        num_words=len(vocabs.words), num_known=len(vocabs.words.known), vector_dim=vocabs.vector_dim
    )
    chars = _sized(cfg, "char_encoder", chars=vocabs.chars.items)
    features = feature_set_of(cfg).layers(vocabs.features, tags)
    embedder = Embedder(words, chars, features)
    encoder = _sized(cfg, "encoder", input_dim=embedder.output_dim)
    decoder = _sized(cfg, "decoder", input_dim=encoder.output_dim, tags=tags, scheme=scheme)
    return Tagger(embedder, encoder, decoder)


def data_options_of(cfg: DictConfig) -> DataOptions:
    """The `data` group as a record."""
    return _part(cfg, "data")


def word_embedding_of(cfg: DictConfig) -> WordEmbedding:
    """The `word_embedding` group: where vectors come from."""
    return _part(cfg, "word_embedding")


def feature_set_of(cfg: DictConfig) -> FeatureSet:
    """The `features` group: what is read off a sentence."""
    return _part(cfg, "features")


def optimizer_of(cfg: DictConfig) -> OptimizerRecipe:
    """The `optimizer` group."""
    return _part(cfg, "optimizer")


def _sized(cfg: DictConfig, group: str, **sizes: Any) -> Any:
    """A part that waits for sizes, with them."""
    try:
        return _part(cfg, group)(**sizes)
    except UserError:
        raise
    except ValueError as error:  # what torch says of a number that cannot be
        raise UserError(f"{group}: {error}.") from error


def _part(cfg: DictConfig, group: str) -> Any:
    """What a config group stands for: an object, or a class that waits for sizes (`_partial_`)."""
    section = cfg[group]
    _check_arguments(section, group)
    return instantiate(section)


def _check_arguments(section: DictConfig, group: str) -> None:
    place, _, name = section["_target_"].rpartition(".")
    try:
        module = importlib.import_module(place)
    except (ModuleNotFoundError, ValueError) as error:
        raise UserError(f"{group}: {section['_target_']} cannot be imported: {error}.") from error
    if (target := getattr(module, name, None)) is None:
        raise UserError(f"{group}: {place} has no '{name}'{nearest(name, vars(module))}")
    known = [parameter for parameter in inspect.signature(target).parameters if parameter != "self"]
    for key in map(str, section):
        if OmegaConf.is_missing(section, key):
            raise UserError(f"{group}.{key} has no default. Give {group}.{key}=...")
        if not key.startswith("_") and key not in known:
            raise UserError(
                f"{name} does not take '{key}' (conf: {group}){nearest(key, known)} It takes: {', '.join(known)}."
            )
        _check_parts(section._get_node(key), f"{group}.{key}")


def _check_parts(node: Any, place: str) -> None:
    """The arguments of parts within a part (`features.parts.spelling`)."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing() or node._is_interpolation():
        return
    if "_target_" in node:
        _check_arguments(node, place)
        return
    for key in map(str, node):
        _check_parts(node._get_node(key), f"{place}.{key}")
