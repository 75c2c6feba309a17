"""A training step never needs a number from the device it runs on: a GPU would have to be waited for.

On torch's `meta` device tensors have shapes and no numbers, so a step that branches on one, counts with
one or gives a result of a size that depends on one cannot run there; nor can one that mixes devices. As
on a GPU, it takes the ways that are not the processor's own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch.utils._python_dispatch import TorchDispatchMode

from ner_lab.config.compose import compose_config, options_of
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import Batch, eval_batches
from ner_lab.data.preparation import prepare
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.training.module import TaggerModule
from ner_lab.training.train import train

"""How many steps there are, and for which words, depends on the gold tags."""


def module_and_batch(cfg: DictConfig) -> tuple[TaggerModule, Batch]:
    prepared = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))
    kept: Any = OmegaConf.to_container(cfg, resolve=True)
    module = TaggerModule(kept, prepared.vocabs.to_plain(), prepared.labels)
    return module, next(eval_batches(prepared.splits["train"], 60))


def step(module: TaggerModule, batch: Batch) -> torch.Tensor:
    losses = module.tagger(batch)
    module.recipe.reduce(losses, len(batch), batch.global_tokens, world=1).backward()
    moved = [parameter for parameter in module.tagger.parameters() if parameter.requires_grad]
    module.recipe.clip_gradients(moved, measure=True)
    return losses


@pytest.mark.parametrize("optimizer", options_of("optimizer"))
def test_a_step_with_clipping_needs_no_number(optimizer: str, place_files: Callable[[DictConfig], None]) -> None:
    parts = ["char_encoder=none", "encoder=none", "decoder=softmax"]
    cfg = compose_config(["data=files", *parts, f"optimizer={optimizer}", "trainer.max_epochs=1"])
    place_files(cfg)
    module, batch = module_and_batch(cfg)
    assert step(module.to("meta"), batch.to("meta")).shape == (len(batch),)


@pytest.mark.parametrize("decoder", ["softmax", "crf", "crf_pairwise", "memm"])
def test_scoring_a_batch_needs_no_number_before_all_of_dev_is_through(
    decoder: str, place_files: Callable[[DictConfig], None]
) -> None:
    cfg = compose_config(["data=files", "char_encoder=none", "encoder=none", f"decoder={decoder}"])
    place_files(cfg)
    module, batch = module_and_batch(cfg)
    module.to("meta").eval()
    with torch.no_grad():
        module.validation_step(batch.to("meta"), 0)
    assert module.dev_score.correct.is_meta


class Watch(TorchDispatchMode):
    """Notes every operation that hands a tensor's numbers to Python, or whose result's size depends on them."""

    NEEDS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "unique_", "bincount", "equal.default")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.away = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).removeprefix("aten.")
        picks = name.startswith("index") and any(
            place is not None and place.dtype == torch.bool
            for argument in args
            if isinstance(argument, list | tuple)
            for place in argument
            if isinstance(place, torch.Tensor) or place is None
        )
        if not self.away and (name.startswith(self.NEEDS) or picks):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("operation", "needs"),
    [
        (lambda values: float(values.sum()), True),
        (lambda values: bool((values > 0).all()), True),
        (lambda values: values.tolist(), False),  # no mode sees it; `meta` refuses it
        (lambda values: values[values > 0], True),
        (lambda values: values.masked_fill(values > 0, 0.0), False),
        (lambda values: values[torch.tensor([0, 1])], False),
        (lambda values: torch.unique(values), True),
        (lambda values: torch.equal(values, values), True),
    ],
)
def test_the_watch_sees_what_a_gpu_would_wait_for(operation: Callable[[torch.Tensor], Any], needs: bool) -> None:
    with Watch() as watch:
        operation(torch.tensor([-1.0, 2.0]))
    assert bool(watch.seen) is needs


class Watched(pl.Callback):
    """Watches from the first batch of an epoch to the last, with all that happens between them.

    But for the tagger's forward pass and for clipping, which have ways of their own on a CPU, and of which
    the tests above show that they have others.
    """

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.steps = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        pl_module.tagger.register_forward_pre_hook(lambda *_: setattr(self.watch, "away", True))
        pl_module.tagger.register_forward_hook(lambda *_: setattr(self.watch, "away", False))
        clip = pl_module.recipe.clip_gradients

        def unwatched(*arguments: Any, **settings: Any) -> Any:
            self.watch.away = True
            norm = clip(*arguments, **settings)
            self.watch.away = False
            return norm

        pl_module.recipe.clip_gradients = unwatched

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.watch = Watch()
            self.watch.__enter__()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.steps += 1
        if trainer.is_last_batch:
            self.watch.__exit__(None, None, None)
            self.seen.append(self.watch.seen)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "sgd_lample"])
def test_an_epoch_of_training_reads_no_number_from_the_device(
    optimizer: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ner_lab.models.word_embedding.base.use_sparse_gradients", lambda table: False)  # as on a GPU
    monkeypatch.setattr("ner_lab.training.callbacks.resume.steps_between_looks", lambda device, processes: 50)
    watched = Watched()
    made = pl.Trainer.__init__

    def with_watch(self: pl.Trainer, *arguments: Any, **settings: Any) -> None:
        settings["callbacks"] = [*settings["callbacks"], watched]
        made(self, *arguments, **settings)

    monkeypatch.setattr(pl.Trainer, "__init__", with_watch)
    cfg = compose_config([*small, f"optimizer={optimizer}", "trainer.max_epochs=2"])
    train(cfg, tmp_path / "run")
    assert watched.steps == 6
    assert watched.seen == [[], []]


def test_deterministic_training_does_not_fill_memory_that_is_about_to_be_written(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    seen: list[bool] = []
    step = TaggerModule.training_step

    def looked(self: TaggerModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        seen.append(torch.utils.deterministic.fill_uninitialized_memory)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TaggerModule, "training_step", looked)
    train(compose_config([*small, "trainer.max_epochs=1"]), tmp_path / "run")
    assert seen == [False] * 3
