"""Names of a study's configurations, made of their choices: `char_encoder=cnn,decoder=crf`."""

import hashlib
import re
from collections.abc import Iterable, Mapping

SEED = "seed"
UNCHOSEN = "default"
"""The configuration of a study over seeds alone."""
_LONGEST = 200  # bytes of a folder's name; file systems allow 255


def configuration_name(choices: Mapping[str, str]) -> str:
    """`char_encoder=cnn,decoder=crf`: sorted by key, so that the order of choices does not matter, and valid as a
    folder.
    """
    pairs = sorted((_plain(key), _plain(value)) for key, value in choices.items())
    name = ",".join(f"{key}={value}" for key, value in pairs) or UNCHOSEN
    if len(name.encode()) <= _LONGEST:
        return name
    return f"{name.encode()[: _LONGEST - 9].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Folders of jobs by what distinguishes each: without the choices that all share, `decoder=crf,seed=3`."""
    parts = {name: re.split("[,/]", name) for name in names}
    shared = set.intersection(*map(set, parts.values())) if len(parts) > 1 else set()
    return {name: ",".join(part for part in own if part not in shared) for name, own in parts.items()}


def parse_configuration(name: str) -> dict[str, str]:
    """The choices of `decoder=crf, char_encoder=cnn`, in any order; a comma not followed by KEY= is part of a value."""
    pairs = [part.strip(" ,").partition("=") for part in re.split(r",(?=[^,=]+=)", name) if part.strip(" ,")]
    return {key.strip(): value.strip() for key, _, value in pairs}


def job_folder(choices: Mapping[str, str], seed: int | str) -> str:
    """Folder of a job within its study: its configuration, then its seed."""
    return f"{configuration_name(choices)}/{SEED}={_plain(str(seed))}"


def _plain(text: str) -> str:
    """A key or value as part of a folder's name: without quotes, blanks, slashes and commas."""
    return re.sub(r"[^\w.+@~=\[\]{}:-]+", "_", re.sub(r",\s*", "+", text.strip("'\""))).lstrip("+~") or "_"
