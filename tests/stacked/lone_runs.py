"""Members as they are alone, and the steps they take: what a stack is held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch import Tensor

from ner_lab.build import data_options_of, feature_set_of, word_embedding_of
from ner_lab.char_encoder.cnn import CharCNN
from ner_lab.compose import compose_config
from ner_lab.data.batch import Batch
from ner_lab.data.datamodule import NerDataModule
from ner_lab.data.prepare import prepare
from ner_lab.lit import TaggerModule
from ner_lab.stacked.streams import Stream
from ner_lab.word_embedding.base import WordTable


@dataclass
class Member:
    """A tagger as its lone run builds it, and its random numbers from there on."""

    module: TaggerModule
    stream: Stream
    batches: list[Batch]


def member(overrides: Sequence[str], seed: int, *, steps: int = 1, kind: torch.dtype = torch.float32) -> Member:
    """Built from overrides, with the batches of its first steps."""
    cfg = compose_config([*overrides, "run_name=test", f"seed={seed}"])
    options = data_options_of(cfg)
    prepared = prepare(options, feature_set_of(cfg), word_embedding_of(cfg), None)
    pl.seed_everything(seed, verbose=False)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    module = TaggerModule(plain, prepared.vocabs.to_plain(), prepared.labels).train().to(kind)
    table = module.tagger.embedder.words
    if prepared.vectors is not None and isinstance(table, WordTable):
        table.fill(prepared.vectors)
    loader = NerDataModule(prepared, options, seed=seed).train_dataloader()

    def batches() -> Any:
        for epoch in range(steps):
            loader.set_epoch(epoch)
            yield from loader

    return Member(module, Stream(seed, torch.get_rng_state()), list(islice(batches(), steps)))


def train_alone(lone: Member) -> list[float]:
    """Take the steps of its batches one after another -> the loss of each."""
    module = lone.module
    optimizer = module.recipe.optimizer(module.tagger)
    losses = []
    with lone.stream.running(torch.device("cpu")):
        for batch in lone.batches:
            optimizer.zero_grad()
            loss = module.recipe.reduce(module.tagger(batch), batch.global_sentences, batch.global_tokens, 1)
            loss.backward()
            module.recipe.clip_gradients([p for p in module.tagger.parameters() if p.requires_grad])
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses


def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts on the CPU as on a GPU: words side by side in a char CNN, whole gradients of word tables."""
    monkeypatch.setattr(CharCNN, "_in_a_row", CharCNN._side_by_side)
    for module in ("ner_lab.word_embedding.base", "ner_lab.features.base", "ner_lab.stacked.lookup"):
        monkeypatch.setattr(f"{module}.rows_alone", lambda table: False)


def weights_of(lone: Member) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in lone.module.tagger.state_dict().items()}
