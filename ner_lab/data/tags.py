"""Tag schemes: IO, IOB1, IOB2, IOBES and BILOU, and the spans that tags represent.

Pure functions on strings. A span is `(type, start, end)`, `end` exclusive, in tokens.

Spans are read as the shared task's scorer `conlleval` reads them (Tjong Kim Sang & De Meulder 2003): a span starts at
`B-X`, and also at an `I-X` that does not continue a span of type X. IOBES and BILOU are first rewritten as IOB2, tag by
tag (S and U become B, E and L become I), as the authors' systems did before they called conlleval; so an invalid
sequence has the same spans in memory and in a prediction file.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ner_lab.errors import UserError, shown

OUTSIDE = "O"
SCHEMES = ("IO", "IOB1", "IOB2", "IOBES", "BILOU")
OPENED_BY_I = ("IO", "IOB1")
"""Schemes in which I may start an entity."""

_LETTERS = {
    "IO": frozenset("I"),
    "IOB1": frozenset("IB"),
    "IOB2": frozenset("IB"),
    "IOBES": frozenset("IBES"),
    "BILOU": frozenset("IBLU"),
}
_TO_IOB = {"B": "B", "I": "I", "E": "I", "S": "B", "L": "I", "U": "B"}


class Span(NamedTuple):
    """An entity: its type and its tokens `start .. end - 1`."""

    type: str
    start: int
    end: int


def split_tag(tag: str) -> tuple[str, str]:
    """`"B-PER"` -> `("B", "PER")`; `"O"` -> `("O", "")`. Raises ValueError on anything else."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    letter, dash, entity_type = tag.partition("-")
    if not dash or letter not in _TO_IOB or not entity_type:
        raise ValueError(
            f"{shown(tag)} is not a tag: expected O, or one of B- I- E- S- L- U- followed by an entity type"
        )
    return letter, entity_type


def as_iob(tags: Iterable[str]) -> list[str]:
    """Rewrite tags of any scheme with only B, I and O, tag by tag, without repairs."""
    relabelled = []
    for tag in tags:
        letter, entity_type = split_tag(tag)
        relabelled.append(tag if letter == OUTSIDE else f"{_TO_IOB[letter]}-{entity_type}")
    return relabelled


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans conlleval finds in `tags`, in order; any scheme, valid or not."""
    spans = []
    start, current = 0, ""
    for position, tag in enumerate([*tags, OUTSIDE]):
        letter, entity_type = split_tag(tag)
        begins = letter != OUTSIDE and (_TO_IOB[letter] == "B" or entity_type != current)
        if current and (begins or letter == OUTSIDE):
            spans.append(Span(current, start, position))
            current = ""
        if begins:
            start, current = position, entity_type
    return spans


def tags_of(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    """Write non-overlapping `spans` over `length` tokens as tags of `scheme`."""
    tags = [OUTSIDE] * length
    previous_end, previous_type = -1, ""
    for entity_type, start, end in sorted(spans, key=lambda span: span.start):
        if not 0 <= start < end <= length or start < max(previous_end, 0):
            raise ValueError(f"span {entity_type} {start}..{end} overlaps another or leaves 0..{length}")
        adjacent = start == previous_end and entity_type == previous_type
        tags[start:end] = _span_letters(entity_type, end - start, scheme, adjacent)
        previous_end, previous_type = end, entity_type
    return tags


def _span_letters(entity_type: str, length: int, scheme: str, adjacent: bool) -> list[str]:
    inside = [f"I-{entity_type}"]
    if scheme == "IO":
        return inside * length
    if scheme == "IOB1":
        return ([f"B-{entity_type}"] if adjacent else inside) + inside * (length - 1)
    if scheme == "IOB2":
        return [f"B-{entity_type}"] + inside * (length - 1)
    if scheme not in ("IOBES", "BILOU"):
        raise ValueError(f"'{scheme}' is not a tag scheme; use one of {', '.join(SCHEMES)}.")
    single, last = ("S", "E") if scheme == "IOBES" else ("U", "L")
    if length == 1:
        return [f"{single}-{entity_type}"]
    return [f"B-{entity_type}"] + inside * (length - 2) + [f"{last}-{entity_type}"]


def convert(tags: Sequence[str], scheme: str) -> list[str]:
    """Write the spans of `tags` in `scheme`. Conversion to IO merges adjacent spans of one type."""
    return tags_of(spans_of(tags), len(tags), scheme)


def with_types(tags: Sequence[str], names: Mapping[str, str], scheme: str) -> list[str]:
    """Tags of `scheme` with other names for their types, `O` for a type to drop. Entities keep their words.

    Adjacent entities that get the same name merge only in IO, which cannot separate them.
    """
    starts = {span.start for span in spans_of(tags)}
    renamed = [OUTSIDE] * len(tags)
    for position, tag in enumerate(tags):
        letter, entity_type = split_tag(tag)
        if letter == OUTSIDE or (name := names.get(entity_type, entity_type)) == OUTSIDE:
            continue
        joined = position in starts and position > 0 and split_tag(renamed[position - 1])[1] == name
        if joined and _TO_IOB[letter] == "I" and scheme != "IO":
            letter = "B"
        renamed[position] = f"{letter}-{name}"
    return renamed


def as_written(tags: Sequence[str], scheme: str) -> list[str]:
    """Tags of `scheme` in IOB2, as in a prediction file: tag by tag, without repairs.

    IO and IOB1, in which I may start an entity, are converted through their spans.
    """
    return convert(tags, "IOB2") if scheme in OPENED_BY_I else as_iob(tags)


def is_proper(tags: Sequence[str], scheme: str) -> bool:
    """Whether `tags` obey `scheme` from the first to the last token."""
    before = OUTSIDE
    for tag in [*tags, OUTSIDE]:
        if not follows(before, tag, scheme):
            return False
        before = tag
    return True


def opened_without_b(tags: Sequence[str]) -> list[int]:
    """Tokens at which a span starts (see `spans_of`) with a prefix that continues one: I, E or L."""
    before, found = "", []
    for position, tag in enumerate(tags):
        letter, entity_type = split_tag(tag)
        if entity_type and entity_type != before and _TO_IOB[letter] == "I":
            found.append(position)
        before = entity_type
    return found


def follows(before: str, after: str, scheme: str) -> bool:
    """Whether `after` may directly follow `before`; `O` represents the sentence boundary."""
    (letter, entity_type), (next_letter, next_type) = split_tag(before), split_tag(after)
    return _may_follow(letter, next_letter, entity_type == next_type, scheme)


def follows_table(tags: Sequence[str], scheme: str) -> list[list[bool]]:
    """`follows` for every pair of tags, [before][after]; fast for thousands of tags."""
    parts = [split_tag(tag) for tag in tags]
    of_type: dict[str, list[int]] = {}
    for number, (_, entity_type) in enumerate(parts):
        of_type.setdefault(entity_type, []).append(number)
    other_types = {
        letter: [_may_follow(letter, next_letter, False, scheme) for next_letter, _ in parts]
        for letter in {letter for letter, _ in parts}
    }
    table = []
    for letter, entity_type in parts:
        row = other_types[letter].copy()
        for number in of_type[entity_type]:
            row[number] = _may_follow(letter, parts[number][0], True, scheme)
        table.append(row)
    return table


def _may_follow(letter: str, next_letter: str, same: bool, scheme: str) -> bool:
    """`follows` for the prefixes of two tags; same: whether their types are equal."""
    known = _LETTERS[scheme] | {OUTSIDE}
    if letter not in known or next_letter not in known:
        return False
    if scheme == "IO":
        return True
    if scheme == "IOB1":
        return next_letter != "B" or same
    if scheme == "IOB2":
        return next_letter != "I" or same
    open_before = letter in "BI"
    continues = next_letter in ("I", "E", "L")
    return open_before == continues and (not continues or same)


def detect_scheme(sequences: Iterable[Sequence[str]]) -> str:
    """The scheme of a corpus, detected from the prefixes it uses and the positions of B.

    E or S mean IOBES, L or U BILOU. With I alone it is IO (IOB1 looks the same if no two entities of a type are
    adjacent: the spans are equal). With B and I it is IOB2 if entities start with B, IOB1 if they start with I; if both
    occur, the more frequent one.
    Raises ValueError if prefixes of two schemes are mixed.
    """
    letters: set[str] = set()
    opened_by_b = opened_by_i = 0
    for tags in sequences:
        before = ""
        for tag in tags:
            letter, entity_type = split_tag(tag)
            letters.add(letter)
            if entity_type and entity_type != before:  # an entity with no adjacent entity of its type
                opened_by_b += letter == "B"
                opened_by_i += letter == "I"
            before = entity_type
    letters.discard(OUTSIDE)
    if letters & set("ES") and letters & set("LU"):
        raise ValueError(f"tags mix the letters of IOBES and BILOU: {', '.join(sorted(letters))}")
    if letters & set("ES"):
        return "IOBES"
    if letters & set("LU"):
        return "BILOU"
    if "B" not in letters and letters:
        return "IO"
    return "IOB1" if opened_by_i > opened_by_b else "IOB2"


def check_scheme(name: str, key: str = "") -> str:
    """`name` in upper case, or an error that lists the schemes; BIO and BIOES are accepted.

    key: the config key, for the error.
    """
    known = {"BIO": "IOB2", "BIOES": "IOBES", "IOB": "IOB1", "BILUO": "BILOU"}
    scheme = known.get(str(name).upper(), str(name).upper())
    if scheme not in SCHEMES:
        place = f"{key}: " if key else ""
        raise UserError(f"{place}'{name}' is not a tag scheme; use one of {', '.join(SCHEMES)}.")
    return scheme
