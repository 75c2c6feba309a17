"""Sealed folders: whole or not there, and no change of a file goes unseen."""

import hashlib
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

from ner_lab.io.checksums import SUMS, Damaged, check_sums, read_sealed, sealed_folder, sum_of

BLOCK, ROW = 1 << 20, 2048
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


# sums


def plainly(content: bytes) -> str:
    """The sum, a number at a time."""
    digest = hashlib.sha256()
    for begin in range(0, len(content), BLOCK):
        block = content[begin : begin + BLOCK]
        rows = [
            [int.from_bytes(block[at : at + 8], "little") for at in range(row, row + ROW, 8)]
            for row in range(0, len(block) - ROW + 1, ROW)
        ]
        columns = [sum(column) for column in zip(*rows, strict=True)] or [0] * (ROW // 8)
        for total in [*columns, *map(sum, rows)]:
            digest.update((total % 2**64).to_bytes(8, "little"))
        digest.update(block[len(rows) * ROW :])
    digest.update(len(content).to_bytes(8, "little"))
    return digest.hexdigest()


@pytest.mark.parametrize("size", [0, 1, 7, 2047, 2048, 2049, 5000, BLOCK - 1, BLOCK, BLOCK + 2051])
def test_a_sum_is_that_of_rows_and_columns_added_up(size: int, tmp_path: Path) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "a").write_bytes(content)
    assert sum_of(tmp_path / "a") == plainly(content)


def one_bit(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def one_byte(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)


def three_words(content: bytearray, rng: random.Random) -> None:
    """The highest bit of three words in a row or a column: what cancels out where it can."""
    step = rng.choice([8, ROW])
    at = rng.randrange(0, len(content) - 3 * ROW, 8)
    for place in (at, at + step, at + 2 * step)[: rng.randrange(1, 4)]:
        content[place + 7] ^= 128


def two_bits_that_cancel_in_a_sum(content: bytearray, rng: random.Random) -> None:
    at, bit = rng.randrange(len(content) - ROW), 1 << rng.randrange(8)
    other = at + rng.choice([8, ROW])
    if (content[at] ^ content[other]) & bit:
        content[at] ^= bit
        content[other] ^= bit
    else:
        content[at] ^= bit


def a_page_of_zeros(content: bytearray, rng: random.Random) -> None:
    at = 512 * rng.randrange(len(content) // 512)
    content[at : at + 4096] = bytes(len(content[at : at + 4096]))


def two_rows_exchanged(content: bytearray, rng: random.Random) -> None:
    one, other = (ROW * place for place in rng.sample(range(len(content) // ROW), 2))
    content[one : one + ROW], content[other : other + ROW] = content[other : other + ROW], content[one : one + ROW]


def cut_short(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def zeros_behind_it(content: bytearray, rng: random.Random) -> None:
    content.extend(bytes(rng.choice([1, 8, ROW, 4096])))


@pytest.mark.parametrize("times", [25, pytest.param(500, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "change",
    [
        *(one_bit, one_byte, three_words, two_bits_that_cancel_in_a_sum),
        *(a_page_of_zeros, two_rows_exchanged, cut_short, zeros_behind_it),
    ],
)
def test_no_change_goes_unseen(change: Callable[[bytearray, random.Random], None], times: int, tmp_path: Path) -> None:
    rng = random.Random(change.__name__)
    for _ in range(times):
        content = rng.randbytes(rng.choice([10_000, 40_961]))
        (tmp_path / "a").write_bytes(content)
        before = sum_of(tmp_path / "a")
        changed = bytearray(content)
        change(changed, rng)
        assert changed != content
        (tmp_path / "a").write_bytes(changed)
        assert sum_of(tmp_path / "a") != before


# folders


def test_a_folder_gets_its_name_when_all_of_it_is_written(tmp_path: Path) -> None:
    with sealed_folder(tmp_path / "a") as draft:
        fill(draft)
        assert not (tmp_path / "a").exists()
    assert os.listdir(tmp_path) == ["a"]
    assert sorted(os.listdir(tmp_path / "a")) == sorted([*CONTENT, SUMS])
    check_sums(tmp_path / "a", CONTENT)
    assert read_sealed(tmp_path / "a", CONTENT, contents) == CONTENT


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
    assert read_sealed(tmp_path / "a", CONTENT, contents, held=True) is None


def test_a_damaged_folder_is_named_and_removed_by_whoever_holds_its_lock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = seal(tmp_path / "a")
    (place / "a.bin").write_bytes(b"\1" + CONTENT["a.bin"][1:])
    with caplog.at_level(logging.WARNING):
        assert read_sealed(place, CONTENT, contents) is None
        assert place.exists()
        assert not caplog.records
        assert read_sealed(place, CONTENT, contents, held=True) is None
    assert f"{place} is damaged (a.bin has not the sum that sums.json tells)" in caplog.text
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("missing", [*CONTENT, SUMS])
def test_a_file_that_is_missing_is_named(missing: str, tmp_path: Path) -> None:
    place = seal(tmp_path / "a")
    (place / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        check_sums(place, CONTENT)


def test_sums_of_other_files_are_none(tmp_path: Path) -> None:
    place = seal(tmp_path / "a")
    with pytest.raises(Damaged, match=SUMS):
        check_sums(place, [*CONTENT, "c"])
    with pytest.raises(Damaged, match=SUMS):
        check_sums(place, ["a.bin"])


def test_a_disk_that_cannot_read_is_an_error_and_the_folder_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = seal(tmp_path / "a")

    def broken(path: Path) -> str:
        raise OSError(5, os.strerror(5), str(path))

    monkeypatch.setattr("ner_lab.io.checksums.sum_of", broken)
    with caplog.at_level(logging.WARNING):
        assert read_sealed(place, CONTENT, contents, held=True) is None
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
                check_sums(place, ("a", "b"))
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
