"""Lexicon entries: read from files of one name per line, and built from names in ordinary spelling.

An entry is a string of tokens separated by single blanks.
"""

import codecs
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ner_lab.errors import UserError, shown
from ner_lab.io.atomic import write_atomic
from ner_lab.io.file_diagnosis import nature_of, no_text

LONGEST_NAME = 2000
"""Characters"""
_PARENTHESES = re.compile(r"\([^()]*\)")
_TRAILING = r".,;:/\?"
_SPECIAL = re.compile(r"[^\w\s.-]|--|\.\.\.")
# the rules of the Penn Treebank tokenizer for punctuation in names
_MARKS = re.compile(r"(\.\.\.|--|[;@#$%?!()\[\]{}<>\"“”„«»]|[,:](?!\d))")
_CLITICS = re.compile(r"(?<=[^\s'’])(['’](?:s|m|d|ll|re|ve)?|n['’]t)(?!\S)", re.IGNORECASE)


def read_entries(path: Path, *, raw: bool, whole_only: bool) -> list[str]:
    """The entries of a file, case kept.

    raw: lines are names in ordinary spelling, and `build_entries` makes entries of them; else the lines are entries,
    with tokens separated by blanks.
    whole_only: of a list in SENNA's format, only lines that are complete names; the others are in the list because a
    longer name begins with them.
    """
    lines = read_lines(path)
    if whole_only:
        lines = [line for line, flag in zip(lines, _flags(path, len(lines)), strict=True) if flag]
    if raw:
        return build_entries(lines)
    return [" ".join(tokens) for line in lines if (tokens := line.split())]


def read_lines(path: Path) -> list[str]:
    """The lines of a file in UTF-8; a line that is not UTF-8 is read as Latin-1 (SENNA's lists hold both).

    Raises UserError for a file that is not text, and for lines too long for a name: all parts of an entry may become
    fragments, whose size grows with the square of its length.
    """
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").removesuffix(b"\n")
    if not content:
        return []
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        if nature := nature_of(content[:4096], path.name):
            raise UserError(f"{path}:1: {nature}") from None
        lines = [_decoded(line) for line in content.split(b"\n")]
    if b"\0" in content:
        raise UserError(no_text(content, content.index(0), str(path)))
    if len(longest := max(lines, key=len)) > LONGEST_NAME:
        raise UserError(
            f"{path}:{lines.index(longest) + 1}: the line has {len(longest):,} characters, but a name has at most "
            f"{LONGEST_NAME:,}. Expected one name per line; the line begins with {shown(longest, 40)}."
        )
    return lines


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def flag_file(path: Path) -> Path:
    """The file with one byte per line of a list: `X.dat` beside `X.lst`, or in SENNA's own folder `data`."""
    name = path.with_suffix(".dat").name
    beside, in_data = path.with_name(name), path.parent.parent / "data" / name
    return beside if beside.exists() or not in_data.exists() else in_data


def _flags(path: Path, lines: int) -> bytes:
    flags_path = flag_file(path)
    if not flags_path.is_file():
        raise UserError(
            f"{path}: there is no {flags_path}, which marks the lines that are complete names. "
            "Put SENNA's file there, or use all lines (whole_only: false)."
        )
    flags = flags_path.read_bytes()
    if len(flags) != lines or not set(flags) <= {0, 1}:
        raise UserError(
            f"{flags_path}: expected {lines:,} bytes that are 0 or 1, one for each line of {path}; the file has "
            f"{len(flags):,} bytes. Use two files of the same release."
        )
    return flags


def build_entries(names: Iterable[str]) -> list[str]:
    """Entries from names in ordinary spelling, case kept; each once, in order (Chiu & Nichols 2016, section 2.4.2).

    Parentheses are removed with their content, then punctuation at the end; the rest is split into tokens.
    """
    entries: dict[str, None] = {}
    for name in names:
        cleaned = _clean(name)
        tokens = tokenize_name(cleaned) if _SPECIAL.search(cleaned) else cleaned.split()
        if tokens:
            entries[" ".join(tokens)] = None
    return list(entries)


def _clean(name: str) -> str:
    while "(" in name and (shorter := _PARENTHESES.sub(" ", name)) != name:  # again, for nested parentheses
        name = shorter
    name = name.rstrip()
    while name and name[-1] in _TRAILING:
        name = name.rstrip(_TRAILING).rstrip()
    return name


def tokenize_name(name: str) -> list[str]:
    """Split a name like the Penn Treebank: `St. Mary's, Oxford` -> `St.` `Mary` `'s` `,` `Oxford`.

    Two exceptions, to match the corpora: quotes stay as written, and `&` stays within a word (`AT&T`).
    """
    name = _MARKS.sub(r" \1 ", name)
    if "'" in name or "’" in name:
        name = _CLITICS.sub(r" \1", name)
    return name.split()


def build_lexicon(sources: Sequence[Path], target: Path) -> int:
    """Write the entries built from the names in `sources` to a file, one per line; returns their number."""
    entries = build_entries(name for path in sources for name in read_lines(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, "".join(f"{entry}\n" for entry in entries))
    return len(entries)
