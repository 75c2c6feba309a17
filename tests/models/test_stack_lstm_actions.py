"""Transitions: the paper's example, what is valid, and tags -> actions -> tags on random and real sentences."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.tags import SCHEMES, Span, convert, spans_of
from ner_lab.models.decoder.stack_lstm.actions import (
    OUT,
    SHIFT,
    Chunk,
    actions_of,
    chunks_by,
    is_valid,
    oracle,
    reduce_to,
    spans_by,
    tags_by,
)

LETTERS = {"IO": "I", "IOB1": "IB", "IOB2": "IB", "IOBES": "IBES", "BILOU": "IBLU"}
ALPHABET = {
    scheme: ["O", *(f"{a}-{b}" for b in ("LOC", "PER") for a in letters)] for scheme, letters in LETTERS.items()
}
ACTIONS = [SHIFT, OUT, reduce_to("LOC"), reduce_to("PER")]


def test_the_papers_example() -> None:
    tags = ["B-PER", "I-PER", "O", "B-LOC"]  # Mark Watney visited Mars
    actions = ["SHIFT", "SHIFT", "REDUCE(PER)", "OUT", "SHIFT", "REDUCE(LOC)"]
    assert oracle(tags) == actions
    assert tags_by(actions, 4, "IOB2") == tags


def test_actions_are_numbered_shift_out_and_a_reduce_for_each_type() -> None:
    assert actions_of(["LOC", "PER"]) == ["SHIFT", "OUT", "REDUCE(LOC)", "REDUCE(PER)"]
    assert actions_of([]) == ["SHIFT", "OUT"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_oracle_gives_back_the_spans_of_every_short_sequence_proper_or_not(scheme: str) -> None:
    for length in range(4):
        for tags in product(ALPHABET[scheme], repeat=length):
            actions = oracle(tags)
            assert spans_by(actions, length, out_inside=False) == spans_of(tags), tags
            assert tags_by(actions, length, scheme) == convert(tags, scheme), tags


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_oracle_gives_back_the_spans_of_long_sequences_in_few_actions(data: st.DataObject) -> None:
    scheme = data.draw(st.sampled_from(SCHEMES))
    tags = data.draw(st.lists(st.sampled_from(ALPHABET[scheme]), max_size=40))
    actions = oracle(tags)
    assert spans_by(actions, len(tags), out_inside=False) == spans_of(tags)
    assert len(actions) == len(tags) + len(spans_of(tags)) <= 2 * len(tags)
    assert set(actions) <= set(ACTIONS)


def test_every_way_to_read_a_sentence_ends_within_two_actions_for_each_word() -> None:
    for length, out_inside in product(range(5), (True, False)):
        longest = 0
        waiting: list[tuple[list[str], int, int]] = [([], length, 0)]
        while waiting:
            actions, unread, held = waiting.pop()
            if not unread and not held:
                longest = max(longest, len(actions))
                chunks_by(actions, length, out_inside=out_inside)  # accepts what was valid at each step
                continue
            steps = [each for each in ACTIONS if is_valid(each, unread=unread, held=held, out_inside=out_inside)]
            assert steps, "nothing can be done, but words are left"
            for step in steps:
                moved = step in (SHIFT, OUT)
                now_held = held + (step == SHIFT) if moved else 0
                waiting.append(([*actions, step], unread - moved, now_held))
        assert longest == 2 * length


@pytest.mark.parametrize(
    ("unread", "held", "out_inside", "valid"),
    [
        (2, 0, True, "SHIFT OUT"),
        (2, 0, False, "SHIFT OUT"),
        (2, 3, True, "SHIFT OUT REDUCE(LOC) REDUCE(PER)"),
        (2, 3, False, "SHIFT REDUCE(LOC) REDUCE(PER)"),
        (0, 3, True, "REDUCE(LOC) REDUCE(PER)"),
        (0, 3, False, "REDUCE(LOC) REDUCE(PER)"),
        (0, 0, True, ""),
        (0, 0, False, ""),
    ],
)
def test_what_is_valid_follows_from_what_buffer_and_stack_hold(
    unread: int, held: int, out_inside: bool, valid: str
) -> None:
    found = [action for action in ACTIONS if is_valid(action, unread=unread, held=held, out_inside=out_inside)]
    assert found == valid.split()


def test_words_passed_by_within_a_chunk_part_its_spans() -> None:
    actions = ["SHIFT", "OUT", "SHIFT", "SHIFT", "OUT", "OUT", "SHIFT", "REDUCE(PER)", "SHIFT", "REDUCE(PER)"]
    assert chunks_by(actions, 8) == [Chunk("PER", (0, 2, 3, 6)), Chunk("PER", (7,))]
    assert spans_by(actions, 8) == [Span("PER", 0, 1), Span("PER", 2, 4), Span("PER", 6, 7), Span("PER", 7, 8)]
    assert tags_by(actions, 8, "IOBES") == ["S-PER", "O", "B-PER", "E-PER", "O", "O", "S-PER", "S-PER"]


@pytest.mark.parametrize(
    ("actions", "length", "message"),
    [
        ("OUT SHIFT OUT REDUCE(PER)", 3, "action 2, OUT, is not possible: 1 words are unread and 1 on the stack"),
        ("REDUCE(PER)", 1, "action 0, REDUCE"),
        ("SHIFT SHIFT", 1, "action 1, SHIFT, is not possible: 0 words are unread"),
        ("SHIFT", 1, "the actions end while 0 words are unread and 1 on the stack"),
        ("OUT", 2, "the actions end while 1 words are unread and 0 on the stack"),
    ],
)
def test_actions_that_cannot_be_taken_or_stop_early_are_refused(actions: str, length: int, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        chunks_by(actions.split(), length, out_inside=False)
