"""Provenance of a run: command, versions, code, machine."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any

from ner_lab.io.secrets import redacted
from ner_lab.version import PACKAGE, __version__

_PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "omegaconf", "torchmetrics", "seqeval", "wandb", "numpy")


def _record() -> dict[str, Any]:
    import torch

    return {
        "command": command_line(),
        "folder": os.getcwd(),
        "versions": versions(),
        "code": code_sum(),
        "git": _git(),
        "machine": {"system": platform.platform(), "processor": _processor(), "threads": torch.get_num_threads()},
    }


def command_line() -> list[str]:
    """The command of this process as a shell command, without secrets.

    `sys.argv` is what Hydra received; `sys.orig_argv` is what was typed, except in processes started by others for us.
    """
    typed = [place for place, word in enumerate(sys.orig_argv) if PurePath(word).name == "ner-lab"]
    if typed:
        words = ["ner-lab", *sys.orig_argv[typed[0] + 1 :]]
    else:
        program, *rest = sys.argv[0].split(" ")  # `ner-lab` stores its command there
        own = Path(program).parent == PACKAGE / "cli"
        words = [*(("python", "-m", f"ner_lab.cli.{Path(program).stem}") if own else (PurePath(program).name,)), *rest]
        words += sys.argv[1:]
    return [redacted(word) for word in words]


@functools.cache
def versions() -> dict[str, str]:
    """Versions of this package, of Python, and of the libraries that results may depend on."""
    found = {"ner-lab": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def code_sum() -> str:
    """Checksum over all of the package's sources."""
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{file.relative_to(PACKAGE).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _git() -> dict[str, Any] | None:
    """Commit of the code and whether it has uncommitted changes; None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(PACKAGE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        tracked = git("ls-files", "--error-unmatch", "version.py")
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))} if tracked else None
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
