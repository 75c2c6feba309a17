"""Actions that parse a sentence into chunks (Lample et al. 2016, section 3.1). Pure functions on strings.

Words start in a buffer. `SHIFT` moves the next one onto a stack, `OUT` writes it to the output, and `REDUCE(y)` empties
the stack: its words become one chunk of type y, which goes to the output. Parsing ends when buffer and stack are empty,
after one action for each word and one for each chunk.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from ner_lab.data.tags import Span, spans_of, tags_of

SHIFT, OUT = "SHIFT", "OUT"


class Chunk(NamedTuple):
    """Tokens that were reduced together; an `OUT` between two `SHIFT`s leaves a gap."""

    type: str
    tokens: tuple[int, ...]


def reduce_to(entity_type: str) -> str:
    """`"PER"` -> `"REDUCE(PER)"`."""
    return f"REDUCE({entity_type})"


def actions_of(entity_types: Iterable[str]) -> list[str]:
    """All actions; their indices in this list are their numbers."""
    return [SHIFT, OUT, *map(reduce_to, entity_types)]


def is_valid(action: str, *, unread: int, held: int, out_inside: bool) -> bool:
    """Whether `action` is possible with `unread` words in the buffer and `held` words on the stack.

    out_inside: OUT may skip a word while others are on the stack (the authors' code does not forbid it).
    """
    if action == SHIFT:
        return unread > 0
    if action == OUT:
        return unread > 0 and (out_inside or not held)
    return held > 0


def oracle(tags: Sequence[str]) -> list[str]:
    """The actions that produce the spans of `tags`, as conlleval reads them; any scheme, valid or not."""
    actions: list[str] = []
    read = 0
    for entity_type, start, end in spans_of(tags):
        actions += [OUT] * (start - read) + [SHIFT] * (end - start) + [reduce_to(entity_type)]
        read = end
    return actions + [OUT] * (len(tags) - read)


def chunks_by(actions: Iterable[str], length: int, *, out_inside: bool = True) -> list[Chunk]:
    """The chunks that `actions` make of `length` words. Raises ValueError if they are invalid or stop early."""
    chunks: list[Chunk] = []
    held: list[int] = []
    read = 0
    for index, action in enumerate(actions):
        if not is_valid(action, unread=length - read, held=len(held), out_inside=out_inside):
            left = f"{length - read} words are unread and {len(held)} on the stack"
            raise ValueError(f"action {index}, {action}, is not possible: {left}")
        if action not in (SHIFT, OUT):
            chunks.append(Chunk(action.removeprefix("REDUCE(").removesuffix(")"), tuple(held)))
            held = []
            continue
        if action == SHIFT:
            held.append(read)
        read += 1
    if held or read < length:
        raise ValueError(f"the actions end while {length - read} words are unread and {len(held)} on the stack")
    return chunks


def spans_by(actions: Iterable[str], length: int, *, out_inside: bool = True) -> list[Span]:
    """The spans that `actions` make; in a chunk with gaps, each run of tokens is a span."""
    spans = []
    for entity_type, tokens in chunks_by(actions, length, out_inside=out_inside):
        for _, run in groupby(enumerate(tokens), key=lambda pair: pair[1] - pair[0]):
            indices = [token for _, token in run]
            spans.append(Span(entity_type, indices[0], indices[-1] + 1))
    return spans


def tags_by(actions: Iterable[str], length: int, scheme: str, *, out_inside: bool = True) -> list[str]:
    """The result of `actions`, written as tags of `scheme`."""
    return tags_of(spans_by(actions, length, out_inside=out_inside), length, scheme)
