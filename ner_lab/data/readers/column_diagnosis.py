"""Explain why a line cannot be read as columns: the usual foreign formats and tag dialects, each with the next step.

Called only after a line was refused, so it cannot affect a file that can be read.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ner_lab.data.tags import OUTSIDE, split_tag
from ner_lab.errors import shown

HEAD = 200
"""Lines at the beginning of a file that are enough to recognise it."""
_SOME_TAGS = 3
"""Number of different part-of-speech tags that identify a column of them"""
_COMMENT = re.compile(r"#+\s*[\w:.-]+\s*=|#+\s.*=|##|#\s*(begin|end) document|#\s*(newdoc|newpar|sent_id|text)\b")
_SED = "for instance: sed -E '{}' {{name}} > NEW"

_DIALECTS: tuple[tuple[str, str], ...] = (
    (
        r"(O|[BIESLU]-.+)[|,;](O|[BIESLU]-.+)",
        "{tag} is not a tag: these are two, and a word has one. Keep one, or split the cell into two columns.",
    ),
    (
        r"M-.+",
        "{tag} is not a tag: M- of BMES, the middle of an entity, is I- here. Replace it, "
        + _SED.format(r"s/([[:blank:]])M-/\1I-/"),
    ),
    (
        r"[BIESLUM]_.+",
        "{tag} is not a tag: a dash is expected in place of the underscore. Replace it, "
        + _SED.format(r"s/([[:blank:]][BIESLU])_/\1-/"),
    ),
    (
        r"[biesluo](-.+)?",
        "{tag} is not a tag: B-, I- and O are capital letters. Replace them, "
        + _SED.format(r"s/([[:blank:]])([bieslu]-|o\>)/\1\U\2/"),
    ),
    (
        r"[BIESLU]-?",
        "{tag} is not a tag: it has no entity type. If all entities are of one type, add a name for it, "
        + _SED.format(r"s/([[:blank:]][BIESLU])-?$/\1-ENTITY/"),
    ),
    (
        r"[-_*?]?",
        "{tag} is not a tag: the word has no annotation. Write O where it is no part of an entity, or leave its "
        "sentence out.",
    ),
    (
        r"[BIESLU]-.*\s.*",
        "{tag} is not a tag: its type holds a blank. Replace the blank in every tag, as in B-Drug_Name.",
    ),
)
"""Cells that are nearly tags: pattern of the complete cell, and the message."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A refused line, with the beginning of its file.

    name: of the file; number: of the line, from 1; tag: the cell that is not a tag, None if the number of columns was
    wrong; column: the tag column, from 0; word: the word column.
    """

    name: str
    lines: Sequence[str]
    number: int
    cells: Callable[[str], list[str]]
    word: int
    column: int
    tag: str | None

    def rows(self) -> Iterator[tuple[int, str, list[str]]]:
        """Number, text and cells of the lines that are not blank."""
        for number, line in enumerate(self.lines, 1):
            if line.strip():
                yield number, line, self.cells(line)


def diagnosis(refused: Refused) -> tuple[int, str] | None:
    """The line that shows what is wrong with a file, and a sentence with the next step; None if unknown."""
    kinds = [_json, _comments, _csv]
    if refused.tag is not None:
        kinds += [_other_column, _header, _dialect, _plain_tags]
    return next(filter(None, (kind(refused) for kind in kinds)), None)


def is_tag(cell: str) -> bool:
    """Whether a cell can be read as a tag."""
    try:
        split_tag(cell)
    except ValueError:
        return False
    return cell.isprintable() and " " not in cell and not re.fullmatch(_DIALECTS[0][0], cell)


def comment_lines(rows: Sequence[tuple[int, str, list[str]]]) -> list[tuple[int, str]]:
    """Number and text of lines that begin with # and cannot be words: `# sent_id = 1`, `#begin document`, `## id`.

    The word `#`, or `#tag`, in a row as wide as the others is not a comment.
    """
    widths = {len(cells) for _, line, cells in rows if not line.lstrip().startswith("#")}
    return [
        (number, line)
        for number, line, cells in rows
        if line.startswith("#") and ((widths and len(cells) not in widths) or looks_like_comment(line, cells))
    ]


def looks_like_comment(line: str, cells: Sequence[str]) -> bool:
    """Whether a line is a comment, whatever its number of cells."""
    return bool(_COMMENT.match(line)) and not (cells and is_tag(cells[-1]))


def is_a_comment_line(line: str, how_to_remove: str) -> str:
    """The message for a comment line."""
    return f"{shown(line, 40)} is a comment line, and these are not read. Remove them, for instance: {how_to_remove}"


def _json(refused: Refused) -> tuple[int, str] | None:
    number, line, _ = next(refused.rows())
    text = line.strip()
    if text not in ("[", "{"):
        try:
            if not isinstance(json.loads(text), dict | list):
                return None
        except (ValueError, RecursionError):
            return None
    return number, (
        "it is JSON. Columns are read here: write a word and its tag on each line, and a blank line between sentences."
    )


def _comments(refused: Refused) -> tuple[int, str] | None:
    rows = list(refused.rows())
    found = comment_lines(rows)
    if not found or found[0][0] > refused.number:
        return None
    number, line = found[0]
    comments = {number for number, _ in found}
    words = any(line.startswith("#") for number, line, _ in rows if number not in comments)
    pattern = "^#.*=" if words else "^#"
    return number, is_a_comment_line(line, f"grep -v '{pattern}' {refused.name} > NEW")


def _csv(refused: Refused) -> tuple[int, str] | None:
    rows = list(refused.rows())[:20]
    try:
        parsed = list(csv.reader(line for _, line, _ in rows))
    except csv.Error:
        return None
    if len(rows) < 2 or len({len(cells) for cells in parsed}) > 1 or len(parsed[0]) < 2 or "\t" in rows[0][1]:
        return None
    print_row = r"print('\t'.join(r))"
    if "sentence" in parsed[0][0].lower():  # set only in the first row of each sentence
        print_row = r"print('\n' * bool(r[0]) + '\t'.join(r[1:]))"
    first = 0 if is_tag(parsed[0][-1]) else 1
    return rows[0][0], (
        "it is CSV, with commas between its cells; tabs or blanks are expected, no header, and a blank line between "
        f'sentences. Convert it, for instance: python3 -c "import csv; '
        f"[{print_row} for r in list(csv.reader(open('{refused.name}', encoding='utf-8')))[{first}:]]\" > NEW.tsv"
    )


def _other_column(refused: Refused) -> tuple[int, str] | None:
    """Tags in another column than the one read."""
    rows = [cells for _, _, cells in refused.rows()]
    width = max(map(len, rows))
    for column in range(width):
        found = {cells[column] for cells in rows if len(cells) == width}
        if column not in (refused.word % width, refused.column) and all(map(is_tag, found)) and found != {OUTSIDE}:
            return refused.number, (
                f"{shown(refused.tag or '')} in column {refused.column} is not a tag, but column {column} holds tags: "
                f"set data.columns.tag={column}."
            )
    return None


def _header(refused: Refused) -> tuple[int, str] | None:
    (number, line, _), *rest = refused.rows()
    below = [cells[refused.column] for _, _, cells in rest if len(cells) > refused.column and cells[0] != "#"]
    if number != refused.number or not set(below) - {OUTSIDE} or not all(map(is_tag, below)):
        return None
    return number, (
        f"{shown(line, 40)} looks like a header: {shown(refused.tag or '')} is not a tag, and the lines below have "
        f"tags there. Remove it, for instance: tail -n +{number + 1} {refused.name} > NEW"
    )


def _dialect(refused: Refused) -> tuple[int, str] | None:
    tag = refused.tag or ""
    for pattern, says in _DIALECTS:
        if re.fullmatch(pattern, tag):
            return refused.number, says.format(tag=shown(tag), name=refused.name)
    return None


def _plain_tags(refused: Refused) -> tuple[int, str] | None:
    """Types without a prefix, or part-of-speech tags."""
    tag = refused.tag or ""
    column = [cells[refused.column] for _, _, cells in refused.rows() if len(cells) > refused.column]
    names = [cell for cell in dict.fromkeys(column) if cell != OUTSIDE]
    if tag not in names or any(map(is_tag, names)):
        return None
    some = ", ".join(name[:20] for name in names[:4])
    if OUTSIDE in column:
        return refused.number, (
            f"{shown(tag)} is not a tag, but looks like an entity type without a prefix (column {refused.column} "
            f"holds O, {some}). "
            f"Put I- before each type, for instance: sed -E 's/([[:blank:]])([^[:blank:]]+)$/\\1I-\\2/; "
            f"s/([[:blank:]])I-O$/\\1O/' {refused.name} > NEW"
        )
    if len(names) < _SOME_TAGS:
        return None
    return refused.number, (
        f"{shown(tag)} is not a tag: column {refused.column} holds {some} and no O. Are these part-of-speech tags? "
        "Entity tags are O, and B- or I- with a type; set data.columns.tag if they are in another column."
    )
