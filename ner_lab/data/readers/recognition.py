"""Recognise the format of an input by the file's name and first lines; no other module decides this."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import NamedTuple

from ner_lab.data.tags import OUTSIDE

FIRST_LINES = 50
"""Lines that are enough to recognise a format"""
_RUNNING = 3
"""Mean words per cell of a column from which it is running text"""
_BY_ENDING = {
    **dict.fromkeys(
        (".conll", ".conll2003", ".conllu", ".iob", ".iob2", ".iobes", ".bio", ".bioes", ".bilou", ".tsv"), "conll"
    ),
    ".csv": "conll",  # its reader names the format and how to convert it
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    ".tok": "tokens",
}
_BLANKS = re.compile(r"[ \t]+")
_TAG = re.compile(r"[BIESLUM]-\S+")
_CAPITALS = re.compile(r"[A-Z][A-Z0-9$:|-]*|[^\w\s]{1,5}|_")
_PARTS_OF_SPEECH = {
    *("CC", "CD", "DT", "EX", "FW", "IN", "JJ", "JJR", "JJS", "LS", "MD", "NN", "NNS", "NNP", "NNPS", "PDT", "POS"),
    *("PRP", "PRP$", "RB", "RBR", "RBS", "RP", "SYM", "TO", "UH", "VB", "VBD", "VBG", "VBN", "VBP", "VBZ", "WDT"),
    *("WP", "WP$", "WRB", "HYPH", "NFP", "-LRB-", "-RRB-", "-NONE-", ".", ",", ":", "``", "''", "(", ")", "$", "#"),
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "CONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PRT"),
    *("PUNCT", "SCONJ", "VERB", "X", "_", "O"),
}
"""From the Penn Treebank and Universal Dependencies"""
_MOST = 0.8  # share of rows of the same width in column files with a mistake, which their reader reports

_ALIKE = 0.2  # share of words with a tag in one of two columns that have the same type in both


class Recognised(NamedTuple):
    """The result of recognising an input."""

    kind: str
    """`text`, `tokens`, `conll` or `jsonl`"""
    reason: str
    by_name: bool = False
    """Whether the file's name determines it, whatever its content"""


def recognise(name: str, lines: Sequence[str]) -> Recognised:
    """The format of an input with this name and these first lines; running text if nothing else matches."""
    ending = PurePath(name).suffix.lower()
    if ending == ".tsv" and _has_running_text(lines):
        return Recognised("text", "its cells hold running text")
    if ending in _BY_ENDING:
        return Recognised(_BY_ENDING[ending], f"the ending {ending}", by_name=True)
    filled = [line for line in lines if line.strip()]
    if filled and filled[0].lstrip().startswith("{"):
        return Recognised("jsonl", "the first line begins with {")
    if reason := _why_columns(lines):
        return Recognised("conll", reason)
    return Recognised("text", "the first lines are no columns")


def predicted_beside_gold(rows: Sequence[Sequence[str]], column: int) -> int | None:
    """The column of gold tags, if `column` of these rows holds a system's predictions for them; None if not.

    This is the case if the column before it has tags too, and at least a fifth of the words with a tag in either column
    have the same type in both: chunks beside entities have other types, and nested entities other words. The share is
    low so that a weak system's predictions are found as well.
    """
    before = column - 1
    if before < 1 or any(len(row) <= column for row in rows):
        return None
    labelled = [(row[before], row[column]) for row in rows if (row[before], row[column]) != (OUTSIDE, OUTSIDE)]
    if not all(_are_tags([row[place] for row in rows]) for place in (before, column)):
        return None
    alike = sum(gold.partition("-")[2] == predicted.partition("-")[2] for gold, predicted in labelled)
    return before if alike >= _ALIKE * len(labelled) else None


def _why_columns(lines: Sequence[str]) -> str | None:
    """The evidence that lines are columns: one word each, or cells of the same number with labels; None if they are
    not.
    """
    # the reader refuses comment lines, and the word `#` shows nothing
    lines = [line.rstrip() for line in lines if not line.startswith(("#", "-DOCSTART-"))]
    filled = [line for line in lines if line.strip()]
    by_tab = bool(filled) and all("\t" in line for line in filled)
    rows = [line.split("\t") if by_tab else _BLANKS.split(line.strip()) for line in filled]
    if not rows:
        return None
    width, number = Counter(map(len, rows)).most_common(1)[0]
    even = [row for row in rows if len(row) == width]
    columns = list(zip(*even, strict=True))[1:]
    if number >= _MOST * len(rows) and any(map(_are_tags, columns)):
        return f"{width} cells in a line, with tags"
    in_a_row = any(line and after for line, after in pairwise(lines))  # else they are paragraphs
    if not in_a_row or number < len(rows):
        return None
    if width == 1:
        return "one word in a line"
    if by_tab and not any(" " in cell for row in rows for cell in row):
        return f"{width} cells in a line, between tabs"
    words = [row[0] for row in rows]
    if any(_are_labels(column, words) for column in columns):
        return f"{width} cells in a line, with labels"
    return None


def _has_running_text(lines: Sequence[str]) -> bool:
    """Whether a tab-separated cell holds a sentence, as in tables of documents, rather than a word or tag."""
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    if len(set(map(len, rows))) != 1 or len(rows[0]) == 1:
        return False
    return any(sum(len(cell.split()) for cell in column) >= _RUNNING * len(rows) for column in zip(*rows, strict=True))


def _are_tags(cells: Sequence[str]) -> bool:
    """Whether a column has only entity tags."""
    found = set(cells) - {OUTSIDE}
    return bool(found) and all(map(_TAG.fullmatch, found))


def _are_labels(cells: Sequence[str], words: Sequence[str]) -> bool:
    """Whether cells beside `words` are labels, such as parts of speech: a small set, mostly upper case."""
    found = set(cells)
    if all(map(str.isupper, words)) or not any(map(str.isalpha, found)):
        return False  # all upper case, or only punctuation
    return found <= _PARTS_OF_SPEECH or (2 * len(found) <= len(cells) and all(map(_CAPITALS.fullmatch, found)))
