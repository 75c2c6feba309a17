"""Checks that the parts of a composed tagger do what their kind of part promises, on a few sentences of train.

docs/parts.md lists what each kind of part promises. A part that breaks its promise often trains without any message,
and wrongly: a decoder that gives the mean loss of a batch in place of one loss for each sentence has gradients that are
too small by the size of the batch.
"""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim import Optimizer

from ner_lab.data.batching.batch import Batch, BatchMaker
from ner_lab.data.encoding import EncodedSplit
from ner_lab.data.tags import OUTSIDE
from ner_lab.data.vocab import TagVocab
from ner_lab.errors import UserError
from ner_lab.models.tagger import Tagger
from ner_lab.training.optimizers.base import OptimizerRecipe
from ner_lab.user_code import cause_of, is_own, reported, targets_in

GROUPS = ("word_embedding", "char_encoder", "features", "encoder", "decoder")
_LONGEST = 30  # tokens of the sentences that are tried, where there are sentences as short
_PREFIXES = (1, 2, 5)  # tokens of further, cut sentences
_MOST_SENTENCES = 256  # that are searched for one that gives a parameter a gradient


def has_user_class(cfg: DictConfig) -> bool:
    """Whether a part, or a part within one (`features.parts`), is not of this package."""
    return any(is_own(target) for target in targets_in(cfg) if not target.startswith("pytorch_lightning."))


def check_contract(
    cfg: DictConfig, tagger: Tagger, recipe: OptimizerRecipe, split: EncodedSplit, tags: TagVocab
) -> list[tuple[str, str, str, str]]:
    """Put two small batches of a split through a tagger; UserError for the first promise that a part breaks.

    Returns (group, class, its size, what was checked) of each part. The tagger is used up: it has gradients, and has
    taken a step.
    """
    return _Check(cfg, tagger, recipe, split, tags).run()


@contextmanager
def generators_kept() -> Iterator[None]:
    """Restore the random generators of Python, NumPy and torch (CPU) on leaving."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)


@dataclass
class _Values:
    """What the parts of a tagger give for a batch."""

    words: Tensor
    """(batch, time, dim)"""
    chars: Tensor
    """(batch, time, dim)"""
    dense: Tensor
    """(batch, time, dim)"""
    hidden: Tensor
    """(batch, time, dim)"""
    direct: Tensor | None
    """(batch, time, tags)"""
    losses: Tensor
    """(batch,)"""

    def of_tokens(self) -> dict[str, Tensor]:
        """Group -> what it gives for each token (batch, time, dim), in the order in which the parts are called."""
        found = {"word_embedding": self.words, "char_encoder": self.chars, "features": self.dense}
        if self.direct is not None:
            found["features"] = torch.cat([self.dense, self.direct], dim=-1)
        return {**found, "encoder": self.hidden}


class _Check:
    def __init__(
        self, cfg: DictConfig, tagger: Tagger, recipe: OptimizerRecipe, split: EncodedSplit, tags: TagVocab
    ) -> None:
        self.tagger = tagger
        self.recipe = recipe
        self.targets = {group: targets_in(cfg[group]) for group in (*GROUPS, "optimizer")}
        self.num_tags = len(tags)
        self.sizes = {"decoder": f"{self.num_tags} tags", "optimizer": ""}
        self.split = split
        real = _short_and_long(split.sentence_lengths)
        self.few = _with_prefixes(split, real, tags.ids[OUTSIDE])
        self.batches = [range(len(real)), range(len(real) - 1, len(self.few))]

    def run(self) -> list[tuple[str, str, str, str]]:
        self.tagger.eval()
        with torch.no_grad():
            for sentences in self.batches:
                self._check_alone_and_together(sentences)
        self.tagger.train()
        self._check_gradients()
        self._check_optimizer()
        checked = dict.fromkeys(GROUPS, "sizes, padding, gradient")
        checked |= {"decoder": "loss, tags, padding, gradient", "optimizer": "a step"}
        return [(group, self.targets[group][0], self.sizes[group], what) for group, what in checked.items()]

    def _check_alone_and_together(self, sentences: Sequence[int]) -> None:
        """Sizes and values in a batch, and that a sentence has the same ones without its neighbours."""
        batch = _batch(self.few, sentences)
        values, again = self._values(batch), self._values(batch)
        for group, value in values.of_tokens().items():
            if not _close(value, again.of_tokens()[group]):
                self._refuse(group, _DRAWS)
        best = self._best(batch, values)
        if not _close(values.losses, again.losses) or not best.equal(self._best(batch, values)):
            self._refuse("decoder", _DRAWS)
        for row, sentence in enumerate(sentences):
            alone = _batch(self.few, [sentence])
            self._compare(alone, self._values(alone), row, values, best)

    def _compare(self, alone: Batch, own: _Values, row: int, values: _Values, best: Tensor) -> None:
        """Compare what a sentence gives alone with what it gives in a row of a batch."""
        length = int(alone.lengths[0])
        for group, value in own.of_tokens().items():
            if not _close(value[0], values.of_tokens()[group][row, :length]):
                where = "the last character of a word" if group == "char_encoder" else "its last token"
                self._refuse(
                    group,
                    "reads the padding: a sentence has other vectors alone than beside a longer one. Mask what is "
                    f"after {where}",
                )
        if not _close(own.losses[0], values.losses[row]):
            self._refuse(
                "decoder",
                f"reads the padding: the loss of a sentence is {float(own.losses[0]):.4g} alone and "
                f"{float(values.losses[row]):.4g} beside a longer one. Leave out what `mask` marks False",
            )
        own_best, found = self._best(alone, own), best[row : row + 1, :length]
        if not own_best.equal(found):
            # two sequences may score the same: what counts is whether one is worse
            losses = [self._losses(replace(alone, tags=tags), own.hidden, own.direct) for tags in (own_best, found)]
            if not _close(*losses):
                self._refuse(
                    "decoder",
                    "decodes a sentence to other tags alone than beside a longer one. Leave out what `mask` marks "
                    "False",
                )

    def _values(self, batch: Batch) -> _Values:
        """What each part gives, checked on the way."""
        embedder, (batch_size, time) = self.tagger.embedder, batch.words.shape
        with reported(self.targets["word_embedding"], "word_embedding", "forward"):
            words: Any = embedder.words(batch.words)
        self._check_vectors("word_embedding", words, (batch_size, time), embedder.words)
        with reported(self.targets["char_encoder"], "char_encoder", "forward"):
            chars: Any = embedder.chars(batch.chars, batch.char_lengths)
        self._check_vectors("char_encoder", chars, (len(batch.chars),), embedder.chars)
        with reported(self.targets["features"], "features", "forward"):
            dense: Any = embedder.features(batch)
        self._check_vectors("features", dense, (batch_size, time), embedder.features)
        with reported(self.targets["features"], "features", "direct"):
            direct: Any = embedder.features.direct(batch)
        if direct is not None:
            self._check_tensor("features", direct, (batch_size, time, self.num_tags), " as `direct`, scores of tags")
        spelt = chars[batch.forms]
        with reported(self.targets["encoder"], "encoder", "forward"):
            hidden: Any = self.tagger.encoder(torch.cat([words, spelt, dense], dim=-1), batch.lengths)
        self._check_vectors("encoder", hidden, (batch_size, time), self.tagger.encoder)
        return _Values(words, spelt, dense, hidden, direct, self._losses(batch, hidden, direct))

    def _losses(self, batch: Batch, hidden: Tensor, direct: Tensor | None) -> Tensor:
        """-> (batch,), checked."""
        decoder: Any = self.tagger.decoder
        with reported(self.targets["decoder"], "decoder", "loss"):
            losses = decoder.loss(hidden, batch.tags, batch.mask, direct)
        size = (len(batch),)
        if not isinstance(losses, Tensor) or losses.shape != size:
            self._refuse(
                "decoder",
                f"gives {_described(losses)} as `loss`, expected one loss for each sentence, {size}: the sum over its "
                "tokens, such as (loss * mask).sum(dim=1). Means are taken by optimizer.loss",
            )
        if not bool(losses.isfinite().all()):
            self._refuse("decoder", f"gives a loss that is not finite: {losses.tolist()}")
        return losses

    def _best(self, batch: Batch, values: _Values) -> Tensor:
        """-> best tags (batch, time), checked."""
        decoder: Any = self.tagger.decoder
        with reported(self.targets["decoder"], "decoder", "decode"):
            best = decoder.decode(values.hidden, batch.mask, values.direct)
        whole = isinstance(best, Tensor) and not best.is_floating_point() and best.dtype != torch.bool
        if not whole or best.shape != batch.mask.shape:
            self._refuse(
                "decoder",
                f"gives {_described(best)} as `decode`, expected whole numbers of tags, {tuple(batch.mask.shape)}",
            )
        if wrong := best[(best < 0) | (best >= self.num_tags)].tolist():
            self._refuse("decoder", f"decodes to tag {wrong[0]}, and there are tags 0 to {self.num_tags - 1}")
        if bool(best[~batch.mask].any()):
            self._refuse("decoder", "decodes padding to other numbers than 0. Multiply the tags by `mask`")
        return best

    def _check_gradients(self) -> None:
        """Each parameter that requires a gradient gets one, in the batches or in some other sentence of train."""
        missing = self._without_gradient(_batch(self.few, sentences) for sentences in self.batches)
        if any(missing.values()):
            missing = self._without_gradient(_more(self.split))
        for group, names in missing.items():
            if group == "features" and all(name.startswith("scores.") for name in names):
                self._refuse(
                    "decoder", "leaves out `direct`, the scores of sparse features. Add them to its own scores"
                )
            self._refuse(
                group,
                f"has parameters that the loss gives no gradient: {', '.join(names[:3])}. Use them without detach(), "
                "or set requires_grad=False",
            )

    def _without_gradient(self, batches: Iterable[Batch]) -> dict[str, list[str]]:
        """Group -> parameters that no loss of these batches gives a gradient, after all that were tried before.

        In a class of this package some may need sentences of another kind; all of them together do not.
        """
        missing: dict[str, list[str]] = {}
        for batch in batches:
            losses = self._values(batch).losses
            if not losses.requires_grad and self.recipe.trained(self.tagger):
                self._refuse("decoder", "gives a loss without a gradient: on the way it is detached or a number")
            self._backward(losses.sum())
            missing = {}
            for group, weights in self._trained():
                names = [name for name, weight in weights if weight.grad is None]
                left_out = [name for name in names if group == "features" and name.startswith("scores.")]
                if names and (any(map(is_own, self.targets[group])) or len(names) == len(weights)):
                    missing[group] = names
                elif left_out:
                    missing[group] = left_out
            if not missing:
                break
        return missing

    def _backward(self, loss: Tensor) -> None:
        """Compute gradients; UserError where torch cannot, or where they are not finite."""
        own = [(group, target) for group in GROUPS for target in self.targets[group] if is_own(target)]
        blamed = " or ".join(f"{target} (conf: {group})" for group, target in own)
        try:
            loss.backward()
        except RuntimeError as error:
            if not own:
                raise
            cause = cause_of(error, own[0][1])
            raise UserError(f"the loss has no gradient that torch can compute, for {blamed}: {cause}.") from error
        for group, weights in self._trained():
            for name, weight in weights:
                if weight.grad is not None and not bool(weight.grad.to_dense().isfinite().all()):
                    raise UserError(
                        f"{group}: the gradient of {name} is not finite, although the loss is. Check what "
                        f"{blamed or self.targets[group][0]} divides by, and takes roots or logarithms of."
                    )

    def _trained(self) -> Iterator[tuple[str, list[tuple[str, nn.Parameter]]]]:
        """Group -> its parameters that require a gradient, by name."""
        embedder = self.tagger.embedder
        parts = (embedder.words, embedder.chars, embedder.features, self.tagger.encoder, self.tagger.decoder)
        for group, part in zip(GROUPS, parts, strict=True):
            yield group, [(name, weight) for name, weight in part.named_parameters() if weight.requires_grad]

    def _check_optimizer(self) -> None:
        """One step of training, as `TaggerModule` takes it."""
        batch = _batch(self.few, self.batches[0])
        targets, recipe = self.targets["optimizer"], self.recipe
        self.tagger.zero_grad()
        with reported(targets, "optimizer", "optimizer"):
            optimizer: Any = recipe.optimizer(self.tagger)
        if not isinstance(optimizer, Optimizer):
            self._refuse("optimizer", f"gives {_described(optimizer)} as `optimizer`, expected a torch.optim.Optimizer")
        with reported(targets, "optimizer", "rate_factor"):
            factor: Any = recipe.rate_factor(0)
        if not isinstance(factor, int | float) or not math.isfinite(factor):
            self._refuse("optimizer", f"gives {factor!r} as `rate_factor`, expected a share of the rate, such as 1.0")
        losses = self._values(batch).losses
        with reported(targets, "optimizer", "reduce"):
            loss: Any = recipe.reduce(losses, len(batch), int(batch.mask.sum()), 1)
        if not isinstance(loss, Tensor) or loss.shape != () or not loss.requires_grad:
            self._refuse("optimizer", f"gives {_described(loss)} as `reduce`, expected one number with its gradient")
        self._backward(loss)
        with reported(targets, "optimizer", "clip_gradients"):
            recipe.clip_gradients([one for group in optimizer.param_groups for one in group["params"]], measure=True)
        with reported(targets, "optimizer", "step"):
            optimizer.step()
        self.sizes["optimizer"] = f"{sum(len(group['params']) for group in optimizer.param_groups)} tensors"

    def _check_vectors(self, group: str, value: Any, size: tuple[int, ...], part: Any) -> None:
        self._check_tensor(group, value, (*size, part.output_dim), f": its output_dim is {part.output_dim}")
        self.sizes[group] = f"output_dim {part.output_dim}"

    def _check_tensor(self, group: str, value: Any, size: tuple[int, ...], why: str) -> None:
        dtype = torch.get_default_dtype()
        if not isinstance(value, Tensor) or value.shape != size or value.dtype != dtype:
            expected = f"expected {size} ({str(dtype).removeprefix('torch.')})"
            self._refuse(group, f"gives {_described(value)}, {expected}{why}")
        if not bool(value.isfinite().all()):
            self._refuse(group, "gives numbers that are not finite")

    def _refuse(self, group: str, what: str) -> None:
        own = next(filter(is_own, self.targets[group]), self.targets[group][0])
        raise UserError(f"{own} (conf: {group}) {what}.")


_DRAWS = (
    "gives other results for the same batch in evaluation mode: draw random numbers, as in dropout, only where "
    "self.training is True"
)


def _short_and_long(lengths: np.ndarray) -> list[int]:
    """A short, a middle and a long sentence, by length; fewer where there are fewer."""
    order = np.argsort(lengths, kind="stable")
    fitting = order[lengths[order] <= _LONGEST]
    order = fitting if len(fitting) else order[:1]
    last = len(order) - 1
    return list(dict.fromkeys(int(order[place]) for place in (0, last // 2, last)))


def _with_prefixes(split: EncodedSplit, sentences: list[int], outside: int) -> EncodedSplit:
    """These sentences, then the first words of the last one, with all their tags O: so all lengths meet."""
    lengths = split.sentence_lengths[sentences]
    prefixes = [length for length in _PREFIXES if length < lengths[-1]]
    taken = [*zip(sentences, lengths.tolist(), strict=True), *((sentences[-1], length) for length in prefixes)]
    tokens = np.concatenate([np.arange(length) + split.starts[sentence] for sentence, length in taken])
    labels = split.labels[tokens]
    labels[int(lengths.sum()) :] = outside
    sparse_starts, sparse = split.sparse_starts, split.sparse
    if len(sparse_starts):
        begins, ends = split.sparse_starts[tokens], split.sparse_starts[tokens + 1]
        sparse_starts = np.concatenate([[0], np.cumsum(ends - begins)])
        sparse = np.concatenate([split.sparse[begin:end] for begin, end in zip(begins, ends, strict=True)])
    return replace(
        split,
        starts=np.concatenate([[0], np.cumsum([length for _, length in taken])]),
        forms=split.forms[tokens],
        labels=labels,
        documents=split.documents[[sentence for sentence, _ in taken]],
        categories=split.categories[tokens],
        sparse_starts=sparse_starts,
        sparse=sparse,
        unopened=split.unopened[:0],
    )


def _batch(split: EncodedSplit, sentences: Sequence[int]) -> Batch:
    tokens = int(split.sentence_lengths[list(sentences)].sum())
    return BatchMaker(split)[np.array(sentences), len(sentences), tokens, True]


def _more(split: EncodedSplit) -> Iterator[Batch]:
    """Further sentences, 32 at a time."""
    fitting = np.flatnonzero(split.sentence_lengths <= _LONGEST)[:_MOST_SENTENCES]
    for begin in range(0, len(fitting), 32):
        yield _batch(split, fitting[begin : begin + 32].tolist())


def _close(first: Tensor, second: Tensor) -> bool:
    """Equal but for sums in another order, in float32."""
    return torch.allclose(first, second, rtol=1e-4, atol=1e-4)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of size {tuple(value.shape)} ({str(value.dtype).removeprefix('torch.')})"
    return type(value).__name__
