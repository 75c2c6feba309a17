"""Exceptions, above all `UserError`: a wrong key, a missing file, bad data."""

import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UserError(ValueError):
    """An error that the user can fix; the message says what, where, what was expected, what to do next.

    The command line prints it without a traceback and exits with code 2.
    """


def shown(text: str | bytes, most: int = 60) -> str:
    """Quote `text` for a message: long text is truncated, invisible characters are escaped."""
    return repr(text) if len(text) <= most else f"{text[:most]!r} (cut: {len(text):,} in all)"


class Interrupted(BaseException):
    """A signal stopped the training; the message names it and the checkpoint that is kept.

    The command line exits with code 75 (`EX_TEMPFAIL`: try again later), on which schedulers can requeue.
    """


class JobFailed(Exception):
    """A job of a sweep failed without a score."""


class JobElsewhere(JobFailed):
    """Another process is running the job: it has no score yet, but did not fail."""


class JobsFailed(Exception):
    """Some jobs of a sweep failed, and were reported; the command line exits with code 1."""


def reason_of(error: Exception, mistake: str | None) -> tuple[str, list[str]]:
    """Why a run failed, for its record: one line or the user's `mistake`, and the traceback if the error is a bug."""
    if mistake is not None:
        return mistake, []
    return f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)).splitlines()


def user_error_behind(error: BaseException) -> UserError | None:
    """The UserError that caused `error`, if any: Hydra wraps what is raised while it builds a part."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # Hydra's errors can be their own cause
        if isinstance(cause, UserError):
            return cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """`". Did you mean 'x'?"`, or a full stop if no name is similar."""
    suggestion = _suggestion(name, known)
    return f". {suggestion}" if suggestion else "."


def _suggestion(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?`, or nothing if no name is similar."""
    match = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean '{match[0]}'?" if match else ""


def invalid_value(key: str, value: object, expected: str, hint: str = "") -> UserError:
    """The error for a config value: `encoder.stacks must be joint or separate; got 'split'.`, and a hint."""
    shown = f"'{value}'" if isinstance(value, str) else _AS_IN_YAML.get(str(value), str(value))
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return UserError(f"{key} must be {expected}; got {shown}.{f' {hint}' if hint else ''}")


def check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    """UserError unless `value` is one of `choices`; it names the nearest."""
    if value not in choices:
        listed = f"one of {', '.join(choices)}" if len(choices) > 2 else " or ".join(choices)
        raise invalid_value(key, value, listed, _suggestion(str(value), choices))


_AS_IN_YAML = {"None": "null", "True": "true", "False": "false"}
