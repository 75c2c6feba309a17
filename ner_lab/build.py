"""From a config to a tagger: the only place where the parts' sizes meet."""

import importlib
import inspect
import math
import os
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ner_lab.arguments import check_kinds
from ner_lab.data.options import DataOptions
from ner_lab.data.vocab import Vocabs
from ner_lab.embedder import Embedder
from ner_lab.errors import UserError
from ner_lab.features.base import FeatureSet
from ner_lab.optimizer.recipe import OptimizerRecipe
from ner_lab.own_classes import cause_of, class_behind, reported, targets_in
from ner_lab.suggest import nearest
from ner_lab.tagger import Tagger
from ner_lab.word_embedding.base import WordEmbedding

_LARGE = 4096  # a size that calls for counting before building
_KINDS = {"word_embedding": WordEmbedding, "features": FeatureSet, "optimizer": OptimizerRecipe}
_SIZED = ("char_encoder", "encoder", "decoder")  # groups whose classes wait for sizes


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
    chars = _sized(cfg, "char_encoder", chars=vocabs.chars.items)
    feature_set = feature_set_of(cfg)
    with reported(targets_in(cfg["features"]), "features", "layers"):
        features = feature_set.layers(vocabs.features, tags)
    for group, part in (("word_embedding", words), ("char_encoder", chars), ("features", features)):
        _check_output_dim(cfg, group, part)
    embedder = Embedder(words, chars, features)
    encoder = _sized(cfg, "encoder", input_dim=embedder.output_dim)
    _check_output_dim(cfg, "encoder", encoder)
    decoder = _sized(cfg, "decoder", input_dim=encoder.output_dim, tags=tags, scheme=scheme)
    _check_module(cfg, "decoder", decoder)
    if missing := [name for name in ("loss", "decode") if not callable(getattr(decoder, name, None))]:
        raise UserError(f"{cfg.decoder['_target_']} (conf: decoder) has no {' and no '.join(missing)}.")
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
    part = _part(cfg, group)
    try:
        return part(**sizes)
    except Exception as error:
        raise _of_a_class_of_theirs(error, cfg[group], group) from error


def _part(cfg: DictConfig, group: str) -> Any:
    """What a config group stands for: an object, or a class that waits for sizes (`_partial_`)."""
    section = cfg[group]
    _check_arguments(section, group)
    _check_partial(section, group)
    try:
        part = instantiate(section)
    except InstantiationException as error:
        if (cause := error.__cause__) is None:
            raise
        raise _of_a_class_of_theirs(cause, section, group) from cause.__cause__
    if group in _KINDS:
        _check_members(part, section, group)
    return part


def _check_partial(section: DictConfig, group: str) -> None:
    """Refuse a class that waits for sizes and is not marked so, and the other way round."""
    waits = bool(section.get("_partial_"))
    if group in _SIZED and not waits:
        raise UserError(
            f"{section['_target_']} (conf: {group}) is given sizes once the data are read. Add the line "
            f"`_partial_: true` to its file, conf/{group}."
        )
    if group in _KINDS and waits:
        _check_members(class_of(section, group), section, group)
        raise UserError(
            f"{section['_target_']} (conf: {group}) is made before the data are read. Remove the line "
            f"`_partial_: true` from its file, conf/{group}."
        )


def _check_members(part: Any, section: DictConfig, group: str) -> None:
    """Refuse a word embedding, a feature set or an optimizer without the members that are called."""
    kind = _KINDS[group]
    if missing := [name for name in vars(kind) if not name.startswith("_") and not hasattr(part, name)]:
        raise UserError(
            f"{section['_target_']} (conf: {group}) lacks {', '.join(missing)}. Derive it from "
            f"{kind.__module__}.{kind.__name__}."
        )


def _of_a_class_of_theirs(error: BaseException, section: DictConfig, group: str) -> BaseException:
    """What a class of the user's own says of its values, as a mistake of the user's; any other error as it is."""
    theirs = class_behind(error, targets_in(section))
    if isinstance(error, UserError | MemoryError) or theirs is None or "allocate" in str(error):
        return error
    cause = cause_of(error, theirs)
    if isinstance(error, ValueError):
        cause = cause.removeprefix(f"{type(error).__name__}: ")
        return UserError(f"{group}: {theirs} does not take its values: {cause}. Set other ones, {group}.KEY=VALUE.")
    return UserError(
        f"{group}: {theirs} cannot be made: {cause}. docs/parts.md says which arguments its constructor is given."
    )


def check_parts(cfg: DictConfig) -> None:
    """Refuse what cannot be in any part, as far as it can be known before data are read: UserError."""
    for group in ("data", "word_embedding", "features", "char_encoder", "encoder", "decoder", "optimizer", "logger"):
        check_part(cfg, group)


def check_part(cfg: DictConfig, group: str) -> None:
    """As `check_parts`, of one group."""
    section = cfg.get(group)
    if not isinstance(section, DictConfig) or section.get("_partial_") or group == "logger":
        _check_arguments(section, group)  # it waits for sizes, or opens what it logs to
        _check_partial(section, group)
    else:
        _part(cfg, group)


def _check_arguments(section: Any, group: str) -> None:
    target, name = _target_of(section, group)
    parameters = inspect.signature(target).parameters.values()
    known = [one.name for one in parameters if one.name != "self" and one.kind != one.VAR_KEYWORD]
    takes_any = any(one.kind == one.VAR_KEYWORD for one in parameters)
    for key in map(str, section):
        if OmegaConf.is_missing(section, key):
            raise UserError(f"{group}.{key} has no default. Give {group}.{key}=...")
        if not key.startswith("_") and key not in known and not takes_any:
            raise UserError(
                f"{name} does not take '{key}' (conf: {group}){nearest(key, known)} It takes: {', '.join(known)}."
            )
        _check_parts(section._get_node(key), f"{group}.{key}")
    stated = {key: section[key] for key in map(str, section) if not key.startswith("_")}
    check_kinds(target, {key: value for key, value in stated.items() if not _holds_parts(value)}, group)


def class_of(section: Any, group: str) -> Any:
    """The class of a group's option."""
    return _target_of(section, group)[0]


def _target_of(section: Any, group: str) -> tuple[Any, str]:
    """The class of a section, and its name."""
    stated = section.get("_target_") if isinstance(section, DictConfig) else None
    if not isinstance(stated, str):
        raise UserError(f"{group} has no _target_, the class that it stands for. Give it one, _target_: PACKAGE.CLASS.")
    place, _, name = stated.rpartition(".")
    try:
        module = importlib.import_module(place)
    except (ImportError, SyntaxError, ValueError) as error:
        if place.startswith("ner_lab.") and not isinstance(error, ModuleNotFoundError):
            raise
        raise UserError(
            f"{group}: {stated} cannot be imported: {error}. Check group and file in _target_; a package of your own "
            "must be installed, be beside the folder given as --config-dir, or be on PYTHONPATH."
        ) from error
    if (target := getattr(module, name, None)) is None:
        raise UserError(f"{group}: {place} has no '{name}'{nearest(name, vars(module))}")
    if not callable(target):
        raise UserError(f"{group}: {stated} is no class, but {type(target).__name__} {target!r}. Name a class.")
    return target, name


def _holds_parts(value: Any) -> bool:
    return isinstance(value, DictConfig)


def _check_parts(node: Any, place: str) -> None:
    """The arguments of parts within a part (`features.parts.spelling`)."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing() or node._is_interpolation():
        return
    if "_target_" in node:
        _check_arguments(node, place)
        return
    for key in map(str, node):
        _check_parts(node._get_node(key), f"{place}.{key}")
