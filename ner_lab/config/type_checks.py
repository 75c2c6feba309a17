"""Check the values of a config against the types in a part's constructor."""

import inspect
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Union

from omegaconf import OmegaConf

from ner_lab.errors import invalid_value


def check_kinds(target: Any, values: Mapping[str, Any], place: str) -> None:
    """UserError for the first of `values` that does not fit the annotation of `target`'s argument.

    Arguments without an annotation, or with one beyond plain data types, are left to the part itself.
    """
    called = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(called)
    except (NameError, TypeError):  # annotations that cannot be resolved outside their file
        return
    for key, value in values.items():
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if key in hints and not _fits(plain, hints[key]):
            raise invalid_value(f"{place}.{key}", plain, _words(hints[key]))


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        several = Ellipsis in inner
        kinds = [inner[0]] * len(value) if several and isinstance(value, list | tuple) else list(inner)
        fits = isinstance(value, list | tuple) and len(value) == len(kinds)
        return fits and all(_fits(one, kind) for one, kind in zip(value, kinds, strict=True))
    if origin in (Sequence, list):
        return isinstance(value, list | tuple) and all(_fits(one, inner[0]) for one in value)
    if origin in (Mapping, dict):
        return isinstance(value, Mapping) and all(_fits(one, inner[1]) for one in value.values())
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is str:
        return isinstance(value, str)
    return True


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", type(None): "null"}


def _words(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(one) for one in inner)
    if origin is tuple and Ellipsis not in inner:
        return f"[{', '.join(_words(one) for one in inner)}]"
    if origin in (Sequence, list, tuple):
        return f"a list, each {_words(inner[0])}"
    return _NAMES.get(hint, "keys and values" if origin is Mapping or origin is dict else "something else")
