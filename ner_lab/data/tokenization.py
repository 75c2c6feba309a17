"""Split raw text into sentences and tokens, each token with its position in the text.

Designed to agree with the CoNLL-2003 tokenization of English: punctuation is separate, clitics are split off (`Ashby
's`, `do n't`), and abbreviations, initials, numbers, scores and dates are kept together.

A match attempt that may fail reads a bounded number of characters or parts, so that time depends only on the length of
the text, whatever it contains: an address has at most 64 characters before the @ (RFC 5321), a word that a clitic is
split from has at most 33 parts.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple


class Token(NamedTuple):
    """`text[start:end]`, in characters."""

    text: str
    start: int
    end: int


_ABBREVIATIONS = (
    "Mr Mrs Ms Dr Prof Gen Col Lt Capt Sgt Sen Rep Gov Rev Hon St Jr Sr Mt Ft Corp Inc Ltd Bros "
    "vs etc Jan Feb Apr Jun Jul Aug Sep Sept Oct Nov Dec"
)
_PATTERN = re.compile(
    r"""
      (?:https?://|www\.)[^\s<>"]*[^\s<>"'’.,:;!?()\[\]] | [\w.+-]{1,64}@[\w-]+\.[\w.-]*\w      # addresses
    | \.\.\.+                                                       # ellipsis
    | (?:[A-Za-z]\.){2,}                                            # U.S.  a.m.
    | [A-Z]\.(?=\s*['A-Z])                                          # initials
    | \b(?:"""
    + "|".join(_ABBREVIATIONS.split())
    + r""")\.         # Mr.  Corp.
    | \bNo\.(?=\s*\d)                                              # No. 3
    | \d+(?:[.,:/]\d+)*(?:-\d+(?:[.,:/]\d+)*)*(?:st|nd|rd|th|s)?(?!\w)      # 1,000.5  2:14.07  6-4  1996-08-22  3rd
    | \w+(?=n['’]t\b) | n['’]t\b                                    # do n't
    | ['’](?:s|re|ve|ll|d|m)\b                                      # 's
    | \w+(?:[-&/.'’]\w+){0,32}?(?=['’](?:s|re|ve|ll|d|m)\b|n['’]t\b)          # Ashby 's
    | \w+(?:[-&'’]\w+|[./](?=[^\W\d_])\w+)*                              # cross-border  AT&T  O'Neill
    | --+ | ''|`` | [^\w\s]                                         # punctuation, one by one
    """,
    re.VERBOSE,
)
_EMPTY_LINE = re.compile(r"\n[ \t\r]*\n\s*")
_ENDS = frozenset(".!?") | {"..."}
_CLOSERS = frozenset("\"')”’") | {"''"}


def tokenize(text: str, offset: int = 0) -> list[Token]:
    """Split `text` into tokens; `offset` is added to every position."""
    return [Token(match[0], match.start() + offset, match.end() + offset) for match in _PATTERN.finditer(text)]


def sentences_in(text: str, offset: int = 0) -> Iterator[list[Token]]:
    """Split running text into sentences of tokens.

    A sentence ends at an empty line, and at `. ! ?` (with closing quotes after it) if what follows begins with a
    capital, a digit or an opening mark. A single line break is a blank.
    """
    begin = 0
    for gap in [*_EMPTY_LINE.finditer(text), None]:
        end = gap.start() if gap else len(text)
        yield from _sentences(tokenize(text[begin:end], offset + begin))
        begin = gap.end() if gap else end


def _sentences(tokens: list[Token]) -> Iterator[list[Token]]:
    sentence: list[Token] = []
    position = 0
    while position < len(tokens):
        sentence.append(tokens[position])
        position += 1
        if sentence[-1].text not in _ENDS:
            continue
        while position < len(tokens) and tokens[position].text in _CLOSERS:
            closes_here = tokens[position].start == tokens[position - 1].end
            if not closes_here:
                break
            sentence.append(tokens[position])
            position += 1
        if position < len(tokens) and _opens(tokens[position].text):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _opens(token: str) -> bool:
    return not token[0].islower() and token not in {",", ";", ":", "-", "--", ")"}
