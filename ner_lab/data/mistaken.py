"""What a file is that should have been there, or should have been text: asked only where an error is certain."""

import os
import re
from pathlib import Path

from ner_lab.errors import shown
from ner_lab.suggest import nearest

_UNPACK = "Unpack it first, for instance: "
_BEGINNINGS = (
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
_HEAD = 4096
_WIDE = {"x0x0": "UTF-16LE", "0x0x": "UTF-16BE", "x000": "UTF-32LE", "000x": "UTF-32BE"}
"""Which of four bytes are mostly zero in a text of Latin letters without a byte order mark."""


def why_no_file(path: Path) -> str:
    """What stands where a file was expected, as a sentence; the nearest name beside it, where nothing does."""
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
    """What a file is whose beginning is `head`, and the next step; None where it may be a text."""
    for beginning, what, remedy in _BEGINNINGS:
        if head.startswith(beginning):
            return f"{what}. {remedy.format(name)}"
    if _PAGE.match(head):
        return "it is a web page, as where a download needs a click or a login. Fetch the file itself"
    empty = "".join("0" if 2 * head[place::4].count(0) > len(head) // 4 else "x" for place in range(4))
    if encoding := _WIDE.get(empty):
        return f"it is in {encoding}. Convert it first, for instance: iconv -f {encoding.lower()} -t utf-8 {name}"
    return None


def no_text(content: bytes, place: int, source: str, before: int = 0) -> str:
    """Why `content` is no text in UTF-8, where the byte at `place` shows it; `before` lines stand before `content`."""
    name = Path(source).name
    if not before and (nature := nature_of(content[:_HEAD], name)):
        return f"{source}:1: {nature}"
    line = before + content.count(b"\n", 0, place) + 1
    if not content[place]:
        around = shown(content[max(0, place - 20) : place + 20])
        return f"{source}:{line}: a NUL byte, which no text holds: {around}. The file is damaged, or no text at all"
    return (
        f"{source}:{line}: byte 0x{content[place]:02x} is not UTF-8. "
        f"Convert it first, for instance: iconv -f latin1 -t utf-8 {name}"
    )
