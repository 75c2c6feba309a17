"""The one exception for mistakes a user can mend: a wrong key, a missing file, bad data."""

import traceback


class UserError(ValueError):
    """Something the user can put right; the message says what, where, what was expected, what next.

    The command line prints it without a traceback and ends with exit code 2.
    """


def shown(text: str | bytes, most: int = 60) -> str:
    """`text` in quotes for a message: cut where it is long, and what cannot be seen is spelt out."""
    return repr(text) if len(text) <= most else f"{text[:most]!r} (cut: {len(text):,} in all)"


class Interrupted(BaseException):
    """Training was told to stop; the message says by what, and whether its state is saved.

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
