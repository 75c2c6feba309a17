"""Tags to spans and back on tensors: against the functions on strings, over every short sequence."""

from itertools import product

import pytest
import torch

from ner_lab.data.tags import SCHEMES, Span, spans_of, tags_of
from ner_lab.data.vocab import TagVocab
from ner_lab.errors import UserError
from ner_lab.models.decoder.stack_lstm.span_tags import SpanTags

TYPES = ["LOC", "PER"]


def vocab_of(scheme: str) -> TagVocab:
    return TagVocab.of(TYPES, scheme)


def sequences(scheme: str, time: int) -> torch.Tensor:
    return torch.tensor(list(product(range(len(vocab_of(scheme))), repeat=time)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_spans_are_read_as_conlleval_reads_them_proper_or_not(scheme: str) -> None:
    vocab = vocab_of(scheme)
    tags = sequences(scheme, 4)[:: 1 if scheme in ("IO", "IOB1", "IOB2") else 7]
    types, starts = SpanTags(vocab.items, scheme).read(tags, torch.ones_like(tags, dtype=torch.bool))
    for row, own_types, own_starts in zip(tags.tolist(), types.tolist(), starts.tolist(), strict=True):
        spans = spans_of([vocab.items[tag] for tag in row])
        assert [place for place, start in enumerate(own_starts) if start] == [span.start for span in spans]
        inside = {place: TYPES.index(span.type) for span in spans for place in range(span.start, span.end)}
        assert own_types == [inside.get(place, -1) for place in range(4)]


def test_padding_is_outside_whatever_its_tags() -> None:
    reader = SpanTags(["O", "B-PER", "I-PER"], "IOB2")
    tags, mask = torch.tensor([[1, 2, 99, -5]]), torch.tensor([[True, True, False, False]])
    types, starts = reader.read(tags, mask)
    assert types.tolist() == [[0, 0, -1, -1]]
    assert starts.tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_spans_are_written_as_the_scheme_writes_them(scheme: str) -> None:
    vocab, time = vocab_of(scheme), 4
    choices = [(number, kind) for number in (1, 2) for kind in (0, 1)]
    for row in product([(0, 0), *choices], repeat=time):
        if any(before[0] == after[0] and before[1] != after[1] for before, after in product(row, row)):
            continue  # a span has one type
        spans = []
        for place, (number, kind) in enumerate(row):
            if number and place and row[place - 1][0] == number:
                spans[-1] = spans[-1]._replace(end=place + 1)
            elif number:
                spans.append(Span(TYPES[kind], place, place + 1))
        numbers, types = torch.tensor(row)[None].unbind(dim=2)
        found = SpanTags(vocab.items, scheme).write(numbers, types)[0]
        assert [vocab.items[tag] for tag in found.tolist()] == tags_of(spans, time, scheme), row


def test_the_number_of_o_and_the_order_of_tags_are_free() -> None:
    tags = ["I-PER", "O", "B-PER"]
    spans = SpanTags(tags, "IOB2")
    found = spans.write(torch.tensor([[1, 1, 0, 2]]), torch.tensor([[0, 0, 0, 0]]))
    assert [tags[tag] for tag in found[0].tolist()] == ["B-PER", "I-PER", "O", "B-PER"]
    types, starts = spans.read(found, torch.ones_like(found, dtype=torch.bool))
    assert types.tolist() == [[0, 0, -1, 0]]
    assert starts.tolist() == [[True, False, False, True]]


def test_tags_without_what_the_scheme_writes_are_refused() -> None:
    with pytest.raises(UserError, match="IOB2 needs the tag I-LOC, which is not among the tags O, B-LOC"):
        SpanTags(["O", "B-LOC"], "IOB2")


def test_o_alone_has_no_types() -> None:
    spans, mask = SpanTags(["O"], "IOB2"), torch.ones(1, 3, dtype=torch.bool)
    types, starts = spans.read(torch.zeros(1, 3, dtype=torch.long), mask)
    assert types.tolist() == [[-1, -1, -1]]
    assert not starts.any()
    assert spans.write(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long)).tolist() == [[0, 0, 0]]
