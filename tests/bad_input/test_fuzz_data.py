"""Arbitrary bytes and mutated good files: only the declared errors come out, and what is read can be read again."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import fuzz_targets
import pytest
from bad_files import locked, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ner_lab.inference.batch_tagger import BatchTagger
from ner_lab.inference.trained_tagger import load

EXAMPLES = [pytest.param(40, id="brief"), pytest.param(2000, id="long", marks=pytest.mark.soak)]

GOOD = {
    "conll": [
        b"-DOCSTART- O\n\nAnna B-PER\nHolm I-PER\nwon O\n\nOslo B-LOC\n",
        "Köln\tNNP\tB-NP\tS-LOC\r\nNew York\tNNP\tI-NP\tB-LOC\r\n.\t.\tO\tE-LOC\r\n\r\n".encode(),
        b"\xef\xbb\xbfAnna NNP I-PER\n \nOslo NNP I-LOC\nOslo NNP B-LOC",
    ],
    "markup": [
        b"# one | news\n[PER Anna Holm] lives in [LOC Oslo].\nIt rained (3.5 mm).\n# two | table\n[LOC Oslo] 3-1\n"
    ],
    "lexicon": [b"Anna Holm\nSt. Mary's (Oslo), Ltd.\n\nNew  York\r\nnew york\n", "Málaga\nKöln\n".encode("latin-1")],
    "vectors": [
        b"the 0.5 -1.25 3\nOslo 1e-05 7 -0.000001\nthe 1 2 3\n",
        b"3 2\na 1 2\nb c 3 4\nd 5 6",
        b"2 2\nab " + bytes(range(8)) + b"\ncd " + bytes(range(8)) + b"\n",
        b"0.5 0.25\n-1 2\n3 4\n",
    ],
    "tags": [b"O B-PER I-PER O S-LOC B-LOC E-LOC U-ORG B-ORG I-ORG L-ORG BILOU bio I-LOC I-PER B-PER"],
    "predict": [
        b"Anna Holm lives in Oslo. It rained.\n\nNobody said \xe2\x80\x9cno\xe2\x80\x9d.\n",
        b"Anna\tNNP\nHolm\tNNP\n\nOslo\tNNP\n",
        b'{"tokens": ["Anna", "New York", "\\u00e9"]}\n{"text": "It rained in Oslo."}\n',
    ],
}
"""Sound files, from which mutations start."""
NASTY = [
    *(
        b"",
        b"\n",
        b"\n\n",
        b"\r\n",
        b"\r",
        b" ",
        b"\t",
        b"\0",
        b"\x0b",
        b"\x0c",
        b"\x1c",
        b"\xff",
        b"\xfe",
        b"\xe9",
        b"-",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\x1f\x8b",
        b"PK\x03\x04",
        b"\xc2\xa0",
        b"\xe2\x80\x8b",
        b"\xe2\x80\xa8",
        b"\xe3\x80\x80",
    ),
    *(b"-DOCSTART-", b"B-", b"I-PER", b"O", b"U-X", b"[", b"]", b"[PER ", b"#", b"(", b"'s", b"...", b"<html>"),
    *(
        b"nan",
        b"inf",
        b"1e999",
        b"-",
        b"1_0",
        b"999999999999",
        b"9" * 30,
        b"0x1",
        b"+1",
        b".",
        b"-.5",
        b"1.",
        b"0" * 20,
    ),
    *(
        b'{"tokens": [',
        b"\\ud800",
        b"\\u0000",
        b"\\n",
        b"null",
        b'""',
        b"NaN",
        b"[" * 3000,
        b'"text":',
        b"3",
        b"1" * 5000,
    ),
]


def mutated(good: list[bytes]) -> st.SearchStrategy[bytes]:
    """A sound file with some pieces of it cut out, put in or written over."""
    changes = st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 4), st.sampled_from(NASTY) | st.binary(max_size=4)), max_size=6
    )

    def change(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for place, left_out, put_in in changes:
            place %= len(content) + 1
            content = content[:place] + put_in + content[place + left_out :]
        return content

    return st.builds(change, st.sampled_from(good), changes)


def inputs(target: str) -> st.SearchStrategy[bytes]:
    """Settings of a target, and what it shall read."""
    content = (
        mutated(GOOD[target])
        | st.binary(max_size=200)
        | st.text(max_size=100).map(lambda text: text.encode(errors="replace"))
    )
    return st.builds(bytes.__add__, st.binary(min_size=4, max_size=4), content)


def fuzz(name: str, target: Callable[[bytes], None], examples: int) -> None:
    for content in GOOD[name]:
        target(b"\0\0\0\0" + content)

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(inputs(name))
    def check(content: bytes) -> None:
        target(content)

    check()


@pytest.fixture(scope="module")
def labeller(run: Path) -> BatchTagger:
    return load(run).labeller


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_whatever_is_read_only_declared_errors_come_out(name: str, examples: int) -> None:
    fuzz(name, fuzz_targets.TARGETS[name], examples)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_whatever_is_to_be_tagged_only_declared_errors_come_out(labeller: BatchTagger, examples: int) -> None:
    fuzz("predict", partial(fuzz_targets.predict, labeller=labeller), examples)


FOUND = [
    ("a tab within a word of a file split by single blanks", "conll", b"rk\tJNP\tI-NP\tB-LOC\x0b\n.\t.\tO\tE-#OC\r\n"),
    ("a tag of thousands of letters", "conll", b"\0\0\0\0Oslo " + b"[" * 9000 + b"\n"),
    (
        "a first word of NUL bytes",
        "vectors",
        b"\0\xff\xff\0" + bytes(4) + b"\x08" + bytes(8) + b" 13 2\na 1 2\nb c 1 5\n",
    ),
    ("a mark of UTF-16 before sound numbers", "vectors", b"\0\1\0\0\xfe\xff\xfc\xcc 5 3"),
    ("a header that promises a single number", "vectors", b"\0\1\0\0" + b"13 1\na a1 31 \nb 1 2\n"),
    ("a header of thousands of digits", "vectors", b"\0\1\0\0" + b"1" * 5000 + b" 3\na 1 2 3\n"),
    ("a header that promises vectors of terabytes", "vectors", b"\3\1\0\0" + b"1 999999999999\na \0\1"),
    ("a binary with what is not a number", "vectors", b"\3\1\0\0" + b"1 1\na \0\0\xc0\x7f\n"),
    ("a zip file with a password", "vectors", b"\2\1\0\0" + locked(zipped({"a": b"a 1 2\n"}))),
    ("SENNA's vectors with what is not a number", "vectors", b"\5\1\0\0" + b"nan 1\n"),
    ("SENNA without a vector", "vectors", b"\5\0\0\0"),
    ("an empty word between tabs", "conll", b"\1\0\0\0" + b"a\tO\n\tO\n"),
    ("a tag that holds a blank", "conll", b"\1\0\0\0" + b"a\tB-PER x\n"),
    ("a tag with a letter of no width", "conll", b"\0\0\0\0" + "a B-PER\u200b\n".encode()),
    ("a name of thousands of parts", "lexicon", b"\0\0\1\0" + b"a b " * 20_000),
    ("a token with a blank in columns", "predict", b"\3\0\0\0" + b'{"tokens": ["New York", "a\\nb"]}\n'),
    ("half a character", "predict", b"\3\1\0\0" + b'{"tokens": ["\\ud800"]}\n'),
    ("JSON nested without end", "predict", b"\3\0\0\0" + b"[" * 50_000),
    ("a number of thousands of digits in JSON", "predict", b"\3\0\0\0" + b'{"tokens": ' + b"1" * 5000 + b"}"),
    ("a NUL byte behind sound lines", "predict", b"\0\2\0\0" + b"Oslo won.\nO\0slo"),
]
"""What once came through, or came out as another error than a declared one."""


@pytest.mark.parametrize(
    ("name", "content"), [case[1:] for case in FOUND], ids=[case[0].replace(" ", "_") for case in FOUND]
)
def test_what_was_found_once_stays_mended(name: str, content: bytes, labeller: BatchTagger) -> None:
    targets = {**fuzz_targets.TARGETS, "predict": partial(fuzz_targets.predict, labeller=labeller)}
    targets[name](content)
