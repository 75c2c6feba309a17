"""Whatever writes a file leaves the old one or the new one, never a part: each writer on a disk that is full."""

import ast
import errno
import gzip
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sample import TRAIN, marked, senna_archive

import ner_lab
from ner_lab.cli.data import export
from ner_lab.data.encoding import EncodedSplit
from ner_lab.data.senna import senna_folder
from ner_lab.data.sentence import Sentence, Split
from ner_lab.errors import UserError
from ner_lab.evaluation.scoring import Scored
from ner_lab.io.download import Download, extract_gzip, extract_zip, fetch
from ner_lab.models.features.lexicon.entries import build_lexicon
from ner_lab.reporting.plots.style import Drawing, new_figure, page
from ner_lab.reporting.plots.style import write as write_plot
from ner_lab.tracking.wandb.tracker import ID_FILE, _run_id

ROOT = Path(ner_lab.__file__).parent
WRITES = {"write_text", "write_bytes", "savefig", "save", "dump", "to_csv", "tofile", "savez", "mkstemp"}
ALLOWED = {
    "io.atomic": "the way to write a file",
    "io.checksums": "a folder with its sums",
    "io.cache": "into a sealed folder",
    "data.vectors.store": "into a sealed folder",
    "io.download": "FILE.part, which is continued, and gets its name when its sum is right",
    "inference.output": "FILE.part, which is kept, and gets its name when all is written",
    "training.callbacks.progress_file": "replaced as a whole, not flushed: nothing depends on it",
    "runs.folder": "the lock",
    "runs.checkpoint": "through whole_file",
    "io.locks": "lock files, which hold nothing",
    "studies.process_pool": "the console of a job, which it appends to",
    "cli.main": "/dev/null",
    "cli.app": "/dev/null",
    "reporting.plots.style": "through whole_file",
    "cli.dashboard": "W&B's, by its own call",
}


def modes(node: ast.Call) -> list[str]:
    at = 0 if isinstance(node.func, ast.Attribute) else 1
    given = [*node.args[at : at + 1], *(word.value for word in node.keywords if word.arg == "mode")]
    return [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def writes(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name == "open":
        return any(set(mode) & set("wax+") for mode in modes(node)) or "O_WRONLY" in ast.unparse(node)
    return name in WRITES


def test_files_are_written_in_known_places_alone() -> None:
    found = set()
    for path in ROOT.rglob("*.py"):
        if any(writes(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
            found.add(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert found == ALLOWED.keys()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('path.open("w")', True),
        ('open(path, "wb")', True),
        ('path.open(mode="a", encoding="utf-8")', True),
        ("path.write_text('x')", True),
        ("np.save(path, array)", True),
        ("os.open(path, os.O_WRONLY)", True),
        ("path.open()", False),
        ('open("wax", "rb")', False),
        ('tracker.open(run, "why")', False),
        ("path.read_text()", False),
    ],
)
def test_what_writes_is_told_from_what_reads(code: str, expected: bool) -> None:
    assert any(writes(node) for node in ast.walk(ast.parse(code))) == expected


# each writer: writes the file, and gives its place


def predictions(folder: Path) -> Path:
    words = [sentence.words for sentence in marked(TRAIN)]
    tags = [sentence.tags() for sentence in marked(TRAIN)]

    class Words:
        def __len__(self) -> int:
            return len(words)

        def words_of(self, number: int) -> list[str]:
            return words[number]

    split: EncodedSplit = Words()  # type: ignore[assignment]
    Scored(split, tags, tags, {}).write(folder / "dev.conll")
    return folder / "dev.conll"


def exported(folder: Path) -> Path:
    sentences = [Sentence(one.words, one.tags()) for one in marked(TRAIN)]
    return export({"train": Split("train", "-", sentences, "IOB2")}, folder, "IOB2")[0]


def lexicon(folder: Path) -> Path:
    source = folder.parent / "names.txt"
    source.write_text("New Holm\n")
    build_lexicon([source], folder / "lexicon.txt")
    return folder / "lexicon.txt"


def plotted(folder: Path, suffix: str) -> Path:
    with page():
        figure = new_figure(1, 1)
        figure.add_subplot().plot([1, 2])
        return write_plot(Drawing("a", "title", "caption", figure), folder).svg.with_suffix(suffix)


def svg(folder: Path) -> Path:
    return plotted(folder, ".svg")


def identity(folder: Path) -> Path:
    _run_id(folder)
    return folder / ID_FILE


def unzipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder.parent / "a.zip", "w") as archive:
        archive.writestr("in/a.txt", "York O\n" * 999)
    return extract_zip(folder.parent / "a.zip", "a.txt", folder / "a.txt", "hint")


def gunzipped(folder: Path) -> Path:
    (folder.parent / "a.gz").write_bytes(gzip.compress(b"York O\n" * 999))
    return extract_gzip(folder.parent / "a.gz", folder / "a.txt", "hint")


def of_senna(folder: Path) -> Path:
    cache = folder.parent
    if not (cache / "vectors").exists():
        senna_archive(cache, {"senna/hash/words.lst": b"the\n"})
    return (
        senna_folder(Download("https://nowhere/senna-v3.0.tgz"), ["hash/words.lst"], cache, "hint") / "hash/words.lst"
    )


WRITERS = [predictions, exported, lexicon, svg, identity, unzipped, gunzipped, of_senna]
OVER_THE_OLD = [predictions, exported, lexicon, svg]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_none(
    write: Callable[[Path], Path], call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = tmp_path / "new"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left") as raised:
            write(folder)
    before = files(tmp_path)
    assert not [name for name in before if name.startswith("new/") or name.endswith("words.lst") or "draft" in name]
    target = write(folder)
    assert raised.value.filename == str(target)
    assert set(files(tmp_path)) - set(before) >= {str(target.relative_to(tmp_path))}


@pytest.mark.parametrize("write", OVER_THE_OLD)
def test_a_full_disk_leaves_the_old_file(
    write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = tmp_path / "new"
    folder.mkdir()
    target = write(folder)
    target.write_text("old")
    before = files(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(folder)
    assert files(tmp_path) == before


def test_a_picture_is_whole_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plotted(tmp_path, ".png").read_bytes().startswith(b"\x89PNG")
    whole = (tmp_path / "a.png").read_bytes()
    real, calls = os.fsync, iter(range(100))

    def full_behind_the_first(descriptor: int) -> None:
        if next(calls) > 1:  # the SVG and its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_behind_the_first)
    with pytest.raises(OSError, match="No space left") as raised:
        plotted(tmp_path, ".png")
    assert raised.value.filename == str(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == ["a.png", "a.svg"]


def test_a_full_disk_while_fetching_is_no_matter_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(url: str, part: Path, progress: object) -> None:
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ner_lab.io.download._transfer", full)
    with pytest.raises(OSError, match="No space left") as raised:
        fetch(Download("https://nowhere/a.txt"), tmp_path, "hint")
    assert not isinstance(raised.value, UserError)
    assert raised.value.filename == str(tmp_path / "a.txt.part")
    assert (tmp_path / "a.txt.part").read_bytes() == b"half"
    assert not (tmp_path / "a.txt").exists()


def test_what_is_fetched_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    monkeypatch.setattr("ner_lab.io.download._transfer", lambda url, part, progress: part.write_bytes(b"all"))
    target = fetch(Download("https://nowhere/a.txt"), tmp_path, "hint")
    assert target.read_bytes() == b"all"
    assert flushed == [str(tmp_path / "a.txt.part"), str(tmp_path)]
    assert not (tmp_path / "a.txt.part").exists()
