"""Common code of all commands: exit codes, error messages."""

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from ner_lab.config.compose import (
    CONF_DIR,
    OPEN_KEYS,
    all_keys,
    already_there,
    new_there,
    options_of,
    options_with,
    quoted,
)
from ner_lab.errors import Interrupted, JobFailed, JobsFailed, UserError, nearest, user_error_behind
from ner_lab.io.os_errors import ensure_cwd_exists, explain_os_error
from ner_lab.io.secrets import print_exception, redacted

log = logging.getLogger(__name__)


def config_dirs_of(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split arguments into the user's config folders (`--config-dir DIR`) and the rest.

    Afterwards a package next to such a folder can be imported, regardless of the working folder.
    """
    dirs, others = [], []
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in ("--config-dir", "-cd"):
            others.append(word)
            continue
        folder = value if equals else next(words, "")
        if not os.path.isdir(folder):
            raise UserError(f"--config-dir {folder}: no such folder. Give one with GROUP/OPTION.yaml files in it.")
        dirs.append(folder)
        if (beside := str(Path(folder).absolute().parent)) not in sys.path:
            sys.path.append(beside)
    return dirs, others


def run_command(command: Callable[[], Any]) -> None:
    """Run a command; a user error exits with code 2 and a message, a bug with a traceback and code 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, and ner_lab formats the message
    sys.excepthook = print_exception
    ensure_cwd_exists()
    try:
        command()
        if sys.stdout is not None:
            sys.stdout.flush()  # fail here with a message; at interpreter exit there is none
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        raise SystemExit(os.EX_TEMPFAIL) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except (JobFailed, JobsFailed) as failed:
        print(redacted(f"error: {failed}"), file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:  # the reader of the output has closed the pipe, as `head` does
        _drop_output()
        raise SystemExit(141) from None
    except Exception as error:
        if (mistake := mistake_behind(error)) is None:
            raise
        if isinstance(error, OSError) and error.filename is None:
            _drop_output()
        stop(mistake)


def _drop_output() -> None:
    """Discard unwritten standard output, so that Python does not report the error again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def mistake_behind(error: Exception) -> str | None:
    """The message for a user error; None if the error is a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, InstantiationException) and not _is_about_values(error.__cause__):
        return str(inner) if (inner := user_error_behind(error)) is not None else None
    if isinstance(error, YAMLError):
        return in_yaml(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return str(user_error_behind(error) or explain(error))
    return explain_os_error(error) if isinstance(error, OSError) else None


def _is_about_values(error: BaseException | None) -> bool:
    """Whether a library rejected a value (Lightning has its own exceptions for this)."""
    return isinstance(error, ValueError | TypeError | ImportError) or "Misconfiguration" in type(error).__name__


def in_yaml(error: YAMLError) -> str:
    """Explain a YAML error in a config file or a command-line value, with its position."""
    if not isinstance(error, MarkedYAMLError) or (mark := error.problem_mark or error.context_mark) is None:
        return f"it cannot be read as YAML: {' '.join(str(error).split())}. Fix the file, or quote the value."
    problem = " ".join(filter(None, [error.context, error.problem]))
    if not os.path.exists(mark.name):
        return f"a value cannot be read: {problem}. Close its brackets, or write it in quotes: KEY=\"'VALUE'\"."
    hint = " YAML takes blanks, not tabs." if "\\t" in problem else ""
    return f"{mark.name}:{mark.line + 1}: it cannot be read as YAML: {problem}.{hint} Fix the line."


def stop(error: str) -> NoReturn:
    """Exit with code 2 and a message, which is also logged."""
    if log.hasHandlers():
        log.error("error: %s", error)
    else:
        print(redacted(f"error: {error}"), file=sys.stderr)
    raise SystemExit(2)


def explain(error: Exception) -> str:
    """Shorten Hydra's message to a line or two, with the nearest existing key."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        if not str(error.override).isascii():
            return _beyond_ascii(str(error.override))
        return (
            f"'{error.override}' cannot be read: {text.splitlines()[0]}. Close its brackets, or write a value that has "
            "brackets, braces, commas or = in it in quotes: KEY=\"'VALUE'\"."
        )
    for cause in (error.__cause__, error.__context__):
        if cause is not None and str(cause) not in text:
            text += f"\n{cause}"
    if "full_key:" not in text and (key := getattr(error, "full_key", None)):
        return f"{key}: {text.splitlines()[0]}"
    if (match := re.search(r"full_key: (\S+)", text)) and "not in" in text:
        return _unknown_key(match[1])
    if match := re.search(r"An item is already at '([^']+)'", text):
        return already_there(match[1])
    if match := re.search(r"Could not (?:override|append to config.*?) '([^']+)'", text):
        return _unknown_key(match[1].partition("=")[0].lstrip("+"))
    if match := re.search(r"full_key: (\S+)", text):
        return f"{match[1]}: {error.__cause__ or text.splitlines()[0]}"
    if match := re.search(r"Could not (?:find|load) '([^']+)'", text):
        group, _, option = match[1].rpartition("/")
        options = options_of(group, config_dirs_of(sys.argv[1:])[0])
        if options:
            return f"{group} has no option '{option}'{nearest(option, options)} Options: {', '.join(options)}."
    if match := re.search(r"Could not override '([^']+)'.*No match", text, re.DOTALL):
        return _unknown_key(match[1])
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _beyond_ascii(override: str) -> str:
    """Explain that Hydra's grammar allows non-ASCII characters only in values, and there only in quotes."""
    character = next(one for one in override if not one.isascii())
    key, _, value = override.partition("=")
    if key.isascii() and not set(value) & set("[]{}()'\""):
        return f"'{override}': '{character}' can be read in quotes only: {key}=\"{quoted(value)}\"."
    return (
        f"'{override}': '{character}' cannot be read here. Names of keys take ASCII letters on the command line; a "
        "file of options, --config-dir DIR, takes any. A value that has brackets or quotes of its own is written "
        "in quotes: KEY=\"'VALUE'\"."
    )


def _unknown_key(key: str) -> str:
    known = all_keys()
    if "." not in key and (CONF_DIR / key).is_dir():
        return f"'{key}' is a group: choose an option, {key}={'|'.join(options_of(key))}."
    if key.rpartition(".")[0] in OPEN_KEYS:
        return new_there(key)
    if key in known:
        group, _, name = key.partition(".")
        others = ", ".join(options_with(group, name))
        return f"the chosen option of '{group}' does not take '{name}'; other options of {group} do: {others}."
    return f"unknown config key '{key}'{nearest(key, known)} `ner-lab train --cfg job` shows all keys."
