"""Sealed folders: whole or not there, and no change of a file goes unseen."""

import hashlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ner_lab.io.checksums import SUMS, Damaged, check_sums, read_checked, sealed_folder

CONTENT = {"a.bin": bytes(range(256)) * 20, "b.txt": "Málaga\n".encode() * 3}


def fill(folder: Path) -> None:
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)


def seal(place: Path) -> Path:
    with sealed_folder(place) as draft:
        fill(draft)
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in CONTENT}


# checksums


def one_bit(content: bytes) -> bytes:
    return content[:700] + bytes([content[700] ^ 4]) + content[701:]


def cut_short(content: bytes) -> bytes:
    return content[:-1]


def zeros_after_it(content: bytes) -> bytes:
    return content + bytes(8)


def a_page_of_zeros(content: bytes) -> bytes:
    return bytes(512) + content[512:]


def two_blocks_exchanged(content: bytes) -> bytes:
    return content[512:1024] + content[:512] + content[1024:]


@pytest.mark.parametrize("change", [one_bit, cut_short, zeros_after_it, a_page_of_zeros, two_blocks_exchanged])
def test_a_changed_file_is_named(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    place, content = tmp_path / "a", random.Random(1).randbytes(10_000)
    with sealed_folder(place) as draft:
        (draft / "a.bin").write_bytes(content)
    check_sums(place)
    (place / "a.bin").write_bytes(change(content))
    with pytest.raises(Damaged, match=r"a\.bin"):
        check_sums(place)


def test_a_checksum_is_the_files_sha256(tmp_path: Path) -> None:
    place = seal(tmp_path / "a")
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    assert json.loads((place / SUMS).read_bytes()) == expected


# folders


def test_a_folder_gets_its_name_when_all_of_it_is_written(tmp_path: Path) -> None:
    with sealed_folder(tmp_path / "a") as draft:
        fill(draft)
        assert not (tmp_path / "a").exists()
    assert os.listdir(tmp_path) == ["a"]
    assert sorted(os.listdir(tmp_path / "a")) == sorted([*CONTENT, SUMS])
    check_sums(tmp_path / "a")
    assert read_checked(tmp_path / "a", contents) == CONTENT


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt(), OSError(28, "No space left")])
def test_what_fails_leaves_nothing(error: BaseException, tmp_path: Path) -> None:
    def write() -> None:
        with sealed_folder(tmp_path / "a") as draft:
            fill(draft)
            raise error

    with pytest.raises(type(error)) as raised:
        write()
    assert raised.value is error
    assert os.listdir(tmp_path) == []


def test_all_is_flushed_to_the_disk_before_the_folder_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        assert (tmp_path / "a").exists() == (place == tmp_path)
        flushed.append(place.name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    seal(tmp_path / "a")
    assert {*CONTENT, "a.draft", tmp_path.name} < set(flushed)
    assert flushed[-1] == tmp_path.name


def test_a_disk_that_is_full_when_it_is_flushed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        seal(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_there_is_nothing_to_read_where_there_is_no_folder(tmp_path: Path) -> None:
    assert read_checked(tmp_path / "a", contents, held=True) is None


def test_a_damaged_folder_is_named_and_removed_by_whoever_holds_its_lock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = seal(tmp_path / "a")
    (place / "a.bin").write_bytes(b"\1" + CONTENT["a.bin"][1:])
    with caplog.at_level(logging.WARNING):
        assert read_checked(place, contents) is None
        assert place.exists()
        assert not caplog.records
        assert read_checked(place, contents, held=True) is None
    assert f"{place} is damaged (a.bin has not the sum that sums.json tells)" in caplog.text
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("missing", [*CONTENT, SUMS])
def test_a_file_that_is_missing_is_named(missing: str, tmp_path: Path) -> None:
    place = seal(tmp_path / "a")
    (place / missing).unlink()
    with pytest.raises((FileNotFoundError, Damaged), match=missing):
        check_sums(place)


@pytest.mark.parametrize(("sums", "named"), [("{}", "a.bin, b.txt"), ("[]", "sums.json"), ("{", "sums.json")])
def test_checksums_of_other_files_are_refused(sums: str, named: str, tmp_path: Path) -> None:
    place = seal(tmp_path / "a")
    (place / SUMS).write_text(sums)
    with pytest.raises(Damaged, match=named):
        check_sums(place)


def test_a_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    place = seal(tmp_path / "a")
    (place / "c.bin").touch()
    with pytest.raises(Damaged, match=r"c\.bin"):
        check_sums(place)


def test_a_disk_that_cannot_read_is_an_error_and_the_folder_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = seal(tmp_path / "a")

    def broken(path: Path) -> str:
        raise OSError(5, os.strerror(5), str(path))

    monkeypatch.setattr("ner_lab.io.checksums.file_sha256", broken)
    with caplog.at_level(logging.WARNING):
        assert read_checked(place, contents, held=True) is None
    assert "Input/output error" in caplog.text
    assert str(place / "a.bin") in caplog.text


KILLED = """
import sys
from pathlib import Path
from ner_lab.io.checksums import sealed_folder

place = Path(sys.argv[1])
print("ready", flush=True)
for number in range(1_000_000):
    with sealed_folder(place / str(number)) as draft:
        for name in ("a", "b"):
            with (draft / name).open("wb") as file:
                for _ in range(40):
                    file.write(bytes([number % 251]) * 5000)
"""


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_what_a_killed_process_leaves_is_whole_or_not_there(kills: int, tmp_path: Path) -> None:
    rng = random.Random(kills)
    whole = 0
    for kill in range(kills):
        folder = tmp_path / str(kill)
        folder.mkdir()
        with subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(rng.uniform(0.05, 0.3))
            writer.send_signal(signal.SIGKILL)
        for place in folder.iterdir():
            if place.suffix != ".draft":
                check_sums(place)
                assert (place / "a").read_bytes() == bytes([int(place.name) % 251]) * 200_000
                whole += 1
    assert whole


def test_what_a_killed_process_left_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "a.draft"
    left.mkdir()
    (left / "half").write_bytes(b"half")
    assert contents(seal(tmp_path / "a")) == CONTENT
    assert os.listdir(tmp_path) == ["a"]
    assert sorted(os.listdir(tmp_path / "a")) == sorted([*CONTENT, SUMS])
