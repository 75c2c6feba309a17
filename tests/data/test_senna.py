"""Files out of SENNA's archive, which lies in the cache already: nothing is fetched."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sample import senna_archive

from ner_lab.data.senna import senna_folder, spellings_of
from ner_lab.errors import UserError
from ner_lab.io.download import Download

DOWNLOAD = Download("https://example.org/senna-v3.0.tgz")
LISTS = {
    "senna/data/ner.msc.dat": b"\x01",
    "senna/hash/ner.loc.lst": b"oslo\n",
    "senna/hash/ner.msc.lst": b"finnish\n",
    "senna/hash/old-ner.loc.lst": b"other\n",
}


def test_wanted_files_leave_the_archive_whatever_their_order_in_it(tmp_path: Path) -> None:
    senna_archive(tmp_path, LISTS)
    folder = senna_folder(DOWNLOAD, ["hash/ner.loc.lst", "data/ner.misc.dat", "hash/ner.misc.lst"], tmp_path, "")
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == {"hash/ner.loc.lst": b"oslo\n", "data/ner.misc.dat": b"\x01", "hash/ner.misc.lst": b"finnish\n"}


def test_what_is_wanted_later_comes_out_of_the_same_archive_and_the_rest_stays(tmp_path: Path) -> None:
    path = senna_archive(tmp_path, LISTS)
    folder = senna_folder(DOWNLOAD, ["hash/ner.loc.lst"], tmp_path, "")
    (folder / "hash/ner.loc.lst").write_text("kept\n")
    senna_folder(DOWNLOAD, ["hash/ner.loc.lst", "hash/ner.misc.lst"], tmp_path, "")
    assert (folder / "hash/ner.loc.lst").read_text() == "kept\n"
    path.write_bytes(b"never read again")
    assert senna_folder(DOWNLOAD, ["hash/ner.misc.lst"], tmp_path, "") == folder


def test_an_archive_without_a_wanted_file_is_refused(tmp_path: Path) -> None:
    path = senna_archive(tmp_path, {"senna/hash/ner.loc.lst": b"oslo\n"})
    with pytest.raises(UserError, match=r"senna-v3\.0\.tgz: no hash/ner\.org\.lst in the archive\. Is it SENNA 3\.0\?"):
        senna_folder(DOWNLOAD, ["hash/ner.loc.lst", "hash/ner.org.lst"], tmp_path, "")
    assert list(path.parent.glob("senna/**/*.lst")) == []


def test_runs_that_unpack_at_once_all_find_the_files(tmp_path: Path) -> None:
    senna_archive(tmp_path, {f"senna/hash/{name}.lst": name.encode() * 5000 for name in "abcdefgh"})
    wanted = [f"hash/{name}.lst" for name in "abcdefgh"]
    with ThreadPoolExecutor(6) as pool:
        folders = list(pool.map(lambda _: senna_folder(DOWNLOAD, wanted, tmp_path, ""), range(6)))
    for folder in folders:
        assert [(folder / name).read_bytes()[:3].decode() for name in wanted] == [letter * 3 for letter in "abcdefgh"]


def test_only_the_list_of_other_names_has_two_spellings() -> None:
    assert spellings_of("hash/ner.misc.lst") == ("hash/ner.misc.lst", "hash/ner.msc.lst")
    assert spellings_of("hash/ner.loc.lst") == ("hash/ner.loc.lst",)
