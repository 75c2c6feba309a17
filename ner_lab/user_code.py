"""User-defined classes: their errors are reported in one sentence, with the position in their file."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import OmegaConf

from ner_lab.errors import UserError


def is_own(target: str) -> bool:
    """Whether a class, given by its `_target_`, is user-defined."""
    return not target.startswith("ner_lab.")


def name_of(part: object) -> str:
    """The class of a part, in the form used by `_target_`."""
    return f"{type(part).__module__}.{type(part).__qualname__}"


def targets_in(section: Any) -> list[str]:
    """The class of a section, then the classes of the parts within it, in the form used by `_target_`."""
    if OmegaConf.is_config(section):
        section = OmegaConf.to_container(section)
    inner = section.values() if isinstance(section, dict) else section if isinstance(section, list) else ()
    first = [str(section["_target_"])] if isinstance(section, dict) and "_target_" in section else []
    return first + [target for value in inner for target in targets_in(value)]


def cause_of(error: BaseException, target: str) -> str:
    """`ValueError: its message (my_lab/gru.py:12)`: the innermost line that belongs to the package of `target`."""
    message = " ".join(str(error).split())
    calls = traceback.walk_tb(error.__traceback__)
    within = [call for call in calls if _package(call[0].f_globals.get("__name__", "")) == _package(target)]
    place = "".join(f" ({frame.f_code.co_filename}:{line})" for frame, line in within[-1:])
    return f"{type(error).__name__}{': ' if message else ''}{message}{place}"


def class_behind(error: BaseException, targets: Sequence[str]) -> str | None:
    """The user-defined class among `targets` that an error comes from; None if there is none.

    targets: a class, then the classes of parts within it. An error in a user-defined class is always attributed to it.
    """
    own = [target for target in targets if is_own(target)]
    packages = [_package(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    raising = [target for target in own if _package(target) in packages]
    return next(iter(raising), targets[0] if own[:1] == [targets[0]] else None)


@contextmanager
def reported(targets: Sequence[str], group: str, method: str) -> Iterator[None]:
    """Turn errors of a user-defined class into a UserError; errors of this package are unchanged.

    targets: as in `class_behind`. method: the method called, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        target = class_behind(error, targets)
        if target is None or isinstance(error, MemoryError) or "allocate" in str(error):
            raise
        called = " or ".join(f"`{name}`" for name in method.split(" or "))
        raise UserError(
            f"{target} (conf: {group}) fails in {called}: {cause_of(error, target)}. "
            "docs/parts.md lists what it is given."
        ) from error


def _package(name: str) -> str:
    return name.partition(".")[0]
