"""Read files of a run folder as plain data, in bounded time and memory, whoever wrote them."""

import json
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ner_lab.errors import UserError, shown

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LARGEST = 5_000_000
"""Maximum bytes of a config or record; ours have a few thousand."""
_DEEPEST = 40  # nested levels; our files have eight


def resolve_inside(place: Path, folder: Path) -> Path:
    """A path within a run folder; UserError if a link leads outside, or if it is neither file nor folder.

    The folder itself may be a link.
    """
    try:
        found, within = place.resolve(), folder.resolve()
    except (OSError, RuntimeError) as error:  # a link to itself
        raise UserError(f"{place}: broken link ({error}).") from None
    if not found.is_relative_to(within):
        raise UserError(f"{place}: links to {found}, outside the run folder. The files of a run must be inside it.")
    if found.exists() and not (found.is_file() or found.is_dir()):  # reading from a pipe may block forever
        raise UserError(f"{place}: neither a file nor a folder.")
    return place


def read_text(path: Path, largest: int = LARGEST) -> str:
    """A text file of at most `largest` bytes; UserError if it is not a file or not UTF-8."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: not a file.")
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes; the limit is {largest:,}.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start + 1:,}).") from None


def read_yaml(path: Path, largest: int = LARGEST) -> DictConfig | ListConfig:
    """A YAML file of plain data: no tags that create objects, no aliases that expand it, no deep nesting."""
    text = read_text(path, largest)
    try:
        check_events(text, path)
        found = OmegaConf.create(text)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())}).") from None
    except ValueError as error:  # a date, a number with thousands of digits
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: cannot be read as YAML ({error}).") from None
    if not isinstance(found, DictConfig | ListConfig):
        raise UserError(f"{path}: not the config of a run: it has no keys.")
    return found


def check_events(text: str, path: Path) -> None:
    """Refuse aliases, deep nesting and references before any object is built from the text.

    Aliases may stand for billions of items, libraries fail at deep nesting, and OmegaConf parses values beginning with
    `${` with its own grammar, which takes seconds for a long row of these.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"{path}:{line}: aliases (*...) are not allowed in the config of a run.")
        if isinstance(event, yaml.ScalarEvent) and "${" in event.value:
            raise UserError(
                f"{path}:{line}: {shown(event.value)} refers to something else; the config of a run does not."
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise UserError(f"{path}:{line}: nested deeper than {_DEEPEST} levels.")


def read_json_file(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    try:
        found = json.loads(read_text(path), parse_constant=_no_number)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}).") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: not the record of a run: it has no keys.")
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not a number")
