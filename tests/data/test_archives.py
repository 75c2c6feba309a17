"""Archives from strangers: what comes out of them goes where we say, and comes to an end."""

import gzip
import hashlib
import io
import random
import tarfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ner_lab.data.senna import _unpack
from ner_lab.data.vectors.formats import read_text
from ner_lab.errors import UserError
from ner_lab.io import archives as unpacking
from ner_lab.io import download as fetching
from ner_lab.io.archives import bounded
from ner_lab.io.download import Download, extract_gzip, extract_zip, fetch

HINT = "Give data.dir=FOLDER."


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs of a size for tests."""
    monkeypatch.setattr(unpacking, "_SMALL", 100_000)


def zipped(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def packed(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name",
    [
        "../../eng.train",
        "/etc/eng.train",
        "a/../../../eng.train",
        "C:\\evil\\eng.train/eng.train",
        "./eng.train",
        "\\\\host\\share/eng.train",
    ],
)
def test_a_member_lands_where_we_say_whatever_it_calls_itself(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    archive = zipped(tmp_path / "x.zip", [(name, b"words")])
    extract_zip(archive, "eng.train", folder / "eng.train", HINT)
    assert (folder / "eng.train").read_bytes() == b"words"
    assert files_below(tmp_path) == {"x.zip", "a/b/c/eng.train"}


def test_a_member_that_says_it_is_a_link_is_a_file(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("eng.train")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    target = extract_zip(tmp_path / "x.zip", "eng.train", tmp_path / "eng.train", HINT)
    assert not target.is_symlink()
    assert target.read_text() == "/etc/passwd"


def test_of_two_members_of_a_name_the_first_is_taken(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [("a/eng.train", b"first"), ("b/eng.train", b"second")])
    assert extract_zip(archive, "eng.train", tmp_path / "eng.train", HINT).read_bytes() == b"first"


def test_of_two_members_of_one_path_the_first_is_taken(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        archive = zipped(tmp_path / "x.zip", [("a/v.txt", b"a 1 2\n"), ("a/v.txt", b"b 3 4\n")])
    assert extract_zip(archive, "v.txt", tmp_path / "v.txt", HINT).read_bytes() == b"a 1 2\n"
    assert read_text(archive, None)[0] == ["a"]


def test_a_folder_of_the_name_is_not_taken_for_the_file(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [("eng.train/", b""), ("eng.train/eng.train", b"words")])
    assert extract_zip(archive, "eng.train", tmp_path / "eng.train", HINT).read_bytes() == b"words"
    only = zipped(tmp_path / "y.zip", [("eng.testa/", b""), ("README", b"")])
    with pytest.raises(UserError, match=r"no 'eng\.testa' in the archive, which has README"):
        extract_zip(only, "eng.testa", tmp_path / "eng.testa", HINT)


@pytest.mark.parametrize("name", ["eng.train ", "ENG.TRAIN", "eng.train\\", "eng.train:stream", "a\\eng.train"])
def test_a_name_that_only_resembles_the_one_wanted_is_not_taken(name: str, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [(name, b"words")])
    with pytest.raises(UserError, match=r"no 'eng\.train' in the archive"):
        extract_zip(archive, "eng.train", tmp_path / "eng.train", HINT)
    assert files_below(tmp_path) == {"x.zip"}


def test_an_archive_within_an_archive_stays_packed(tmp_path: Path) -> None:
    inner = gzip.compress(b"York B-LOC\n")
    assert extract_gzip(packed(tmp_path / "x.gz", inner), tmp_path / "t", HINT).read_bytes() == inner
    with pytest.raises(UserError, match="gzip"):
        read_text(packed(tmp_path / "v.txt.gz", inner), None)


def test_an_empty_file_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x.gz").touch()
    with pytest.raises(UserError, match=r"x\.gz: it is empty\. Delete the file"):
        extract_gzip(tmp_path / "x.gz", tmp_path / "t", HINT)
    with pytest.raises(UserError, match=r"x\.gz: the archive is damaged \(it is empty\)"):
        read_text(tmp_path / "x.gz", None)
    assert files_below(tmp_path) == {"x.gz"}


BOMB = b"\0" * 20_000_000


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9, 97])
def test_what_python_would_unpack_without_an_end_is_not_unpacked(method: int, tmp_path: Path) -> None:
    """Of bzip2 and LZMA it takes all that comes of 64 KB at once, and that may be gigabytes."""
    archive = zipped(tmp_path / "x.zip", [("t", BOMB)], method if method in (12, 14) else zipfile.ZIP_DEFLATED)
    content = archive.read_bytes()
    begin = content.rindex(b"PK\1\2")
    archive.write_bytes(content[: begin + 10] + method.to_bytes(2, "little") + content[begin + 12 :])
    tracemalloc.start()
    for unpack in (lambda: extract_zip(archive, "t", tmp_path / "t", HINT), lambda: read_text(archive, None)):
        with pytest.raises(UserError, match=rf"x\.zip: t is packed by method {method}\. Unpack it with another"):
            unpack()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert files_below(tmp_path) == {"x.zip"}


def test_a_member_that_says_it_is_too_large_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path / "x.zip", [("t", BOMB)])
    assert archive.stat().st_size < 20_000
    monkeypatch.setattr(fetching, "whole_file", None)
    monkeypatch.setattr(unpacking, "_TIMES", 1000)
    with pytest.raises(UserError, match=rf"unpack to more than {1000 * archive.stat().st_size:,}, too much .* {HINT}"):
        extract_zip(archive, "t", tmp_path / "t", HINT)


def test_however_large_the_archive_there_is_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = random.Random(0).randbytes(1_000_000)
    archive = packed(tmp_path / "x.gz", content)
    monkeypatch.setattr(unpacking, "_MOST", 999_999)
    with pytest.raises(UserError, match=r"x\.gz: 1,000,\d+ bytes that unpack to more than 999,999, too much"):
        extract_gzip(archive, tmp_path / "t", HINT)
    monkeypatch.setattr(unpacking, "_MOST", 1_000_000)
    assert extract_gzip(archive, tmp_path / "t", HINT).read_bytes() == content


def test_what_is_unpacked_has_the_sum_of_what_was_published(tmp_path: Path) -> None:
    """The sum is asked for each time, so nothing of an archive that is another now is unpacked."""
    archive = zipped(tmp_path / "x.zip", [("train.txt", b"Oslo B-LOC\n")])
    download = Download("https://example.org/x.zip", f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}")
    assert fetch(download, tmp_path, HINT) == archive
    zipped(archive, [("train.txt", b"Oslo B-ORG\n")])
    with pytest.raises(UserError, match=r"x\.zip: its sha256 is .*another file\. Delete it"):
        fetch(download, tmp_path, HINT)


@pytest.mark.parametrize(
    "unpack",
    [
        lambda folder: extract_zip(zipped(folder / "x.zip", [("t", BOMB)]), "t", folder / "t", HINT),
        lambda folder: extract_gzip(packed(folder / "x.gz", BOMB), folder / "t", HINT),
        lambda folder: read_text(packed(folder / "x.txt.gz", b"a 1 2\n" * 4_000_000), None),
        lambda folder: read_text(zipped(folder / "x.zip", [("v.txt", b"a 1 2\n" * 4_000_000)]), None),
        lambda folder: read_text(packed(folder / "x.txt.gz", b"x" * 20_000_000), None),
    ],
)
def test_a_bomb_is_stopped_and_leaves_nothing(unpack: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.[a-z.]+:"):
        unpack(tmp_path)
    assert len(files_below(tmp_path)) == 1


def test_an_archive_that_lies_about_sizes_is_found_out(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [("t", b"words " * 1000)])
    content = archive.read_bytes()
    true, lie = (6000).to_bytes(4, "little"), (60).to_bytes(4, "little")
    assert content.count(true) >= 2
    archive.write_bytes(content.replace(true, lie))
    with pytest.raises(UserError, match=r"x\.zip"):
        extract_zip(archive, "t", tmp_path / "t", HINT)
    assert files_below(tmp_path) == {"x.zip"}


def test_an_honest_archive_passes_as_it_is(tmp_path: Path) -> None:
    content = "".join(f"word{number} B-PER\n" for number in range(50_000)).encode()
    assert len(content) > 100_000
    archive = packed(tmp_path / "x.gz", content)
    assert extract_gzip(archive, tmp_path / "t", HINT).read_bytes() == content
    with gzip.open(archive) as source:
        lines = bounded(source, archive)
        assert lines.readline() == b"word0 B-PER\n"
        assert lines.read() == content[12:]


def tarred(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "members",
    [
        [("senna/hash/ner.loc.lst", BOMB)],
        [("senna/other", BOMB), ("senna/hash/ner.loc.lst", b"Oslo\n")],
        [("senna/hash/ner.loc.lst", b"Oslo\n"), ("senna/other", BOMB)],
    ],
)
def test_a_bomb_among_lexicons_is_stopped(members: list[tuple[str, bytes]], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"senna\.tgz: .* unpack to more than [0-9,]+, too much"):
        _unpack(tarred(tmp_path / "senna.tgz", members), tmp_path / "out", ["hash/ner.loc.lst"])
    assert files_below(tmp_path / "out") == set()


def test_a_file_of_holes_among_lexicons_takes_no_memory(tmp_path: Path) -> None:
    """Tar can say that a file is a terabyte of zeros, and hold none of them."""
    sparse = tarfile.TarInfo("senna/hash/ner.loc.lst")
    sparse.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"%011o\0" % (1 << 32)  # what it is as a file
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    archive = tmp_path / "senna.tgz"
    archive.write_bytes(gzip.compress(bytes(header) + bytes(10240)))
    with tarfile.open(archive) as tar:
        (member,) = tar.getmembers()
    assert member.issparse()
    assert member.size == 1 << 32
    with pytest.raises(UserError, match=r"senna\.tgz: no hash/ner\.loc\.lst in the archive"):
        _unpack(archive, tmp_path / "out", ["hash/ner.loc.lst"])


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_what_is_no_plain_file_of_a_tar_is_not_taken(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "senna.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("senna/hash/ner.loc.lst")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(UserError, match=r"no hash/ner\.loc\.lst in the archive"):
        _unpack(tmp_path / "senna.tgz", tmp_path / "out", ["hash/ner.loc.lst"])
    assert files_below(tmp_path) == {"senna.tgz"}


def test_names_upon_names_in_a_tar_are_an_error(tmp_path: Path) -> None:
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 1
    (tmp_path / "senna.tgz").write_bytes(gzip.compress((long_name.tobuf() + bytes(512)) * 20_000))
    with pytest.raises(UserError, match=r"senna\.tgz: .* Delete the file"):
        _unpack(tmp_path / "senna.tgz", tmp_path / "out", ["hash/ner.loc.lst"])


LINES = b"the 1 2 3\nof 3 4 5\n" * 20


def tar_of(form: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=form) as tar:
        for name in ("senna/a" * 20, "senna/hash/ner.loc.lst"):
            info = tarfile.TarInfo(name)
            info.size = len(LINES)
            tar.addfile(info, io.BytesIO(LINES))
    return content.getvalue()


def changed(content: bytes, rng: random.Random) -> bytes:
    """Some bytes are turned, set, left out or put in."""
    letters = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place, how = rng.randrange(len(letters)), rng.randrange(10)
        if how < 4:
            letters[place] ^= 1 << rng.randrange(8)
        elif how < 8:
            letters[place] = rng.choice((0, 127, 128, 255, rng.randrange(256)))
        elif how < 9:
            del letters[place : place + rng.randrange(1, 20)]
        else:
            letters[place:place] = rng.randbytes(rng.randrange(1, 9))
    return bytes(letters) or b"x"


@pytest.mark.parametrize("cases", [120, pytest.param(3_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", ["zip", "vectors.zip", "gz", "vectors.gz", "tar"])
def test_a_changed_archive_gives_what_it_held_or_one_of_our_errors(kind: str, cases: int, tmp_path: Path) -> None:
    rng = random.Random(cases)
    target = tmp_path / "out"
    zips = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        members = [("x/README", b"about"), ("x/t", LINES)][kind == "vectors.zip" :]
        zips.append(zipped(tmp_path / "made.zip", members, method).read_bytes())
    tars = [tar_of(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    (tmp_path / "made.zip").unlink()
    archive = tmp_path / kind
    for _ in range(cases):
        with suppress(UserError):
            if kind == "tar":
                archive.write_bytes(gzip.compress(changed(rng.choice(tars), rng), 1))
                _unpack(archive, target, ["hash/ner.loc.lst"])  # its sum is that of what was changed
            elif kind.endswith("zip"):
                archive.write_bytes(changed(rng.choice(zips), rng))
                if kind == "zip":
                    assert extract_zip(archive, "t", target, HINT).read_bytes() == LINES
                else:
                    assert read_text(archive, None)[0] == ["the", "of"]
            else:
                archive.write_bytes(changed(gzip.compress(LINES), rng))
                if kind == "gz":
                    assert extract_gzip(archive, target, HINT).read_bytes() == LINES
                else:
                    assert read_text(archive, None)[0] == ["the", "of"]
        assert files_below(tmp_path) <= {kind, "out", "out/hash/ner.loc.lst"}
        if target.is_file():
            target.unlink()


def test_lines_without_an_end_take_no_more_memory_than_the_longest_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tmp_path / "v.txt.gz", b"word 1 2\n" + b"7" * 9_000_000)
    monkeypatch.setattr(unpacking, "_SMALL", 100_000_000)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"v\.txt\.gz:2: the line has 4,194,304 bytes or more"):
        read_text(archive, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000_000
