"""What must hold of any bytes: a reader raises UserError or gives what can be written and read again.

A target takes the bytes to read; the first of them choose the settings. Any other exception, and any
`AssertionError`, is a finding. Shared by `test_fuzz_data.py` and `fuzz_with_atheris.py`.
"""

import contextlib
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from ner_lab.data.readers.conll import ColumnFormat, read_split, sentences_of, write_columns
from ner_lab.data.readers.markup import read_markup
from ner_lab.data.readers.recognition import FIRST_LINES, recognise
from ner_lab.data.sentence import DOCSTART, Sentence
from ner_lab.data.tags import (
    SCHEMES,
    as_iob,
    as_written,
    check_scheme,
    convert,
    detect_scheme,
    follows,
    is_proper,
    spans_of,
    split_tag,
)
from ner_lab.data.vectors.formats import is_binary, read_any, read_text, text_blocks
from ner_lab.errors import UserError
from ner_lab.inference import chunks
from ner_lab.inference.batch_tagger import BatchTagger
from ner_lab.inference.chunks import ChunkReader
from ner_lab.inference.text_formats import INPUT_FORMATS, OUTPUT_FORMATS
from ner_lab.inference.worker import ChunkWorker
from ner_lab.models.features.lexicon.entries import build_entries, read_entries
from ner_lab.models.features.lexicon.matching import find_matches, fragments_of, without_overlaps
from ner_lab.models.word_embedding.senna import Senna


@contextlib.contextmanager
def placed(name: str, content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


def choices_of(content: bytes) -> tuple[list[int], bytes]:
    """Four small numbers, and what is left to read."""
    head = content[:4].ljust(4, b"\0")
    return list(head), content[4:]


def well_worded(error: UserError, names: object) -> None:
    """It says where, and does not pour out what it found there."""
    assert str(names) in str(error)
    assert len(str(error)) < 1000


def conll(content: bytes) -> None:
    """The reader of columns."""
    (separator, tag, others, docstart), content = choices_of(content)
    columns = ColumnFormat(
        tag=(-1, 1, 3, None)[tag % 4],
        others={"pos": 1} if others % 3 == 2 else {},
        separator=("auto", "tab", "space", "any")[separator % 4],
        docstart=("drop", "keep")[docstart % 2],
    )
    with placed("some.conll", content) as path:
        try:
            split = read_split("train", path, columns)
        except UserError as error:
            well_worded(error, path)
            return
    _read_again(split.sentences)


def markup(content: bytes) -> None:
    """The reader of the built-in corpus."""
    with placed("some.txt", content) as path:
        try:
            split = read_markup("train", path)
        except UserError as error:
            well_worded(error, path)
            return
    _read_again(split.sentences)


def _read_again(sentences: list[Sentence]) -> None:
    sentences = [sentence for sentence in sentences if DOCSTART not in sentence.words]  # marks no words can be written
    out = io.StringIO()
    write_columns(out, [[sentence.words, sentence.tags] for sentence in sentences])
    again = list(sentences_of(out.getvalue().split("\n"), ColumnFormat(), "written"))
    written = [[word.replace(" ", "_").replace("\t", "_") for word in sentence.words] for sentence in sentences]
    assert written == [sentence.words for sentence in again]
    assert [sentence.tags for sentence in sentences] == [sentence.tags for sentence in again]
    for sentence in sentences:
        assert all(sentence.words)
        _schemes_agree(sentence.tags)


def tags(content: bytes) -> None:
    """Recognition of schemes, and conversion: ValueError is what they declare."""
    names = content.decode(errors="replace").split()
    for name in names:
        with contextlib.suppress(ValueError):
            letter, kind = split_tag(name)
            assert name == (f"{letter}-{kind}" if kind else letter)
        with contextlib.suppress(UserError):
            assert check_scheme(name) in SCHEMES
    for call in (spans_of, as_iob, lambda tags: detect_scheme([tags])):
        with contextlib.suppress(ValueError):
            call(names)
    proper = []
    for name in names:
        with contextlib.suppress(ValueError):
            split_tag(name)
            proper.append(name)
    _schemes_agree(proper)


def _schemes_agree(tags: list[str]) -> None:
    spans = spans_of(tags)
    with contextlib.suppress(ValueError):
        assert detect_scheme([tags]) in SCHEMES
    for scheme in SCHEMES:
        written = convert(tags, scheme)
        assert is_proper(written, scheme)
        assert scheme == "IO" or spans_of(written) == spans
        assert spans_of(as_written(tags, scheme)) == spans
        assert is_proper(tags, scheme) == all(
            follows(before, after, scheme) for before, after in zip(["O", *tags], [*tags, "O"], strict=True)
        )


def lexicon(content: bytes) -> None:
    """The reader of lexicons and gazetteers, and the matching with what it read."""
    (raw, whole_only, matching, single), content = choices_of(content)
    with placed("some.lst", content) as path:
        path.with_suffix(".dat").write_bytes(b"\1" * len(content.split(b"\n")) if single % 2 else b"\1\0\1")
        try:
            entries = read_entries(path, raw=bool(raw % 2), whole_only=bool(whole_only % 2))
        except UserError as error:
            well_worded(error, path.parent)
            return
        path.write_text("\n".join(entries) + "\n", encoding="utf-8-sig", newline="")
        assert read_entries(path, raw=False, whole_only=False) == entries
    assert all(entry == " ".join(entry.split()) for entry in entries)
    build_entries(entries)
    method = ("exact", "partial", "collobert")[matching % 3]
    fragments = fragments_of(entries, matching=method, single_token_partial=bool(single % 2))
    for entry in entries[:5]:
        matches = find_matches(entry.split(" "), fragments)
        assert any(match.start == 0 and match.end == entry.count(" ") + 1 for match in matches)
        assert without_overlaps(matches)


def vectors(content: bytes) -> None:
    """The readers of vectors: quick and careful ones agree."""
    (kind, one, two, _), content = choices_of(content)
    name = ("some.txt", "some.gz", "some.zip", "some.bin", "packed.gz", "senna.txt")[kind % 6]
    if name == "packed.gz":
        content = gzip.compress(content)
    with placed(name, content) as path:
        if name == "senna.txt":
            _senna(path, one)
            return
        wanted = None if one % 2 else {"the", "Oslo", chr(two)}
        try:
            words, matrix = read_any(path, wanted)
        except UserError as error:
            well_worded(error, path)
            words = None
        if name == "some.txt" and not (binary := is_binary(path)):
            _same_in_blocks(path)
    if words is None:
        return
    assert matrix.dtype == np.float32
    assert len(words) == len(set(words)) == len(matrix)
    assert np.isfinite(matrix).all()
    if name == "some.txt" and not binary and len(words):
        rows = [("first", np.zeros(matrix.shape[1])), *zip(words, matrix, strict=True)]
        text = "".join(f"{word} {' '.join(map(repr, row.tolist()))}\n" for word, row in rows)
        with placed("again.txt", text.encode()) as path:
            again, numbers = read_text(path, None)
        assert list(dict.fromkeys(["first", *words])) == again
        if "first" not in words:
            np.testing.assert_array_equal(numbers[1:], matrix)


def _same_in_blocks(path: Path) -> None:
    try:
        with path.open("rb") as file:
            blocks = list(text_blocks(file, path))
    except UserError:
        return
    try:
        words, matrix = read_text(path, None)
    except UserError:
        letters = b"".join(word for words, _ in blocks for word in words)
        assert letters.decode(errors="ignore").encode() != letters  # blocks hold bytes, which `store` decodes
        return
    rows = dict(
        zip(
            reversed(list(chain(*(words for words, _ in blocks)))),
            reversed(np.concatenate([v for _, v in blocks])),
            strict=True,
        )
    )
    assert {word.decode() for word in rows} == set(words)
    for word, row in zip(words, matrix, strict=True):
        np.testing.assert_array_equal(rows[word.encode()], row)


def _senna(path: Path, lines: int) -> None:
    word_list = path.with_name("words.lst")
    number = len(path.read_bytes().rstrip(b"\n").split(b"\n")) if lines % 4 else lines
    word_list.write_text("".join(f"word{row}\n" for row in range(number)))
    senna = Senna(path=str(path), words=None, url="", trainable=True, lookup=["exact"], min_coverage=0.0)
    try:
        words, matrix = senna.rows(path, None)
    except UserError as error:
        well_worded(error, path.parent)
        return
    assert len(words) == len(matrix)
    assert np.isfinite(matrix).all()


def predict(content: bytes, labeller: BatchTagger) -> None:
    """What `ner-lab predict` does with an input."""
    (given, written, small, _), content = choices_of(content)
    usual = chunks._SMALLEST, chunks._LARGEST
    if small % 2:
        chunks._SMALLEST, chunks._LARGEST = 16, 64
    try:
        _predict(content, labeller, given, list(OUTPUT_FORMATS)[written % 3])
    finally:
        chunks._SMALLEST, chunks._LARGEST = usual


def _predict(content: bytes, labeller: BatchTagger, given: int, output_format: str) -> None:
    feed = ChunkReader(io.BytesIO(content))
    form = [*INPUT_FORMATS, "auto"][given % 5]
    read = INPUT_FORMATS[recognise("some", feed.look_ahead(FIRST_LINES)).kind if form == "auto" else form]
    work = ChunkWorker(labeller, read, OUTPUT_FORMATS[output_format], "some")
    written, failed = "", False
    try:
        feed.cut(blocks=read.blocks, head=work.head)
        while (chunk := feed.take()) is not None:
            done = work(chunk)
            written += done.text
            if done.error is not None:
                raise done.error
    except UserError as error:
        failed = True
        well_worded(error, "some:")
    written.encode()
    if output_format == "jsonl":
        for line in written.split("\n")[:-1]:
            item = json.loads(line)
            assert len(item["tokens"]) == len(item["tags"])
            spans_of(item["tags"])
    if output_format == "conll":
        for block in filter(None, written.split("\n\n")):
            rows = [row.split(" ") for row in block.split("\n")]
            assert {len(row) for row in rows} == {2}
            spans_of([tag for _, tag in rows])
    if output_format == "text" and read is INPUT_FORMATS["text"] and not failed:
        unmarked = content.decode("utf-8-sig").replace("\r", "").rstrip("\n")
        assert len(written) >= len(unmarked)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "conll": conll,
    "markup": markup,
    "lexicon": lexicon,
    "vectors": vectors,
    "tags": tags,
}
"""Those that need nothing beside the bytes."""
