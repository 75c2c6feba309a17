"""What may be installed: no release known to be malicious or open, every file with its checksum, all lists agreed."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = [Requirement(line) for line in PROJECT["dependencies"]]
DEV = [Requirement(line) for line in PROJECT["optional-dependencies"]["dev"]]

NEVER = {
    "GHSA-w37p-236h-pfx3, malicious uploads": {"pytorch-lightning": ["2.6.2", "2.6.3"]},
    "GHSA-qqmf-gpg7-g8gw, code named by a checkpoint is run": {"pytorch-lightning": ["2.6.1", "2.6.4", "2.6.5"]},
    "GHSA-53q9-r3pm-6pq6, weights_only=True runs code": {"torch": ["2.5.1"]},
    "CVE-2026-24747, weights_only=True corrupts memory": {"torch": ["2.8.0", "2.9.1"]},
    "instantiate by an alias of a blocked module": {"hydra-core": ["1.3.2", "1.3.5"]},
    "GHSA-cpwx-vrp4-4pq7, a way out of the sandbox": {"jinja2": ["3.1.5"]},
}
"""Releases that must not be in range, by why."""


def pins(file: str) -> dict[str, str]:
    """Package and version of each line `name==version` of a file."""
    text = (ROOT / file).read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s\\;]+)", text, flags=re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("why", NEVER)
def test_no_release_known_to_be_bad_is_in_range(why: str) -> None:
    ranges = {canonicalize_name(one.name): one.specifier for one in NEEDED}
    for name, releases in NEVER[why].items():
        assert [version for version in releases if version in ranges[name]] == []


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-bench.txt", "requirements.txt"])
def test_no_release_known_to_be_bad_is_pinned(file: str) -> None:
    pinned = pins(file)
    for releases in NEVER.values():
        assert [name for name, versions in releases.items() if pinned.get(name) in versions] == []


def test_every_package_that_is_needed_has_a_version_it_ends_at() -> None:
    for one in NEEDED:
        assert any(part.operator in ("<", "<=", "==", "~=") for part in one.specifier), one


def test_what_is_pinned_is_in_range() -> None:
    pinned = pins("constraints.txt")
    for one in [*NEEDED, *DEV]:
        assert pinned[canonicalize_name(one.name)] in one.specifier, one


def test_the_locked_versions_are_the_tested_ones() -> None:
    tested, locked = pins("constraints.txt"), pins("requirements.txt")
    without_builds = {name: version.partition("+")[0] for name, version in locked.items()}
    assert {name: version for name, version in tested.items() if without_builds.get(name) != version} == {}
    build_tools = {"editables", "hatchling", "setuptools", "tomlkit", "trove-classifiers"}
    assert set(locked) - set(tested) <= build_tools


def test_every_locked_package_has_the_checksums_of_its_files_and_no_address() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    entries = " ".join(lines).replace("\\", " ")
    for entry in re.split(r"\s(?=[A-Za-z0-9_.-]+==)", entries):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}(\s|$)", entry), entry[:60]
    assert "://" not in entries
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host", entries)
