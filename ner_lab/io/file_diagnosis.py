"""Say what a missing or unreadable file is instead. Called only once an error is certain."""

import os
import re
from pathlib import Path

from ner_lab.errors import nearest, shown

_UNPACK = "Unpack it first, for instance: "
_EXPORT = "Export it as a text file first"
_TO_VECTORS = "Write its vectors as text, a word and its numbers on each line"
_LOAD_FROM = "with datasets.{} of Hugging Face; write words and tags as columns"
_BEGINNINGS = (
    (b"PAR1", "it is a Parquet file", "Read it " + _LOAD_FROM.format("load_dataset('parquet', ...)")),
    (b"ARROW1\0\0", "it is an Arrow file", "Read it " + _LOAD_FROM.format("Dataset.from_file")),
    (b"\xff\xff\xff\xff", "it is an Arrow stream", "Read it " + _LOAD_FROM.format("Dataset.from_file")),
    (b"\xba\x16\x4f\x2f", "it is a model of fastText", _TO_VECTORS + " (the .vec file beside it has them)"),
    (b"\x93NUMPY", "it is a NumPy array, which has no words", _TO_VECTORS),
    (b"SQLite format 3\0", "it is an SQLite database (vectors of Magnitude are)", _TO_VECTORS),
    (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file", _EXPORT),
    *(
        (start, "it is a compressed spaCy file (.spacy), or other zlib data", "Write its documents as columns")
        for start in (b"x\x01", b"x\x9c", b"x\xda")
    ),
    *(
        (b"\x80" + bytes([protocol]), "it is a Python pickle (models of gensim and torch are)", _EXPORT)
        for protocol in (2, 3, 4, 5)
    ),
    (b"\x1f\x8b", "it is packed with gzip", _UNPACK + "gunzip {}"),
    (b"PK\x03\x04", "it is a zip archive", _UNPACK + "unzip {}"),
    (b"BZh91AY&SY", "it is packed with bzip2", _UNPACK + "bunzip2 {}"),
    (b"\xfd7zXZ\0", "it is packed with xz", _UNPACK + "unxz {}"),
    (b"\x28\xb5\x2f\xfd", "it is packed with zstd", _UNPACK + "unzstd {}"),
    (b"%PDF-", "it is a PDF", "Give plain text"),
    (b"\xff\xfe\0\0", "it is in UTF-32", "Convert it first, for instance: iconv -f utf-32 -t utf-8 {}"),
    (b"\0\0\xfe\xff", "it is in UTF-32", "Convert it first, for instance: iconv -f utf-32 -t utf-8 {}"),
    (b"\xff\xfe", "it is in UTF-16", "Convert it first, for instance: iconv -f utf-16 -t utf-8 {}"),
    (b"\xfe\xff", "it is in UTF-16", "Convert it first, for instance: iconv -f utf-16 -t utf-8 {}"),
)
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_HEAD = 4096
_WIDE = {"x0x0": "UTF-16LE", "0x0x": "UTF-16BE", "x000": "UTF-32LE", "000x": "UTF-32BE"}
"""Which of four bytes are mostly zero in text of Latin letters without a byte order mark."""


def why_no_file(path: Path) -> str:
    """What is at a path where a file was expected, as a sentence; if nothing is, the nearest name beside it."""
    if path.is_dir():
        return "is a folder."
    if path.is_symlink() and not path.exists():
        return f"is a link to {os.readlink(path)}, where nothing is."
    if path.exists():
        return "is a pipe or a device, and no regular file."
    try:
        beside = [place.name for place in path.parent.iterdir()]
    except OSError:
        return f"there is no such file, nor a folder {path.parent}."
    return "there is no such file" + nearest(path.name, beside)


def nature_of(head: bytes, name: str) -> str | None:
    """What kind of file begins with `head`, and the next step; None if it may be text."""
    if head.startswith(b"\x1f\x8b") and name.endswith((".tar.gz", ".tgz")):
        return f"it is an archive of several files. {_UNPACK}tar -xzf {name}"
    if head[257:262] == b"ustar":
        return f"it is a tar archive of several files. {_UNPACK}tar -xf {name}"
    if head.startswith(b"PK\x03\x04") and b"/data.pkl" in head[:200]:
        return f"it is a file of torch.save. {_EXPORT}"
    if _is_safetensors(head):
        return f"it is a safetensors file, which has no words. {_TO_VECTORS}"
    for beginning, what, remedy in _BEGINNINGS:
        if head.startswith(beginning):
            return f"{what}. {remedy.format(name)}"
    if _PAGE.match(head):
        return "it is a web page, as where a download needs a click or a login. Fetch the file itself"
    empty = "".join("0" if 2 * head[place::4].count(0) > len(head) // 4 else "x" for place in range(4))
    if encoding := _WIDE.get(empty):
        return f"it is in {encoding}. Convert it first, for instance: iconv -f {encoding.lower()} -t utf-8 {name}"
    return None


def _is_safetensors(head: bytes) -> bool:
    """Whether a file begins with the length of a JSON header, eight bytes, and the header."""
    return head[8:10] == b'{"' and 0 < int.from_bytes(head[:8], "little") < 1 << 32


def no_text(content: bytes, place: int, source: str, before: int = 0) -> str:
    """Why `content` is not UTF-8 text, shown by the byte at `place`; `before` lines precede `content`."""
    name = Path(source).name
    if not before and (nature := nature_of(content[:_HEAD], name)):
        return f"{source}:1: {nature}"
    line = before + content.count(b"\n", 0, place) + 1
    if not content[place]:
        around = shown(content[max(0, place - 20) : place + 20])
        return f"{source}:{line}: a NUL byte, which no text holds: {around}. The file is damaged, or no text at all"
    if _SURROGATE.match(content, place):
        return (
            f"{source}:{line}: {content[place : place + 3].hex(' ')} is half a character (a surrogate), which UTF-8 "
            f"does not have; the rest may be UTF-8. Remove such bytes, for instance: iconv -c -f utf-8 -t utf-8 {name}"
        )
    return (
        f"{source}:{line}: byte 0x{content[place]:02x} is not UTF-8. "
        f"Convert it first, for instance: iconv -f latin1 -t utf-8 {name}"
    )
