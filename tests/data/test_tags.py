"""Tags and spans: against conlleval's rules spelt out, over every short sequence, and by hand."""

import re
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.tags import (
    SCHEMES,
    Span,
    as_iob,
    check_scheme,
    convert,
    detect_scheme,
    follows,
    follows_table,
    is_proper,
    spans_of,
    split_tag,
    tags_of,
    with_types,
)
from ner_lab.errors import UserError

TYPES = ("LOC", "PER")
LETTERS = {"IO": "I", "IOB1": "IB", "IOB2": "IB", "IOBES": "IBES", "BILOU": "IBLU"}
ALPHABET = {scheme: ["O", *(f"{a}-{b}" for b in TYPES for a in letters)] for scheme, letters in LETTERS.items()}
LETTER_BY_LETTER = {"O": "O", "B": "B", "I": "I", "E": "I", "S": "B", "L": "I", "U": "B"}
SPLIT_SCHEMES = [scheme for scheme in SCHEMES if scheme != "IO"]
"""The schemes that keep two touching entities of one type apart."""


# The two rules of the shared tasks' Perl script, as they stand there.


def end_of_chunk(before: str, after: str, type_before: str, type_after: str) -> bool:
    ends = False
    if before == "B" and after == "B":
        ends = True
    if before == "B" and after == "O":
        ends = True
    if before == "I" and after == "B":
        ends = True
    if before == "I" and after == "O":
        ends = True
    if before not in ("O", ".") and type_before != type_after:
        ends = True
    return ends


def start_of_chunk(before: str, after: str, type_before: str, type_after: str) -> bool:
    starts = False
    if before == "B" and after == "B":
        starts = True
    if before == "I" and after == "B":
        starts = True
    if before == "O" and after == "B":
        starts = True
    if before == "O" and after == "I":
        starts = True
    if after not in ("O", ".") and type_before != type_after:
        starts = True
    return starts


def conlleval_chunks(tags: list[str]) -> list[Span]:
    """The chunks conlleval.pl counts in tags of the letters B, I and O."""
    chunks = []
    first = 0
    before, type_before = "O", ""
    for position, tag in enumerate([*tags, "O"]):
        after, type_after = (tag[0], tag[2:]) if "-" in tag else (tag, "")
        if end_of_chunk(before, after, type_before, type_after):
            chunks.append(Span(type_before, first, position))
        if start_of_chunk(before, after, type_before, type_after):
            first = position
        before, type_before = after, type_after
    return chunks


def is_written_by_the_grammar(tags: list[str], scheme: str) -> bool:
    """Whether `tags` are a row of entities and O's as the scheme writes them, by a regular expression."""
    text = "".join(f"{tag} " for tag in tags)
    entity = {
        "IO": r"(I-\w+ )",
        "IOB1": r"(I-(\w+) (?:I-\2 )*(?:B-\2 (?:I-\2 )*)*)",  # a B opens what touches an entity of its type
        "IOB2": r"(B-(\w+) (?:I-\2 )*)",
        "IOBES": r"(S-\w+ |B-(\w+) (?:I-\2 )*E-\2 )",
        "BILOU": r"(U-\w+ |B-(\w+) (?:I-\2 )*L-\2 )",
    }[scheme]
    return re.fullmatch(rf"(?:O |{entity})*", text) is not None


def every_sequence(scheme: str, longest: int) -> list[list[str]]:
    return [list(tags) for length in range(longest + 1) for tags in product(ALPHABET[scheme], repeat=length)]


@st.composite
def spans_and_length(draw: st.DrawFn) -> tuple[list[Span], int]:
    spans, position = [], 0
    for gap, length, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(TYPES)), max_size=8)
    ):
        spans.append(Span(kind, position + gap, position + gap + length))
        position += gap + length
    return spans, position + draw(st.integers(0, 2))


# spans


def test_spans_are_conllevals_chunks_in_every_short_sequence_proper_or_not() -> None:
    for tags in every_sequence("IOB2", 6):
        assert spans_of(tags) == conlleval_chunks(tags), tags


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-creative-work", "I-creative-work"])))
def test_spans_are_conllevals_chunks_in_long_random_sequences(tags: list[str]) -> None:
    assert spans_of(tags) == conlleval_chunks(tags)


@pytest.mark.parametrize("scheme", ["IOBES", "BILOU"])
def test_longer_schemes_have_the_spans_of_their_letters_rewritten_one_by_one(scheme: str) -> None:
    for tags in every_sequence(scheme, 4):
        rewritten = [LETTER_BY_LETTER[tag[0]] + tag[1:] for tag in tags]
        assert as_iob(tags) == rewritten
        assert spans_of(tags) == conlleval_chunks(rewritten), tags


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("", []),
        ("O O", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)]),
        ("I-PER I-PER B-PER", [("PER", 0, 2), ("PER", 2, 3)]),
        ("O I-PER I-LOC", [("PER", 1, 2), ("LOC", 2, 3)]),
        ("B-PER O I-PER", [("PER", 0, 1), ("PER", 2, 3)]),
        ("B-PER I-PER E-PER S-PER", [("PER", 0, 3), ("PER", 3, 4)]),
        ("E-PER E-PER", [("PER", 0, 2)]),
        ("S-PER I-PER L-LOC U-LOC", [("PER", 0, 2), ("LOC", 2, 3), ("LOC", 3, 4)]),
        ("B-creative-work I-creative-work", [("creative-work", 0, 2)]),
    ],
)
def test_spans_of_hand_made_cases(tags: str, spans: list[tuple[str, int, int]]) -> None:
    assert spans_of(tags.split()) == spans


# tags and back


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_sequence_is_proper_exactly_if_the_schemes_grammar_writes_it(scheme: str) -> None:
    for tags in every_sequence(scheme, 4):
        assert is_proper(tags, scheme) == is_written_by_the_grammar(tags, scheme), tags


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tags_to_spans_to_tags_is_the_identity_exactly_on_proper_sequences(scheme: str) -> None:
    for tags in every_sequence(scheme, 4):
        again = tags_of(spans_of(tags), len(tags), scheme)
        assert (again == tags) == is_written_by_the_grammar(tags, scheme), tags
        assert is_written_by_the_grammar(again, scheme), tags


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=25, deadline=None)
@given(where=spans_and_length())
def test_tags_to_spans_to_tags_is_the_identity_on_long_sequences(scheme: str, where: tuple[list[Span], int]) -> None:
    tags = tags_of(*where, scheme)
    assert len(tags) == where[1]
    assert is_written_by_the_grammar(tags, scheme)
    assert convert(tags, scheme) == tags


@pytest.mark.parametrize("scheme", SPLIT_SCHEMES)
@settings(max_examples=25, deadline=None)
@given(where=spans_and_length())
def test_spans_to_tags_to_spans_is_the_identity(scheme: str, where: tuple[list[Span], int]) -> None:
    spans, length = where
    assert spans_of(tags_of(spans, length, scheme)) == spans
    assert tags_of(reversed(spans), length, scheme) == tags_of(spans, length, scheme)


@settings(max_examples=25, deadline=None)
@given(where=spans_and_length())
def test_io_keeps_the_type_of_every_token_and_joins_what_touches(where: tuple[list[Span], int]) -> None:
    spans, length = where
    types = {position: kind for kind, start, end in spans for position in range(start, end)}
    tags = tags_of(spans, length, "IO")
    assert tags == [f"I-{types[position]}" if position in types else "O" for position in range(length)]
    found = spans_of(tags)
    assert all(a.end < b.start or a.type != b.type for a, b in pairwise(found))


@pytest.mark.parametrize("source", SCHEMES)
@pytest.mark.parametrize("target", SPLIT_SCHEMES)
def test_conversion_keeps_the_spans_of_any_sequence(source: str, target: str) -> None:
    for tags in every_sequence(source, 3):
        converted = convert(tags, target)
        assert spans_of(converted) == spans_of(tags), tags
        assert set(converted) <= set(ALPHABET[target])
        assert convert(converted, source) == convert(tags, source)


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IO", "I-PER I-PER I-PER O I-LOC I-PER"),
        ("IOB1", "I-PER I-PER B-PER O I-LOC I-PER"),
        ("IOB2", "B-PER I-PER B-PER O B-LOC B-PER"),
        ("IOBES", "B-PER E-PER S-PER O S-LOC S-PER"),
        ("BILOU", "B-PER L-PER U-PER O U-LOC U-PER"),
    ],
)
def test_one_sentence_in_every_scheme(scheme: str, tags: str) -> None:
    spans = [Span("PER", 0, 2), Span("PER", 2, 3), Span("LOC", 4, 5), Span("PER", 5, 6)]
    assert tags_of(spans, 6, scheme) == tags.split()


@pytest.mark.parametrize(
    "spans",
    [
        [Span("PER", 0, 2), Span("LOC", 1, 3)],
        [Span("PER", 0, 3), Span("LOC", 1, 2)],
        [Span("PER", 2, 2)],
        [Span("PER", 2, 1)],
        [Span("PER", -1, 1)],
        [Span("PER", 3, 5)],
    ],
)
def test_spans_that_overlap_are_empty_or_leave_the_sentence_are_refused(spans: list[Span]) -> None:
    with pytest.raises(ValueError, match=rf"{spans[-1].type} {spans[-1].start}\.\.{spans[-1].end}"):
        tags_of(spans, 4, "IOB2")


def test_tags_of_an_unknown_scheme_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'IOBX' is not a tag scheme.*IOBES"):
        tags_of([Span("PER", 0, 1)], 1, "IOBX")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_letter_of_another_scheme_is_never_proper(scheme: str) -> None:
    for letter in set("BIESLU") - set(LETTERS[scheme]):
        assert not is_proper([f"{letter}-PER"], scheme)
        assert not follows("O", f"{letter}-PER", scheme)
        assert not follows(f"{letter}-PER", "O", scheme)


# tags by themselves


@pytest.mark.parametrize("tag", ["", "B", "B-", "-PER", "PER", "X-PER", "b-PER", "O-PER", "PER-B", "BI-PER", "o", "_"])
def test_what_is_no_tag_is_refused_by_its_name(tag: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"'{tag}' is not a tag: expected O, or one of B- I-")):
        split_tag(tag)
    with pytest.raises(ValueError, match="is not a tag"):
        spans_of(["O", tag])


def test_an_entity_type_may_hold_dashes() -> None:
    assert split_tag("I-creative-work") == ("I", "creative-work")
    assert split_tag("B-B-PER") == ("B", "B-PER")


# recognising a scheme


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=25, deadline=None)
@given(corpus=st.lists(spans_and_length(), max_size=4))
def test_a_corpus_is_recognised_in_the_scheme_it_was_written_in(
    scheme: str, corpus: list[tuple[list[Span], int]]
) -> None:
    touching = ([Span("PER", 0, 2), Span("PER", 2, 3)], 3)  # what tells IOB1 from IO
    assert detect_scheme([tags_of(*where, scheme) for where in [*corpus, touching]]) == scheme


@settings(max_examples=25, deadline=None)
@given(where=spans_and_length(), scheme=st.sampled_from(SCHEMES))
def test_whatever_scheme_is_recognised_reads_a_proper_sequence_as_proper(
    where: tuple[list[Span], int], scheme: str
) -> None:
    tags = tags_of(*where, scheme)
    assert is_proper(tags, detect_scheme([tags]))


def test_a_few_stray_letters_do_not_change_what_a_corpus_mostly_is() -> None:
    iob1 = ["O", "I-PER", "I-PER", "B-PER"]
    iob2 = ["O", "B-PER", "I-PER", "B-PER"]
    assert detect_scheme([iob1, iob1, ["B-MISC", "I-MISC"]]) == "IOB1"
    assert detect_scheme([iob2, iob2, ["I-MISC", "I-MISC"]]) == "IOB2"


def test_an_entity_that_follows_one_of_another_type_tells_iob1_from_iob2() -> None:
    assert detect_scheme([["I-PER", "I-LOC", "B-LOC"]]) == "IOB1"
    assert detect_scheme([["B-PER", "B-LOC", "B-LOC"]]) == "IOB2"
    assert detect_scheme([["I-PER", "B-LOC", "B-PER"]]) == "IOB2"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_table_of_what_may_follow_holds_each_pair(scheme: str) -> None:
    tags = ["O", *(f"{letter}-{entity_type}" for entity_type in ("PER", "LOC") for letter in "BIESLU"), "O"]
    assert follows_table(tags, scheme) == [[follows(before, after, scheme) for after in tags] for before in tags]


def test_letters_of_iobes_and_bilou_together_are_refused() -> None:
    with pytest.raises(ValueError, match="mix the letters of IOBES and BILOU: B, E, U"):
        detect_scheme([["B-PER", "E-PER"], ["O", "U-PER"]])


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("BIO", "IOB2"), ("bio", "IOB2"), ("BIOES", "IOBES"), ("IOB", "IOB1"), ("biluo", "BILOU"), ("iobes", "IOBES")],
)
def test_other_names_of_the_schemes_are_understood(name: str, scheme: str) -> None:
    assert check_scheme(name) == scheme


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_known_by_its_own_name(scheme: str) -> None:
    assert check_scheme(scheme) == scheme


@pytest.mark.parametrize("name", ["IOBX", "", None, 3])
def test_an_unknown_scheme_is_an_error_that_lists_the_schemes(name: object) -> None:
    with pytest.raises(UserError, match=rf"'{name}' is not a tag scheme; use one of IO, IOB1, IOB2, IOBES, BILOU"):
        check_scheme(name)  # type: ignore[arg-type]


# other names for types

NAMES = {"A": "PER", "B": "LOC", "C": "O"}


@pytest.mark.parametrize(
    ("scheme", "tags", "renamed"),
    [
        ("IOB2", "B-A I-A O B-B B-C I-C", "B-PER I-PER O B-LOC O O"),
        ("IOB2", "B-A I-B I-B", "B-PER I-LOC I-LOC"),  # improper stays improper
        ("IOB1", "I-PER I-A I-A", "I-PER B-PER I-PER"),  # neighbours that now have one type stay two
        ("IOB1", "I-C I-A B-A", "O I-PER B-PER"),
        ("IO", "I-PER I-A", "I-PER I-PER"),
        ("IOBES", "S-A B-PER E-PER S-D", "S-PER B-PER E-PER S-D"),
    ],
)
def test_types_get_other_names_and_entities_stay(scheme: str, tags: str, renamed: str) -> None:
    found = with_types(tags.split(), NAMES, scheme)
    assert found == renamed.split()
    assert is_proper(found, scheme) == is_proper(tags.split(), scheme)


@pytest.mark.parametrize("scheme", SPLIT_SCHEMES)
def test_mapping_every_type_to_one_keeps_every_span(scheme: str) -> None:
    for tags in product(ALPHABET[scheme], repeat=3):
        renamed = with_types(tags, {"LOC": "X", "PER": "X"}, scheme)
        assert spans_of(renamed) == [span._replace(type="X") for span in spans_of(tags)]
