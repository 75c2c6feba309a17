"""The one exception for mistakes a user can mend: a wrong key, a missing file, bad data."""

import traceback
from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Something the user can put right; the message says what, where, what was expected, what next.

    The command line prints it without a traceback and ends with exit code 2.
    """


def shown(text: str | bytes, most: int = 60) -> str:
    """`text` in quotes for a message: cut where it is long, and what cannot be seen is spelt out."""
    return repr(text) if len(text) <= most else f"{text[:most]!r} (cut: {len(text):,} in all)"


class Interrupted(BaseException):
    """Training was told to stop; the message says by what, and which checkpoint is kept.

    The command line ends with exit code 75 (`EX_TEMPFAIL`: try again later), on which schedulers can requeue.
    """


class JobFailed(Exception):
    """Why a job of a sweep gave no score."""


class JobElsewhere(JobFailed):
    """Another process runs the job now: it has no score yet, and did not fail."""


class JobsFailed(Exception):
    """Some jobs of a sweep failed, and it was said which; the command line ends with exit code 1."""


def reason_of(error: Exception, mistake: str | None) -> tuple[str, list[str]]:
    """Why a run failed, for its record: one line or the user's `mistake`, and the traceback of an error of ours."""
    if mistake is not None:
        return mistake, []
    return f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)).splitlines()


def user_error_behind(error: BaseException) -> UserError | None:
    """The user's mistake that led to `error`, if it is one: Hydra wraps what is raised while it builds a part."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # Hydra's errors may stand behind themselves
        if isinstance(cause, UserError):
            return cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """`". Did you mean 'x'?"`, or a full stop where nothing is near."""
    match = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f". Did you mean '{match[0]}'?" if match else "."
