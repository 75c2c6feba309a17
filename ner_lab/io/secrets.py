"""Keep secrets out of files: credentials in addresses, and secrets held in environment variables."""

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ner_lab.errors import UserError

HIDDEN = "***"
_SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 8  # characters of a value: shorter ones (false, 1, us) occur in any text by chance
_IN_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s'\"]*@", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text without credentials in addresses, and without values of variables named like a secret."""
    text = _IN_ADDRESS.sub(rf"\1{HIDDEN}@", text)
    for value in sorted(_secrets().values(), key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def refuse_secrets(config: Any) -> None:
    """Raise UserError if a value of a config, as plain data, holds a secret: the config is saved in full."""
    secrets = _secrets()
    for place, value in _strings(config, ""):
        if _IN_ADDRESS.search(value):
            raise UserError(
                f"{place} has a user name or password before the @ of a URL, and config.yaml would show it. "
                "Remove it from the URL: programs read passwords from ~/.netrc, and W&B its key from WANDB_API_KEY."
            )
        for name, secret in secrets.items():
            if secret in value:
                raise UserError(
                    f"{place} has the value of the environment variable {name}, and config.yaml would show it. "
                    "Set it only in the environment."
                )


class RedactingFormatter(logging.Formatter):
    """A formatter that keeps secrets out of the log."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def print_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A `sys.excepthook` like Python's own, without secrets."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _secrets() -> dict[str, str]:
    """Environment variables named like secrets, except short values and file paths."""
    return {
        name: value
        for name, value in os.environ.items()
        if _SECRET.search(name) and len(value) >= _SHORTEST and not _is_place(value)
    }


def _is_place(value: str) -> bool:
    try:
        return value.startswith(("/", "~", ".")) and Path(value).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


def _strings(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _strings(inner, f"{place}[{number}]")
    elif isinstance(value, str):
        yield place, value
