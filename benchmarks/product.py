"""The product's own parts outside its trainer: what a bare loop trains."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf

from ner_lab.config.compose import compose_config, register_resolvers
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import Batch, BatchMaker, BatchPlan
from ner_lab.data.batching.loader import BatchLoader
from ner_lab.data.corpora import locate, read_corpus
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.data.sentence import Sentence
from ner_lab.models.build import build_tagger, feature_set_of, word_embedding_of
from ner_lab.models.threads import set_threads
from ner_lab.models.word_embedding.base import WordTable
from ner_lab.training.optimizers.base import optimizer_of

MA_HOVY = ("paper=ma_hovy2016", "decoder=crf", "early_stopping.patience=null")
"""Char-CNN of 30 filters, words of 100, BiLSTM of 200 a direction, CRF, dropout .5, SGD."""


def source(data: Path | None, vectors: Path | None) -> list[str]:
    """The overrides that say what is trained on: CoNLL-2003 and GloVe, or what needs no files."""
    corpus = ["data=builtin"] if data is None else ["data=conll2003", f"data.dir={data.resolve()}"]
    words = ["word_embedding=random"] if vectors is None else [f"word_embedding.path={vectors.resolve()}"]
    return [*corpus, *words]


def config(overrides: Sequence[str]) -> DictConfig:
    register_resolvers()
    return compose_config([*overrides, "run_name=benchmark"])


def training_sentences(overrides: Sequence[str]) -> list[Sentence]:
    """The sentences that are trained on, as they stand in their file: what a peer is given."""
    options = data_options_of(config(overrides))
    return read_corpus(options, locate(options))["train"].sentences


def train_rates(overrides: Sequence[str], folder: Path) -> list[float]:
    """`ner-lab train` in a process of its own -> tokens per second of each epoch, as metrics.json has them."""
    command = [sys.executable, "-m", "ner_lab.cli.main", "train", *overrides, f"hydra.run.dir={folder}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return [epoch["tokens_per_second"] for epoch in metrics["history"]]


class Parts(NamedTuple):
    """A tagger with what feeds and changes it."""

    module: Any
    """Has `tagger` and `recipe`"""
    loaders: Any
    """Has `train_dataloader`"""
    optimizer: torch.optim.Optimizer
    prepared: Prepared


def build(cfg: DictConfig) -> Parts:
    """The parts as `ner-lab train` builds them."""
    from ner_lab.data.batching.datamodule import NerDataModule
    from ner_lab.training.module import TaggerModule

    options, prepared = _prepared(cfg)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    module = TaggerModule(plain, prepared.vocabs.to_plain(), prepared.labels).train()
    return _parts(cfg, module, NerDataModule(prepared, options, seed=cfg.seed), prepared)


def build_bare(cfg: DictConfig) -> Parts:
    """The same tagger, batches and steps without Lightning, whose import takes seconds and memory."""
    options, prepared = _prepared(cfg)
    module = SimpleNamespace(tagger=build_tagger(cfg, prepared.vocabs).train(), recipe=optimizer_of(cfg))
    split = prepared.splits["train"]
    maker = BatchMaker(split, singleton_unk=options.singleton_unk, seed=cfg.seed)
    plan = BatchPlan(split.sentence_lengths, batch_size=options.batch_size, seed=cfg.seed)
    loader = BatchLoader(maker, plan, torch.device("cpu"))
    return _parts(cfg, module, SimpleNamespace(train_dataloader=lambda: loader), prepared)


def _prepared(cfg: DictConfig) -> tuple[DataOptions, Prepared]:
    options = data_options_of(cfg)
    prepared = prepare(options, feature_set_of(cfg), word_embedding_of(cfg), None)
    torch.manual_seed(cfg.seed)
    return options, prepared


def _parts(cfg: DictConfig, module: Any, loaders: Any, prepared: Prepared) -> Parts:
    table = module.tagger.embedder.words
    if prepared.vectors is not None and isinstance(table, WordTable):
        table.fill(prepared.vectors)
    set_threads(cfg.threads, module.tagger)
    return Parts(module, loaders, module.recipe.optimizer(module.tagger), prepared)


def batches(parts: Parts, epoch: int = 0) -> Iterator[Batch]:
    """The training batches of an epoch, made while they are asked for."""
    loader: Any = parts.loaders.train_dataloader()
    loader.set_epoch(epoch)
    return iter(loader)


def step(parts: Parts, batch: Batch) -> None:
    """What changes the tagger once, and nothing else."""
    losses = parts.module.tagger(batch)
    loss = parts.module.recipe.reduce(losses, batch.global_sentences, batch.global_tokens, 1)
    parts.optimizer.zero_grad()
    loss.backward()
    parts.module.recipe.clip_gradients([p for group in parts.optimizer.param_groups for p in group["params"]])
    parts.optimizer.step()


def loop(parts: Parts, epoch: int = 0, limit: int | None = None) -> tuple[int, int, float]:
    """Train on an epoch, or on its first `limit` batches -> (steps, tokens, seconds), batching included."""
    steps = tokens = 0
    begun = time.perf_counter()
    for batch in itertools.islice(batches(parts, epoch), limit):
        step(parts, batch)
        steps += 1
        tokens += batch.global_tokens
    return steps, tokens, time.perf_counter() - begun
