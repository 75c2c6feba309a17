"""The Stack-LSTM decoder: parses a sentence into chunks, action by action (Lample et al. 2016, section 3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.errors import UserError, check_choice
from ner_lab.models.decoder.stack_lstm.actions import actions_of, is_valid
from ner_lab.models.decoder.stack_lstm.chunk_encoder import ChunkEncoder
from ner_lab.models.decoder.stack_lstm.oracle import Oracle
from ner_lab.models.decoder.stack_lstm.parser_state import ParserState
from ner_lab.models.decoder.stack_lstm.span_tags import SpanTags
from ner_lab.models.decoder.stack_lstm.stack import GuardedLSTM, StackState
from ner_lab.models.layers.checks import check_int_range, check_probability
from ner_lab.models.layers.init import embedding_uniform, glorot, linear
from ner_lab.models.layers.recurrent import reorder, reversal

_SHIFT, _OUT, _REDUCE = 0, 1, 2  # numbers of actions; REDUCE to type y is _REDUCE + y


class StackLSTM(nn.Module):
    """Actions chosen by four Stack-LSTMs: over buffer, stack, output and the actions so far.

    Lample et al. 2016, section 3, and their code. Training follows the oracle's actions; decoding takes the best action
    at each step. Actions: see `actions.py` in this folder. If OUT skipped words between two SHIFTs, each run of
    adjacent tokens that one REDUCE took from the stack becomes a span.

    tags: the tags by number; scheme: their tag scheme. Entity types are those of `tags`.
    token_dim: size of the token vectors that a ReLU layer makes from the input, and of chunk vectors.
    hidden_dim, num_layers: of each Stack-LSTM.
    state_dim: of the ReLU layer over the four states; action_dim: of the vectors of actions.
    chunk_hidden_dim, chunk_layers, label_dim: see `ChunkEncoder`.
    guard_in_chunk: the LSTMs over a chunk also read the stack's guard (the authors' code).
    outside: what OUT writes to the output: `token`, the token's vector (the authors' code), or `composed`, that of a
    chunk without a type (figure 2).
    out_inside: OUT is allowed while words are on the stack (the authors' code).
    dropout: in all LSTMs but the output's (the authors' code); see `GuardedLSTM` and `ChunkEncoder`.
    forget_bias: initial biases of the forget gates.
    """

    allowed: Tensor

    def __init__(
        self,
        *,
        input_dim: int,
        tags: Sequence[str],
        scheme: str,
        token_dim: int,
        hidden_dim: int,
        num_layers: int,
        state_dim: int,
        action_dim: int,
        chunk_hidden_dim: int,
        chunk_layers: int,
        label_dim: int,
        guard_in_chunk: bool,
        outside: str,
        out_inside: bool,
        dropout: float,
        forget_bias: float,
    ) -> None:
        super().__init__()
        check_choice("decoder.outside", outside, ("token", "composed"))
        check_int_range(
            1, "decoder", token_dim=token_dim, hidden_dim=hidden_dim, state_dim=state_dim, action_dim=action_dim
        )
        check_int_range(1, "decoder", chunk_hidden_dim=chunk_hidden_dim, label_dim=label_dim)
        check_int_range(1, "decoder", most=100, num_layers=num_layers, chunk_layers=chunk_layers)
        check_probability("decoder", dropout=dropout)
        self.span_tags = SpanTags(tags, scheme)
        self.untyped = len(self.span_tags.types)  # the label after those of the types
        actions = actions_of(self.span_tags.types)
        self.guard_in_chunk = guard_in_chunk
        self.composes_outside = outside == "composed"
        self.projection = nn.Sequential(linear(input_dim, token_dim), nn.ReLU())
        self.buffer, self.stack = (
            GuardedLSTM(token_dim, hidden_dim, num_layers, dropout, forget_bias) for _ in range(2)
        )
        self.output = GuardedLSTM(token_dim, hidden_dim, num_layers, 0.0, forget_bias)
        self.history = GuardedLSTM(action_dim, hidden_dim, num_layers, dropout, forget_bias)
        self.action_vectors = nn.Embedding(len(actions), action_dim)
        embedding_uniform(self.action_vectors.weight)
        self.chunk_encoder = ChunkEncoder(
            token_dim=token_dim,
            hidden_dim=chunk_hidden_dim,
            num_layers=chunk_layers,
            num_labels=self.untyped + 1,
            label_dim=label_dim,
            dropout=dropout,
            forget_bias=forget_bias,
        )
        self.state = linear(4 * hidden_dim, state_dim)
        for part in self.state.weight.split(hidden_dim, dim=1):
            glorot(part)
        self.scores = linear(state_dim, len(actions))
        self.register_buffer("allowed", _allowed(actions, out_inside), persistent=False)

    def loss(self, hidden: Tensor, tags: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), tags (batch, time), mask (batch, time) bool -> (batch,).

        The negative log-likelihood of the oracle's actions for each sentence. direct: must be None.
        """
        _refuse(direct)
        oracle = Oracle.of(*self.span_tags.read(tags, mask), mask)
        tokens = self.projection(hidden)  # (batch, time, token_dim)
        chunk_tokens = F.embedding(oracle.chunk_tokens, tokens.flatten(0, 1))  # (chunks, longest, token_dim)
        chunks = self._compose(chunk_tokens, oracle.chunk_lengths, oracle.chunk_types)  # (chunks, token_dim)
        items = torch.cat([self._outside(tokens).flatten(0, 1), chunks])
        tops = [
            _pick(self._buffer(tokens, mask), oracle.sentence, oracle.unread),
            _pick(self.stack(chunk_tokens), oracle.chunk, oracle.held),
            _pick(self.output(F.embedding(oracle.items, items)), oracle.sentence, oracle.written),
            _pick(self.history(self.action_vectors(oracle.actions)), oracle.sentence, oracle.done),
        ]  # each (steps, hidden_dim)
        scores = self._score(torch.cat(tops, dim=1), oracle.unread, oracle.held)  # (steps, actions)
        losses = F.cross_entropy(scores, oracle.action, reduction="none")  # (steps,)
        return losses.new_zeros(len(mask)).index_add(0, oracle.sentence, losses)

    @torch.no_grad()
    def decode(self, hidden: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), mask (batch, time) bool -> greedy tags (batch, time), 0 at padding.

        direct: must be None.
        """
        _refuse(direct)
        tokens = self.projection(hidden)
        outside, buffer = self._outside(tokens), self._buffer(tokens, mask)
        stack, output, history = (StackState(part, len(mask)) for part in (self.stack, self.output, self.history))
        state = ParserState(mask)
        while len(rows := state.unfinished()):
            unread, held = state.unread[rows], state.held[rows].sum(dim=1)
            tops = [buffer[rows, unread], stack.top[rows], output.top[rows], history.top[rows]]
            action = self._score(torch.cat(tops, dim=1), unread, held).argmax(dim=1)
            history.push(rows, self.action_vectors(action))
            if len(shifts := rows[action == _SHIFT]):
                stack.push(shifts, tokens[shifts, state.shift(shifts)])
            if len(outs := rows[action == _OUT]):
                output.push(outs, outside[outs, state.next(outs)])
            if len(reduces := rows[action >= _REDUCE]):
                types = action[action >= _REDUCE] - _REDUCE
                positions, sizes = state.reduce(reduces, types)
                output.push(reduces, self._compose(tokens[reduces[:, None], positions], sizes, types))
                stack.clear(reduces)
        return self.span_tags.write(state.chunks, state.types) * mask

    def _buffer(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """-> states with 0, 1, .. unread words (batch, time + 1, hidden_dim). The next word is on top."""
        return self.buffer(reorder(tokens, reversal(mask.sum(dim=1), mask.shape[1])))

    def _compose(self, tokens: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """tokens (chunks, longest, token_dim), lengths (chunks,), labels (chunks,) -> (chunks, token_dim)."""
        if self.guard_in_chunk:
            return self.chunk_encoder(self.stack.guarded(tokens), lengths + 1, labels)
        return self.chunk_encoder(tokens, lengths, labels)

    def _outside(self, tokens: Tensor) -> Tensor:
        """What OUT would write for each token (batch, time, token_dim)."""
        if not self.composes_outside:
            return tokens
        alone = tokens.flatten(0, 1)[:, None]
        ones = torch.ones(len(alone), dtype=torch.long, device=tokens.device)
        return self._compose(alone, ones, ones * self.untyped).view_as(tokens)

    def _score(self, tops: Tensor, unread: Tensor, held: Tensor) -> Tensor:
        """tops of buffer, stack, output, history (steps, 4 hidden_dim) -> (steps, actions), -inf if not valid."""
        scores = self.scores(torch.relu(self.state(tops)))
        allowed = self.allowed[(unread > 0).long(), (held > 0).long()]
        return scores.masked_fill(~allowed, -torch.inf)


def _refuse(direct: Tensor | None) -> None:
    if direct is not None:
        raise UserError(
            "decoder=stack_lstm scores actions, so it cannot use sparse features that score tags (wiring: direct). "
            "Use features.wiring=encoder, features=none or features=caps."
        )


def _pick(states: Tensor, row: Tensor, position: Tensor) -> Tensor:
    """states (rows, positions, dim), row (steps,), position (steps,) -> (steps, dim)."""
    # `embedding` is the lookup with a fast gradient
    return F.embedding(row * states.shape[1] + position, states.flatten(0, 1))


def _allowed(actions: Sequence[str], out_inside: bool) -> Tensor:
    """-> bool (2, 2, actions): whether words are unread, whether words are held, action."""
    table = [
        [[is_valid(action, unread=unread, held=held, out_inside=out_inside) for action in actions] for held in (0, 1)]
        for unread in (0, 1)
    ]
    allowed = torch.tensor(table)
    if len(actions) == _REDUCE:
        allowed[:, :, _SHIFT] = False  # without entity types nothing would take a word off the stack
    return allowed
