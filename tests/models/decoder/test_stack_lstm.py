"""The Stack-LSTM decoder against a plain reader of one sentence that pushes and pops, and against enumeration."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ner_lab.data.tags import SCHEMES, is_proper
from ner_lab.data.vocab import TagVocab
from ner_lab.errors import UserError
from ner_lab.models.decoder.stack_lstm.actions import OUT, SHIFT, actions_of, oracle, spans_by, tags_by
from ner_lab.models.decoder.stack_lstm.decoder import StackLSTM
from ner_lab.models.decoder.stack_lstm.oracle import Oracle
from ner_lab.models.decoder.stack_lstm.span_tags import SpanTags
from ner_lab.models.layers.dropout import Dropout

TYPES = ["LOC", "PER"]
DIM = 5
OPTIONS: dict[str, dict[str, Any]] = {
    "code": {},
    "composed": {"outside": "composed"},
    "no guard": {"guard_in_chunk": False},
    "no out inside": {"out_inside": False},
    "one layer": {"num_layers": 1, "chunk_layers": 1},
    "all else": {"outside": "composed", "guard_in_chunk": False, "out_inside": False, "num_layers": 3},
}
LENGTHS = [6, 1, 4, 2, 6]
MASK = torch.arange(6) < torch.tensor(LENGTHS)[:, None]


def decoder_of(
    seed: int = 0, *, types: Sequence[str] = TYPES, scheme: str = "IOB2", spread: float | None = 0.6, **options: Any
) -> StackLSTM:
    """A small decoder in double precision; `spread` draws all weights so that its actions vary."""
    torch.manual_seed(seed)
    sizes = {"token_dim": 4, "hidden_dim": 3, "num_layers": 2, "state_dim": 6, "action_dim": 2}
    chunk = {"chunk_hidden_dim": 2, "chunk_layers": 2, "label_dim": 3, "guard_in_chunk": True}
    rest = {"input_dim": DIM, "outside": "token", "out_inside": True, "dropout": 0.0, "forget_bias": 0.0}
    tags = TagVocab.of(types, scheme).items
    decoder = StackLSTM(**{"tags": tags, "scheme": scheme, **sizes, **chunk, **rest, **options}).double()
    if spread is not None:
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.normal_(std=spread)
    return decoder


def states(batch: int = 5, time: int = 6, seed: int = 0) -> Tensor:
    return 2 * torch.randn(batch, time, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def gold(batch: int = 5, time: int = 6, seed: int = 0, tags: int = 5) -> Tensor:
    return torch.randint(tags, (batch, time), generator=torch.Generator().manual_seed(seed))


def names(numbers: Tensor, scheme: str = "IOB2") -> list[str]:
    return [TagVocab.of(TYPES, scheme).items[number] for number in numbers.tolist()]


# the plain reader: one sentence, one action at a time


class PlainLSTM:
    """An LSTM with the weights of torch's, one step at a time; it keeps all states, so it can go back."""

    def __init__(self, lstm: nn.LSTM) -> None:
        self.lstm = lstm
        zeros = torch.zeros(lstm.hidden_size, dtype=torch.double)
        self.states = [[(zeros, zeros)] * lstm.num_layers]

    def read(self, vector: Tensor) -> None:
        after = []
        for layer, (state, memory) in enumerate(self.states[-1]):
            weights = [
                getattr(self.lstm, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            gates = weights[0] @ vector + weights[1] @ state + weights[2] + weights[3]
            enter, forget, new, leave = gates.chunk(4)
            memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
            vector = torch.sigmoid(leave) * torch.tanh(memory)
            after.append((vector, memory))
        self.states.append(after)

    @property
    def top(self) -> Tensor:
        return self.states[-1][-1][0]


class PlainStack(PlainLSTM):
    """A Stack-LSTM: items on a guard."""

    def __init__(self, part: Any, items: Sequence[Tensor] = ()) -> None:
        super().__init__(part.lstm)
        self.items: list[Tensor] = []
        for item in [part.guard, *items]:
            self.push(item)

    def push(self, item: Tensor) -> None:
        self.items.append(item)
        self.read(item)

    def pop(self) -> Tensor:
        self.states.pop()
        return self.items.pop()

    def __len__(self) -> int:
        return len(self.items) - 1


class PlainReader:
    """Lample et al. 2016, section 3, for one sentence `hidden (time, dim)`."""

    def __init__(self, decoder: StackLSTM, hidden: Tensor, *, composed: bool, guard: bool, out_inside: bool) -> None:
        self.decoder, self.composed, self.guard, self.out_inside = decoder, composed, guard, out_inside
        self.actions = actions_of(TYPES)
        words = list(torch.relu(hidden @ decoder.projection[0].weight.T + decoder.projection[0].bias))
        self.buffer = PlainStack(decoder.buffer, words[::-1])
        self.stack, self.output, self.history = map(PlainStack, (decoder.stack, decoder.output, decoder.history))

    def compose(self, tokens: list[Tensor], label: int) -> Tensor:
        encoder = self.decoder.chunk_encoder
        vectors = [self.decoder.stack.guard, *tokens] if self.guard else tokens
        ends = []
        for lstm, order in ((encoder.ahead, vectors), (encoder.back, vectors[::-1])):
            plain = PlainLSTM(lstm)
            for vector in order:
                plain.read(vector)
            ends.append(plain.top)
        joined = torch.cat([*ends, encoder.labels.weight[label]])
        return torch.relu(encoder.joint.weight @ joined + encoder.joint.bias)

    def valid(self) -> list[str]:
        found = [SHIFT] if len(self.buffer) else []
        if len(self.buffer) and (self.out_inside or not len(self.stack)):
            found.append(OUT)
        return found + (self.actions[2:] if len(self.stack) else [])

    def log_probabilities(self) -> dict[str, Tensor]:
        state, scores = self.decoder.state, self.decoder.scores
        tops = torch.cat([part.top for part in (self.buffer, self.stack, self.output, self.history)])
        all_scores = scores.weight @ torch.relu(state.weight @ tops + state.bias) + scores.bias
        valid = self.valid()
        own = torch.stack([all_scores[self.actions.index(action)] for action in valid])
        return dict(zip(valid, torch.log_softmax(own, dim=0), strict=True))

    def act(self, action: str) -> None:
        number = self.actions.index(action)
        self.history.push(self.decoder.action_vectors.weight[number])
        if action == SHIFT:
            self.stack.push(self.buffer.pop())
        elif action == OUT:
            word = self.buffer.pop()
            self.output.push(self.compose([word], len(TYPES)) if self.composed else word)
        else:
            held = [self.stack.pop() for _ in range(len(self.stack))][::-1]
            self.output.push(self.compose(held, number - 2))

    def finished(self) -> bool:
        return not len(self.buffer) and not len(self.stack)


def read(
    decoder: StackLSTM, hidden: Tensor, choose: Callable[[dict[str, Tensor]], str], **options: Any
) -> tuple[list[str], Tensor]:
    """The actions taken, and the logarithm of their probability."""
    reader = PlainReader(
        decoder,
        hidden,
        composed=options.get("outside") == "composed",
        guard=options.get("guard_in_chunk", True),
        out_inside=options.get("out_inside", True),
    )
    actions, total = [], torch.zeros((), dtype=torch.double)
    while not reader.finished():
        chances = reader.log_probabilities()
        action = choose(chances)
        total = total + chances[action]
        actions.append(action)
        reader.act(action)
    return actions, total


def following(actions: Sequence[str]) -> Callable[[dict[str, Tensor]], str]:
    ahead = iter(actions)
    return lambda chances: next(ahead)


def likeliest(chances: dict[str, Tensor]) -> str:
    return max(chances, key=lambda action: chances[action].item())


# against the plain reader


@pytest.mark.parametrize("kind", OPTIONS)
def test_the_loss_is_that_of_a_reader_that_follows_the_oracle_action_by_action(kind: str) -> None:
    decoder, hidden = decoder_of(**OPTIONS[kind]), states()
    for seed in range(3):
        tags = gold(seed=seed)
        found = decoder.loss(hidden, tags, MASK)
        for row, length in enumerate(LENGTHS):
            actions = oracle(names(tags[row, :length]))
            taken, total = read(decoder, hidden[row, :length], following(actions), **OPTIONS[kind])
            assert taken == actions
            torch.testing.assert_close(found[row], -total)


@pytest.mark.parametrize("kind", OPTIONS)
def test_all_gradients_are_those_of_that_reader(kind: str) -> None:
    decoder, hidden, tags = decoder_of(**OPTIONS[kind]), states().requires_grad_(), gold()
    decoder.loss(hidden, tags, MASK).sum().backward()
    trained = [*(part for part in decoder.parameters() if part.requires_grad), hidden]
    found = [part.grad.clone() for part in trained]
    decoder.zero_grad()
    hidden.grad = None
    for row, length in enumerate(LENGTHS):
        actions = oracle(names(tags[row, :length]))
        (-read(decoder, hidden[row, :length], following(actions), **OPTIONS[kind])[1]).backward()
    for part, gradient in zip(trained, found, strict=True):
        torch.testing.assert_close(gradient, torch.zeros_like(part) if part.grad is None else part.grad)


@torch.no_grad()
def wavering(seed: int, **options: Any) -> StackLSTM:
    """A decoder whose next action hangs on the words more than on what it did before."""
    decoder = decoder_of(seed, spread=1.0, **options)
    for name, parameter in decoder.named_parameters():
        if "bias" in name:
            parameter.zero_()
    decoder.state.weight[:, :3] *= 3  # the buffer's state
    decoder.scores.weight[2:] *= 0.7
    return decoder


@torch.no_grad()
@pytest.mark.parametrize("kind", OPTIONS)
def test_decoding_takes_the_likeliest_action_at_each_step(kind: str) -> None:
    seen, gaps = set(), 0
    for seed in range(6):
        decoder, hidden = wavering(seed, **OPTIONS[kind]), states(seed=seed)
        found = decoder.decode(hidden, MASK)
        for row, length in enumerate(LENGTHS):
            actions, _ = read(decoder, hidden[row, :length], likeliest, **OPTIONS[kind])
            assert names(found[row, :length]) == tags_by(actions, length, "IOB2")
            assert len(actions) <= 2 * length
            seen |= set(actions)
            gaps += any(before == SHIFT and after == OUT for before, after in pairwise(actions))
    assert seen == set(actions_of(TYPES)), "the examples show every action"
    assert (gaps > 0) is OPTIONS[kind].get("out_inside", True), "and words passed by within chunks"


@torch.no_grad()
@pytest.mark.parametrize("scheme", SCHEMES)
def test_tags_are_written_in_the_scheme_and_its_own_tags_are_read(scheme: str) -> None:
    tags = TagVocab.of(TYPES, scheme).items
    decoder, hidden = wavering(3, scheme=scheme), states(seed=3)
    for row, length in enumerate(LENGTHS):
        actions, _ = read(decoder, hidden[row, :length], likeliest)
        found = [tags[tag] for tag in decoder.decode(hidden, MASK)[row, :length].tolist()]
        assert found == tags_by(actions, length, scheme)
        assert is_proper(found, scheme)
        numbers = torch.tensor([[tags.index(tag) for tag in found]])
        loss = decoder.loss(hidden[row : row + 1, :length], numbers, MASK[row : row + 1, :length])[0]
        torch.testing.assert_close(loss, -read(decoder, hidden[row, :length], following(oracle(found)))[1])


# enumeration


def every_reading(decoder: StackLSTM, hidden: Tensor, out_inside: bool) -> Iterator[tuple[list[str], Tensor]]:
    """All action sequences of a sentence with their log probabilities."""
    waiting: list[list[str]] = [[]]
    while waiting:
        prefix = waiting.pop()
        reader = PlainReader(decoder, hidden, composed=False, guard=True, out_inside=out_inside)
        total = torch.zeros((), dtype=torch.double)
        for action in prefix:
            total = total + reader.log_probabilities()[action]
            reader.act(action)
        if reader.finished():
            yield prefix, total
        else:
            waiting.extend([*prefix, action] for action in reader.valid())


@torch.no_grad()
@pytest.mark.parametrize("out_inside", [True, False])
def test_probabilities_of_all_ways_to_read_a_sentence_sum_to_one(out_inside: bool) -> None:
    decoder, hidden = decoder_of(out_inside=out_inside), states(1, 3)
    readings = list(every_reading(decoder, hidden[0], out_inside))
    total = torch.stack([chance for _, chance in readings]).exp().sum()
    torch.testing.assert_close(total, torch.ones((), dtype=torch.double))
    known = {tuple(actions): chance for actions, chance in readings}
    assert len(known) == len(readings)
    rows = torch.tensor(list(product(range(5), repeat=3)))
    losses = decoder.loss(hidden.expand(len(rows), -1, -1), rows, torch.ones_like(rows, dtype=torch.bool))
    expected = torch.stack([known[tuple(oracle(names(row)))] for row in rows])
    torch.testing.assert_close(-losses, expected)


def test_without_out_inside_probabilities_of_all_taggings_sum_to_one() -> None:
    rows = torch.tensor([row for row in product(range(5), repeat=4) if is_proper(names(torch.tensor(row)), "IOB2")])
    hidden, mask = states(1, 4).expand(len(rows), -1, -1), torch.ones_like(rows, dtype=torch.bool)
    inside, outside = (
        torch.exp(-decoder_of(out_inside=option).loss(hidden, rows, mask)).sum() for option in (True, False)
    )
    torch.testing.assert_close(outside, torch.ones((), dtype=torch.double))
    assert inside < 0.999


# batches


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=9), min_size=1, max_size=5), spare=st.integers(0, 2)
)
def test_the_oracle_of_a_batch_is_that_of_each_sentence(rows: list[list[int]], spare: int) -> None:
    time = max(map(len, rows)) + spare
    tags = torch.tensor([row + [3] * (time - len(row)) for row in rows])
    mask = torch.arange(time) < torch.tensor([len(row) for row in rows])[:, None]
    found = Oracle.of(*SpanTags(TagVocab.of(TYPES, "IOB2").items, "IOB2").read(tags, mask), mask)
    expected = [oracle(names(torch.tensor(row))) for row in rows]
    numbers = [[actions_of(TYPES).index(action) for action in actions] for actions in expected]
    assert found.action.tolist() == [number for row in numbers for number in row]
    assert found.sentence.tolist() == [row for row, actions in enumerate(numbers) for _ in actions]
    assert found.actions.tolist() == [row + [0] * (max(map(len, numbers)) - len(row)) for row in numbers]
    spans = [
        (span.type, [row * time + place for place in range(span.start, span.end)])
        for row, actions in enumerate(expected)
        for span in spans_by(actions, len(rows[row]))
    ]
    chunks = zip(found.chunk_types, found.chunk_tokens, found.chunk_lengths, strict=True)
    held = [(TYPES[kind], tokens[:size].tolist()) for kind, tokens, size in chunks]
    assert held[0][1] == []
    assert held[1:] == spans


# edges


def test_without_entity_types_every_word_is_outside() -> None:
    decoder, hidden = decoder_of(types=[]), states()
    assert not decoder.decode(hidden, MASK).any()
    assert not decoder.loss(hidden, torch.zeros(5, 6, dtype=torch.long), MASK).any(), "nothing else was possible"


# dropout, initial values, settings


def test_dropout_is_in_every_network_but_the_outputs_and_only_in_training() -> None:
    decoder, hidden, tags = decoder_of(dropout=0.4), states(), gold()
    dropped = {name for name, part in decoder.named_modules() if isinstance(part, Dropout) and part.p == 0.4}
    assert dropped == {"buffer.dropout", "stack.dropout", "history.dropout", "chunk_encoder.dropout"}
    assert {name for name, part in decoder.named_modules() if isinstance(part, nn.LSTM) and part.dropout == 0.4} == {
        "buffer.lstm",
        "stack.lstm",
        "history.lstm",
        "chunk_encoder.ahead",
        "chunk_encoder.back",
    }
    assert not torch.equal(decoder.loss(hidden, tags, MASK), decoder.loss(hidden, tags, MASK))
    decoder.eval()
    assert torch.equal(decoder.loss(hidden, tags, MASK), decoder_of().loss(hidden, tags, MASK))


def test_biases_start_at_zero_but_those_of_forget_gates() -> None:
    decoder = decoder_of(spread=None, forget_bias=0.75)
    for name, parameter in decoder.named_parameters():
        if "bias_ih" in name:
            size = len(parameter) // 4
            assert (parameter[size : 2 * size] == 0.75).all(), name
            assert not parameter[:size].any(), name
            assert not parameter[2 * size :].any(), name
        elif "bias" in name:
            assert not parameter.any(), name
            assert parameter.requires_grad is ("bias_hh" not in name), name
        else:
            assert parameter.any(), name


def test_scores_of_sparse_features_are_refused_with_the_way_out() -> None:
    decoder, direct = decoder_of(), torch.zeros(5, 6, 5)
    for call in (
        lambda: decoder.loss(states(), gold(), MASK, direct),
        lambda: decoder.decode(states(), MASK, direct),
    ):
        with pytest.raises(UserError, match=r"scores actions.*features\.wiring=encoder"):
            call()
