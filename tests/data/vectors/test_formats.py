"""Files of word vectors: text and binary, plain and packed, complete and damaged."""

import gzip
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.vectors.formats import Rows, read_any, read_text, read_word2vec_binary
from ner_lab.errors import UserError

VECTORS = {"the": [0.5, -1.25, 3.0], "Zürich": [1e-3, 2.0, -0.125], ",": [7.0, 8.0, 9.0]}
TEXT = "the 0.5 -1.25 3.0\nZürich 1e-3 2.0 -0.125\n, 7 8 9\n".encode()
HEADER = b"3 3\n"


def binary(vectors: dict[str, list[float]], newline: bytes = b"\n") -> bytes:
    """As word2vec.c writes it: a blank after the word, a line break after the vector."""
    dim = len(next(iter(vectors.values())))
    rows = (word.encode() + b" " + struct.pack(f"<{dim}f", *numbers) + newline for word, numbers in vectors.items())
    return f"{len(vectors)} {dim}\n".encode() + b"".join(rows)


def written(folder: Path, name: str, content: bytes) -> Path:
    """The file under that name: packed if the name says so."""
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("vectors.txt", content)
    else:
        path.write_bytes(content)
    return path


def same(found: Rows, expected: dict[str, list[float]]) -> None:
    words, matrix = found
    assert words == list(expected)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, np.array(list(expected.values()), dtype=np.float32))


# complete files


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.txt.gz", "vectors.zip"])
@pytest.mark.parametrize("read", [read_text, read_any])
@pytest.mark.parametrize(
    "content",
    [TEXT, HEADER + TEXT, TEXT.replace(b" ", b"\t"), TEXT.replace(b"\n", b" \r\n"), TEXT.rstrip()],
    ids=["glove", "word2vec", "tabs", "blank and carriage return", "no last line break"],
)
def test_text_is_read_plain_and_packed_with_and_without_header(
    tmp_path: Path, name: str, read: Callable[..., Rows], content: bytes
) -> None:
    same(read(written(tmp_path, name, content), None), VECTORS)


@pytest.mark.parametrize("read", [read_text, read_any])
def test_only_wanted_words_are_kept_in_the_order_of_the_file(tmp_path: Path, read: Callable[..., Rows]) -> None:
    path = written(tmp_path, "vectors.txt", TEXT)
    same(read(path, {",", "the", "absent"}), {word: VECTORS[word] for word in ("the", ",")})


@pytest.mark.parametrize("content", [TEXT, binary(VECTORS)], ids=["text", "binary"])
def test_a_file_with_no_wanted_word_gives_no_rows_of_its_dimension(tmp_path: Path, content: bytes) -> None:
    words, matrix = read_any(written(tmp_path, "vectors", content), {"absent"})
    assert words == []
    assert matrix.shape == (0, 3)


def test_words_may_hold_blanks(tmp_path: Path) -> None:
    content = b"the 1 2 3\n. . . 4 5 6\nat name@domain.com 7 8 9\n1 2 3 4 5 6\n"
    expected = {"the": [1, 2, 3], ". . .": [4, 5, 6], "at name@domain.com": [7, 8, 9], "1 2 3": [4, 5, 6]}
    path = written(tmp_path, "vectors.txt", content)
    same(read_text(path, None), expected)
    same(read_text(path, {". . ."}), {". . .": [4, 5, 6]})


def test_words_may_look_like_blanks_or_numbers(tmp_path: Path) -> None:
    content = "\u00a0 1 2 3\n\u0085 4 5 6\n12 7 8 9\n".encode()
    same(read_text(written(tmp_path, "v", content), None), {"\u00a0": [1, 2, 3], "\u0085": [4, 5, 6], "12": [7, 8, 9]})


@pytest.mark.parametrize(
    "content",
    [b"a 1 2\nb 3 4\na 5 6\nb 7 8\n", b"4 2\na 1 2\nb 3 4\na 5 6\nb 7 8\n"],
    ids=["glove", "word2vec"],
)
def test_the_first_of_two_vectors_of_a_word_is_taken(tmp_path: Path, content: bytes) -> None:
    same(read_text(written(tmp_path, "vectors.txt", content), None), {"a": [1, 2], "b": [3, 4]})


def test_the_first_of_two_vectors_of_a_word_in_a_binary_is_taken(tmp_path: Path) -> None:
    rows = binary({"a": [1, 2]}).split(b"\n", 1)[1] + binary({"a": [5, 6], "b": [3, 4]}).split(b"\n", 1)[1]
    same(read_any(written(tmp_path, "vectors.bin", b"3 2\n" + rows), None), {"a": [1, 2], "b": [3, 4]})


def test_the_named_member_of_a_zip_with_several_is_read(tmp_path: Path) -> None:
    path = tmp_path / "glove.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("glove.6B/glove.2d.txt", "a 1 2\n")
        archive.writestr("glove.6B/glove.3d.txt", "a 1 2 3\n")
    same(read_text(path, None, member="glove.3d.txt"), {"a": [1, 2, 3]})
    same(read_text(path, None, member="glove.2d.txt"), {"a": [1, 2]})
    with pytest.raises(UserError, match=r"no 'glove\.5d\.txt' in the archive, which has glove\.6B/glove\.2d\.txt, "):
        read_text(path, None, member="glove.5d.txt")
    with pytest.raises(UserError, match=r"has 2 files \(.*\)\. Unpack the one you mean"):
        read_text(path, None)


def test_the_only_file_of_a_zip_is_read_whatever_its_name_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "vectors.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("folder")
        archive.writestr("folder/mine.txt", TEXT)
    same(read_text(path, None, member="glove.3d.txt"), VECTORS)
    same(read_any(path, None), VECTORS)


words_and_vectors = st.integers(2, 5).flatmap(
    lambda dim: st.dictionaries(
        st.text("aZé中.,-_'0129\u0085\u00a0", min_size=1, max_size=6),
        st.lists(st.floats(-1e4, 1e4, width=32), min_size=dim, max_size=dim),
        min_size=1,
        max_size=6,
    )
)


@given(vectors=words_and_vectors, packing=st.sampled_from(["", ".gz", ".zip"]), header=st.booleans())
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, vectors: dict[str, list[float]], packing: str, header: bool
) -> None:
    folder = tmp_path_factory.mktemp("vectors")
    lines = [" ".join([word, *map(repr, numbers)]) for word, numbers in vectors.items()]
    dim = len(next(iter(vectors.values())))
    text = "".join(line + "\n" for line in ([f"{len(lines)} {dim}"] if header else []) + lines)
    same(read_any(written(folder, "text" + packing, text.encode()), None), vectors)
    same(read_word2vec_binary(written(folder, "binary" + packing, binary(vectors)), None), vectors)


# damaged files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a 1 2 3\nb 4 5 6\nc 7 8\n", r":3: 2 numbers, but line 1 has 3\. Is the file complete\?"),
        (b"2 3\na 1 2 3\nb 4 5\n", r":3: 2 numbers, but line 2 has 3\. Is the file complete\?"),
        (b"a 1 2 3\n\nb 4 5 6\n", r":2: 0 numbers, but line 1 has 3\."),
        (b"a 1 2 3\nb 4 5 6\nlonely", r":3: 0 numbers, but line 1 has 3\."),
        (b"3 3\na 1 2 3\nb 4 5 6\n", r": 2 vectors, but the header declares 3\. Is the file complete\?"),
        (b"1,000 words\n", r":1: expected a word and its vector, got b'1,000 words"),
        (b"\n\n", r":1: expected a word and its vector, got b'"),
        (b"", r": the file has no vectors\."),
        (b"5 300\n", r": the file has no vectors\."),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_ragged_and_cut_off_text_is_refused_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = written(tmp_path, "vectors.txt", content)
    for wanted in (None, {"a"}):
        with pytest.raises(UserError, match=r"vectors\.txt" + message):
            read_text(path, wanted)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"b 4 five 6", "could not convert string to float.*five"),
        (b"b 4 nan 6", "a number is not finite"),
        (b"b 4 1e999 6", "a number is not finite"),
        (b"b 4  6", "2 numbers between 2 blanks"),
    ],
)
def test_a_damaged_number_is_refused_with_its_line_and_word(tmp_path: Path, row: bytes, reason: str) -> None:
    path = written(tmp_path, "vectors.txt", b"a 1 2 3\n" + row + b"\nc 7 8 9\n")
    with pytest.raises(UserError, match=rf"vectors\.txt:2: the vector of 'b' is damaged: .*{reason}"):
        read_text(path, None)
    same(read_text(path, {"a", "c"}), {"a": [1, 2, 3], "c": [7, 8, 9]})


def test_words_in_another_encoding_are_refused_with_their_line(tmp_path: Path) -> None:
    path = written(tmp_path, "vectors.txt", b"a 1 2\n" + "é 3 4\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"vectors\.txt:2: b'\\xe9' is not UTF-8"):
        read_text(path, None)


def test_a_binary_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    complete = binary(VECTORS)
    for size in range(len(HEADER), len(complete) - 1):
        with pytest.raises(UserError, match=r"Is the file complete|has no end"):
            read_word2vec_binary(written(tmp_path, "vectors.bin", complete[:size]), None)
    with pytest.raises(UserError, match=r"ends within vector 3 of 3"):
        read_any(written(tmp_path, "vectors.bin", complete[:-3]), {"the"})


def test_text_is_no_binary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not word2vec's binary format: it begins with b'the 0\.5"):
        read_word2vec_binary(written(tmp_path, "vectors.bin", TEXT), None)


@pytest.mark.parametrize("content", [TEXT * 50, binary(VECTORS) + bytes(5000)], ids=["text", "binary"])
@pytest.mark.parametrize("name", ["vectors.gz", "vectors.zip"])
def test_a_truncated_or_damaged_archive_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = written(tmp_path, name, content)
    packed = path.read_bytes()
    middle = packed.index(b"vectors.txt") + 11 if name.endswith(".zip") else 10  # after the archive's own header
    damaged = packed[:middle] + bytes(byte ^ 0xFF for byte in packed[middle : middle + 8]) + packed[middle + 8 :]
    for content in (packed[: len(packed) // 2], damaged):
        path.write_bytes(content)
        for read in (read_text, read_any):
            with pytest.raises(UserError, match=rf"{name}: the archive is damaged .*Download it again"):
                read(path, None)


@pytest.mark.parametrize("name", ["vectors.gz", "vectors.zip"])
@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_flipped_byte_within_an_archive_is_refused(tmp_path: Path, name: str, kind: str, place: float) -> None:
    numbers = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32).tolist()
    vectors = {f"word{row}": vector for row, vector in enumerate(numbers)}
    text = "".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in vectors.items())
    path = written(tmp_path, name, text.encode() if kind == "text" else binary(vectors))
    packed = bytearray(path.read_bytes())
    packed[int(place * len(packed))] ^= 0xFF
    path.write_bytes(packed)
    with pytest.raises(UserError, match=rf"{name}.*(damaged|Is the file complete|has no end|not UTF-8)"):
        (read_text if kind == "text" else read_word2vec_binary)(path, None)


def test_a_file_that_only_claims_to_be_packed_is_refused(tmp_path: Path) -> None:
    for name in ("vectors.gz", "vectors.zip"):
        path = tmp_path / name
        path.write_bytes(TEXT)
        with pytest.raises(UserError, match="the archive is damaged"):
            read_text(path, None)
