"""Archives from strangers: what comes out of them goes where we say, and comes to an end."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ner_lab.data import unpacking
from ner_lab.data.fetch import extract_gzip, extract_zip
from ner_lab.data.unpacking import bounded
from ner_lab.errors import UserError
from ner_lab.word_embedding.formats import read_text

HINT = "Give data.dir=FOLDER."


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs of a size for tests."""
    monkeypatch.setattr(unpacking, "_SMALL", 100_000)


def zipped(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
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


BOMB = b"\0" * 20_000_000


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
    from ner_lab.data.senna import _unpack

    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"senna\.tgz: .* unpack to more than [0-9,]+, as"):
        _unpack(tarred(tmp_path / "senna.tgz", members), tmp_path / "out", ["hash/ner.loc.lst"])
    assert files_below(tmp_path / "out") == set()
