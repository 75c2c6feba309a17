"""Checks that the parts of a composed tagger do what their kind of part promises, on a few sentences of train.

docs/parts.md lists what each kind of part promises. A part that breaks its promise often trains without any message,
and wrongly: a decoder that gives the mean loss of a batch in place of one loss for each sentence has gradients that are
too small by the size of the batch.
"""

import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from ner_lab.data.batch import Batch, BatchMaker
from ner_lab.data.encode import EncodedSplit
from ner_lab.errors import UserError
from ner_lab.features.base import FeatureSet
from ner_lab.optimizer.recipe import OptimizerRecipe
from ner_lab.tagger import Tagger

T = TypeVar("T")

GROUPS = ("word_embedding", "char_encoder", "features", "encoder", "decoder")
_LONGEST = 30  # tokens of the sentences that are tried, where there are sentences as short


def classes_of(cfg: DictConfig) -> dict[str, str]:
    """The class of each group, as `_target_` names it."""
    return {group: str(cfg[group]["_target_"]) for group in (*GROUPS, "optimizer")}


def has_class_of_ones_own(cfg: DictConfig) -> bool:
    """Whether a part, or a part within one (`features.parts`), is not of this package."""

    def has_one(node: Any) -> bool:
        if not isinstance(node, dict):
            return False
        own = not str(node.get("_target_", "ner_lab.")).startswith(("ner_lab.", "pytorch_lightning."))
        return own or any(map(has_one, node.values()))

    return has_one(OmegaConf.to_container(cfg, resolve=False))


def check_members(cfg: DictConfig, features: object, recipe: object) -> None:
    """Refuse a feature set or an optimizer without the members that are called."""
    for group, part, kind in (("features", features, FeatureSet), ("optimizer", recipe, OptimizerRecipe)):
        wanted = [name for name in vars(kind) if not name.startswith("_")]
        if missing := [name for name in wanted if not hasattr(part, name)]:
            raise UserError(
                f"{classes_of(cfg)[group]} (conf: {group}) lacks {', '.join(missing)}. Derive it from "
                f"{kind.__module__}.{kind.__name__}, which has them all."
            )


def check_contract(cfg: DictConfig, tagger: Tagger, split: EncodedSplit, num_tags: int) -> list[tuple[str, str, str]]:
    """Put two small batches of a split through a tagger; UserError for the first promise that a part breaks.

    Returns (group, class, its size) of each part. Weights, buffers, modes and the generators of random numbers
    are afterwards as they were.
    """
    with _as_it_was(tagger), torch.random.fork_rng(devices=[]), _python_generators():
        return _Check(cfg, tagger, split, num_tags).run()


class _Check:
    def __init__(self, cfg: DictConfig, tagger: Tagger, split: EncodedSplit, num_tags: int) -> None:
        self.tagger = tagger
        self.classes = classes_of(cfg)
        self.maker = BatchMaker(split)
        self.num_tags = num_tags
        self.sizes: dict[str, str] = {}

    def run(self) -> list[tuple[str, str, str]]:
        batches = [self._batch(sentences) for sentences in _small_batches(self.maker.lengths)]
        self.tagger.eval()
        with torch.no_grad():
            for batch in batches:
                self._check_alone_and_together(batch)
        self.tagger.train()
        self._check_gradients(batches[0])
        return [(group, self.classes[group], self.sizes[group]) for group in GROUPS]

    def _batch(self, sentences: Sequence[int]) -> Batch:
        tokens = int(self.maker.lengths[list(sentences)].sum())
        return self.maker[np.array(sentences), len(sentences), tokens, True]

    def _check_alone_and_together(self, batch: Batch) -> None:
        """Sizes and values in a batch, and that a sentence has the same ones without its neighbours."""
        hidden, direct = self._hidden(batch)
        losses, best = self._decoded(batch, hidden, direct)
        for row, length in enumerate(batch.lengths.tolist()):
            alone = self._batch([int(batch.sentences[row])])
            alone_hidden, alone_direct = self._hidden(alone)
            alone_losses, alone_best = self._decoded(alone, alone_hidden, alone_direct)
            if not _close(alone_hidden[0], hidden[row, :length]):
                part = "encoder" if self._same_input(batch, alone, row, length) else "char_encoder"
                self._refuse(
                    part,
                    "reads the padding: a sentence has other vectors alone than beside a longer one. Mask what is "
                    "after its last token (or after the last character of a word)",
                )
            if not _close(alone_losses[0], losses[row]):
                self._refuse(
                    "decoder",
                    f"reads the padding: the loss of a sentence is {float(alone_losses[0]):.4g} alone and "
                    f"{float(losses[row]):.4g} beside a longer one. Leave out what `mask` marks False",
                )
            if not alone_best[0].equal(best[row, :length]):
                # two sequences may score the same: what counts is whether one is worse
                tried = alone_best.clone()
                tried[0] = best[row, :length]
                losses_of_both = [self._loss(alone_hidden, tags, alone, alone_direct) for tags in (alone_best, tried)]
                if not _close(*losses_of_both):
                    self._refuse(
                        "decoder",
                        "decodes a sentence to other tags alone than beside a longer one. Leave out what `mask` marks "
                        "False",
                    )

    def _hidden(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Hidden states (batch, time, dim) and direct scores, each part checked on the way."""
        embedder, batch_size, time = self.tagger.embedder, *batch.words.shape
        words = self._call("word_embedding", "forward", lambda: embedder.words(batch.words))
        self._shaped("word_embedding", words, (batch_size, time), embedder.words)
        chars = self._call("char_encoder", "forward", lambda: embedder.chars(batch.chars, batch.char_lengths))
        self._shaped("char_encoder", chars, (len(batch.chars),), embedder.chars)
        dense = self._call("features", "forward", lambda: embedder.features(batch))
        self._shaped("features", dense, (batch_size, time), embedder.features)
        inputs = torch.cat([words, chars[batch.forms], dense], dim=-1)
        hidden = self._call("encoder", "forward", lambda: self.tagger.encoder(inputs, batch.lengths))
        self._shaped("encoder", hidden, (batch_size, time), self.tagger.encoder)
        direct = self._call("features", "direct", lambda: embedder.features.direct(batch))
        return hidden, direct

    def _same_input(self, batch: Batch, alone: Batch, row: int, length: int) -> bool:
        """Whether the encoder got the same vectors for a sentence."""
        embedder = self.tagger.embedder
        return _close(embedder(alone)[0], embedder(batch)[row, :length])

    def _loss(self, hidden: Tensor, tags: Tensor, batch: Batch, direct: Tensor | None) -> Any:
        return self.tagger.decoder.loss(hidden, tags, batch.mask, direct)  # type: ignore[operator]

    def _decoded(self, batch: Batch, hidden: Tensor, direct: Tensor | None) -> tuple[Tensor, Tensor]:
        """Losses (batch,) and best tags (batch, time)."""
        decoder: Any = self.tagger.decoder
        losses = self._call("decoder", "loss", lambda: self._loss(hidden, batch.tags, batch, direct))
        size = (len(batch),)
        if not isinstance(losses, Tensor) or losses.shape != size:
            self._refuse(
                "decoder",
                f"gives {_described(losses)} as `loss`, expected one loss for each sentence, {size}: the sum over its "
                "tokens, such as (loss * mask).sum(dim=1). Means are taken by optimizer.loss",
            )
        if not bool(losses.isfinite().all()):
            self._refuse("decoder", f"gives a loss that is not finite: {losses.tolist()}")
        best = self._call("decoder", "decode", lambda: decoder.decode(hidden, batch.mask, direct))
        if not isinstance(best, Tensor) or best.shape != batch.mask.shape or best.is_floating_point():
            self._refuse(
                "decoder",
                f"gives {_described(best)} as `decode`, expected whole numbers of tags, {tuple(batch.mask.shape)}",
            )
        if wrong := best[(best < 0) | (best >= self.num_tags)].tolist():
            self._refuse("decoder", f"decodes to tag {wrong[0]}, and there are tags 0 to {self.num_tags - 1}")
        if bool(best[~batch.mask].any()):
            self._refuse("decoder", "decodes padding to other numbers than 0. Multiply the tags by `mask`")
        self.sizes["decoder"] = f"{self.num_tags} tags"
        return losses, best

    def _check_gradients(self, batch: Batch) -> None:
        """Each part that has parameters to train gets a gradient."""
        parts = dict(zip(GROUPS, self._modules(), strict=True))
        trained = {
            group: {name: weight for name, weight in part.named_parameters() if weight.requires_grad}
            for group, part in parts.items()
        }
        if not any(trained.values()):
            return
        losses = self.tagger.losses(batch)
        if not losses.requires_grad:
            self._refuse("decoder", "gives a loss without a gradient: something on the way is detached or a number")
        losses.sum().backward()
        for group, weights in trained.items():
            without = [name for name, weight in weights.items() if weight.grad is None]
            is_ours = self.classes[group].startswith("ner_lab.")
            if without and (not is_ours or len(without) == len(weights)):
                self._refuse(
                    group,
                    f"has parameters that the loss gives no gradient: {', '.join(without[:3])}. Use them without "
                    "detach(), or set requires_grad=False",
                )

    def _modules(self) -> Sequence[nn.Module]:
        embedder = self.tagger.embedder
        return embedder.words, embedder.chars, embedder.features, self.tagger.encoder, self.tagger.decoder

    def _shaped(self, group: str, value: Any, size: tuple[int, ...], part: Any) -> None:
        expected = (*size, part.output_dim)
        if not isinstance(value, Tensor) or value.shape != expected:
            self._refuse(group, f"gives {_described(value)}, expected {expected}: its output_dim is {part.output_dim}")
        if not bool(value.isfinite().all()):
            self._refuse(group, "gives numbers that are not finite")
        self.sizes[group] = f"output_dim {part.output_dim}"

    def _call(self, group: str, method: str, call: Callable[[], T]) -> T:
        """What a part gives; an error of a class of one's own is reported with its place."""
        try:
            return call()
        except UserError:
            raise
        except Exception as error:
            if self.classes[group].startswith("ner_lab."):
                raise
            calls = traceback.extract_tb(error.__traceback__)
            place = [one for one in calls if "site-packages" not in one.filename][-1]  # not within torch
            raise UserError(
                f"{self.classes[group]} (conf: {group}) fails in `{method}`: {type(error).__name__}: "
                f"{' '.join(str(error).split())} ({place.filename}:{place.lineno}). docs/parts.md says what it "
                "is given."
            ) from error

    def _refuse(self, group: str, what: str) -> None:
        raise UserError(f"{self.classes[group]} (conf: {group}) {what}.")


def _small_batches(lengths: np.ndarray) -> Iterator[list[int]]:
    """Sentences of two batches: short and long ones together."""
    order = np.argsort(lengths, kind="stable")
    fitting = order[lengths[order] <= _LONGEST]
    order = fitting if len(fitting) else order[:1]
    last = len(order) - 1
    yield sorted({int(order[0]), int(order[last // 2]), int(order[last])})
    yield sorted({int(order[last // 4]), int(order[last])})


def _close(first: Tensor, second: Tensor) -> bool:
    """Equal but for sums in another order, in float32."""
    return torch.allclose(first, second, rtol=1e-3, atol=1e-3)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of size {tuple(value.shape)} ({str(value.dtype).removeprefix('torch.')})"
    return f"{type(value).__name__}"


@contextmanager
def _as_it_was(tagger: nn.Module) -> Iterator[None]:
    """Put weights, buffers, gradients and modes back."""
    values = {id(one): (one, one.detach().clone()) for one in (*tagger.parameters(), *tagger.buffers())}
    modes = [(module, module.training) for module in tagger.modules()]
    try:
        yield
    finally:
        with torch.no_grad():
            for held, value in values.values():
                held.copy_(value)
        tagger.zero_grad(set_to_none=True)
        for module, mode in modes:
            module.training = mode


@contextmanager
def _python_generators() -> Iterator[None]:
    """Put the generators of `random` and of NumPy back."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
