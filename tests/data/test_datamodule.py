"""The data module: loaders over the prepared splits, whose order follows the epoch and nothing else."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ner_lab.data.batching.batch import Batch, BatchMaker, BatchPlan
from ner_lab.data.batching.datamodule import NerDataModule
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.data.vocab import UNK
from ner_lab.models.features.none import NoFeatures
from ner_lab.models.word_embedding.none import NoWords

SEED = 4


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> DataOptions:
    return DataOptions(
        name="builtin",
        format="markup",
        columns={"word": 0, "pos": 1, "chunk": 2, "tag": 3},
        local={"train": ["train.txt"], "dev": ["dev.txt"], "test": ["test.txt"]},
        cache_dir=str(tmp_path_factory.mktemp("cache")),
        batch_size=100,
        eval_batch_tokens=1000,
        singleton_unk=0.5,
    )


@pytest.fixture(scope="module")
def prepared(options: DataOptions) -> Prepared:
    return prepare(options, NoFeatures(), NoWords())


class Witness(pl.LightningModule):
    """Notes which sentences come, epoch by epoch, and with which words (some are hidden)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.epochs: dict[int, list[list[int]]] = {}
        self.words: dict[int, list[list[list[int]]]] = {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        epoch = self.current_epoch
        self.epochs.setdefault(epoch, []).append(batch.sentences.tolist())
        self.words.setdefault(epoch, []).append(batch.words.tolist())
        return self.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Reached only where a trainer is to score dev."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer_for(epochs: int, folder: Path, limit_val_batches: int = 0) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=limit_val_batches,
        num_sanity_val_steps=0,
        default_root_dir=str(folder),
    )


def numbers(batches: Iterable[Batch]) -> list[int]:
    return [number for batch in batches for number in batch.sentences.tolist()]


def planned(prepared: Prepared, epoch: int, **plan: Any) -> list[list[int]]:
    order = BatchPlan(prepared.splits["train"].sentence_lengths, seed=SEED, **plan)
    order.set_epoch(epoch)
    return [batch.tolist() for batch in order.batches()]


def on_process(module: NerDataModule, rank: int, world: int, device: str = "cpu") -> NerDataModule:
    place = SimpleNamespace(root_device=torch.device(device))
    module.trainer = SimpleNamespace(global_rank=rank, world_size=world, strategy=place)  # type: ignore[assignment]
    return module


def test_training_sees_every_sentence_once_an_epoch_in_the_order_of_seed_and_epoch(
    prepared: Prepared, options: DataOptions, tmp_path: Path
) -> None:
    witness = Witness()
    trainer_for(3, tmp_path).fit(witness, datamodule=NerDataModule(prepared, options, seed=SEED))
    assert list(witness.epochs) == [0, 1, 2]
    for epoch, batches in witness.epochs.items():
        assert batches == planned(prepared, epoch, batch_size=100)
        assert sorted(number for batch in batches for number in batch) == list(range(len(prepared.splits["train"])))
    assert witness.epochs[0] != witness.epochs[1]
    maker = BatchMaker(prepared.splits["train"], singleton_unk=0.5, seed=SEED)
    for epoch, batches in witness.epochs.items():
        maker.set_epoch(epoch)
        expected = [maker[np.array(batch), len(batch), 0, True].words.tolist() for batch in batches]
        assert witness.words[epoch] == expected


def test_a_resumed_training_goes_on_with_the_batches_and_hidden_words_of_an_unbroken_one(
    prepared: Prepared, options: DataOptions, tmp_path: Path
) -> None:
    unbroken, first, second = Witness(), Witness(), Witness()
    trainer_for(3, tmp_path).fit(unbroken, datamodule=NerDataModule(prepared, options, seed=SEED))
    trainer = trainer_for(2, tmp_path)
    trainer.fit(first, datamodule=NerDataModule(prepared, options, seed=SEED))
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    resumed = NerDataModule(prepared, options, seed=SEED)
    trainer_for(3, tmp_path).fit(second, datamodule=resumed, ckpt_path=str(tmp_path / "two.ckpt"))
    assert list(second.epochs) == [2]
    assert first.epochs | second.epochs == unbroken.epochs
    assert first.words | second.words == unbroken.words


def test_a_token_budget_takes_the_place_of_the_batch_size(prepared: Prepared, options: DataOptions) -> None:
    module = NerDataModule(prepared, replace(options, batch_tokens=500, batch_size=2), seed=SEED)
    batches = [batch.sentences.tolist() for batch in module.train_dataloader()]
    assert batches == planned(prepared, 0, batch_size=None, batch_tokens=500)
    assert max(map(len, batches)) > 2


def test_sentences_are_not_grouped_where_that_is_asked(prepared: Prepared, options: DataOptions) -> None:
    module = NerDataModule(prepared, replace(options, group_by_length=False), seed=SEED)
    batches = [batch.sentences.tolist() for batch in module.train_dataloader()]
    assert batches == planned(prepared, 0, batch_size=100, group_by_length=False)


@pytest.mark.parametrize("name", ["dev", "test"])
def test_dev_and_test_are_read_whole_within_their_budget_with_no_word_hidden(
    prepared: Prepared, options: DataOptions, name: str
) -> None:
    module = NerDataModule(prepared, options, seed=SEED)
    loader = module.val_dataloader() if name == "dev" else module.test_dataloader()
    split = prepared.splits[name]
    batches = list(loader)
    assert len(batches) == loader.batches_in_epoch > 1
    assert sorted(numbers(batches)) == list(range(len(split)))
    for batch in batches:
        assert int(batch.mask.sum()) <= 1000
        for row, number in enumerate(batch.sentences.tolist()):
            begin, end = split.starts[number], split.starts[number + 1]
            words = split.table.words[split.forms[begin:end]].tolist()
            assert batch.words[row, : end - begin].tolist() == words
    again = NerDataModule(prepared, options, seed=SEED + 1)
    other = again.val_dataloader() if name == "dev" else again.test_dataloader()
    assert [batch.sentences.tolist() for batch in other] == [batch.sentences.tolist() for batch in batches]


def test_words_that_train_has_once_are_hidden_in_training(prepared: Prepared, options: DataOptions) -> None:
    def unknown(probability: float) -> int:
        module = NerDataModule(prepared, replace(options, singleton_unk=probability), seed=SEED)
        return sum(int((batch.words == UNK).sum()) for batch in module.train_dataloader())

    table, split = prepared.splits["train"].table, prepared.splits["train"]
    assert unknown(0.0) == 0
    assert unknown(1.0) == int(table.singletons[split.forms].sum()) > 100


def test_loading_leaves_the_global_random_state_alone(prepared: Prepared, options: DataOptions) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    module = NerDataModule(prepared, options, seed=SEED)
    for loader in (module.train_dataloader(), module.val_dataloader()):
        assert len(list(loader)) > 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader", "test_dataloader"])
def test_batches_come_where_the_trainer_is_in_the_same_order(
    prepared: Prepared, options: DataOptions, loader: str
) -> None:
    here = list(getattr(NerDataModule(prepared, options, seed=SEED), loader)())
    module = on_process(NerDataModule(prepared, options, seed=SEED), 0, 1, "meta")
    there = list(getattr(module, loader)())
    for one, other in zip(here, there, strict=True):
        assert other.words.is_meta
        assert other.chars.is_meta
        assert (one.words.shape, one.chars.shape) == (other.words.shape, other.chars.shape)
        assert one.global_tokens == other.global_tokens


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader", "test_dataloader"])
def test_three_processes_share_each_split_exactly_and_take_equally_many_steps(
    prepared: Prepared, options: DataOptions, loader: str
) -> None:
    def batches_on(rank: int, world: int) -> list[Batch]:
        # the last batch of train has one sentence, so two processes are idle in it
        size = len(prepared.splits["train"]) - 1
        module = NerDataModule(prepared, replace(options, batch_size=size), seed=SEED)
        return list(getattr(on_process(module, rank, world), loader)())

    whole = batches_on(0, 1)
    shares = [batches_on(rank, 3) for rank in range(3)]
    assert {len(share) for share in shares} == {len(whole)}
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(numbers(part for part in parts if part.counts)) == sorted(batch.sentences.tolist())
        assert {part.global_sentences for part in parts} == {len(batch)}
    if loader == "train_dataloader":
        assert sum(not part.counts for share in shares for part in share) == 2


BATCHINGS = {
    "tokens": {"batch_tokens": 100, "group_by_length": False},
    "tokens, grouped by length": {"batch_tokens": 100},
    "sentences": {"batch_size": 37},
}


class Scored(Witness):
    """Notes the epochs after which dev was scored."""

    def __init__(self) -> None:
        super().__init__()
        self.scored: list[int] = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if batch_idx == 0:
            self.scored.append(self.current_epoch)


@pytest.mark.parametrize("batching", list(BATCHINGS))
def test_every_epoch_trains_every_sentence_once_and_is_scored(
    batching: str, prepared: Prepared, options: DataOptions, tmp_path: Path
) -> None:
    witness = Scored()
    data = NerDataModule(prepared, replace(options, **BATCHINGS[batching]), seed=2)
    trainer_for(6, tmp_path, limit_val_batches=1).fit(witness, datamodule=data)
    for batches in witness.epochs.values():
        assert sorted(number for batch in batches for number in batch) == list(range(len(prepared.splits["train"])))
    assert witness.scored == list(witness.epochs) == list(range(6))
    if batching == "tokens":
        assert len({len(batches) for batches in witness.epochs.values()}) > 1, "these epochs differ in batches"


@pytest.mark.parametrize(("limit", "batches"), [(2, [2] * 3), (0.5, None), (10_000, None), (None, None)])
def test_a_limit_holds_for_each_epoch_by_its_own_number_of_batches(
    limit: int | float | None, batches: list[int] | None, prepared: Prepared, options: DataOptions, tmp_path: Path
) -> None:
    cut = {"batch_tokens": 100, "group_by_length": False}
    witness = Scored()
    data = NerDataModule(prepared, replace(options, **cut), seed=SEED, limit=limit)
    trainer_for(3, tmp_path, limit_val_batches=1).fit(witness, datamodule=data)
    whole = [len(planned(prepared, epoch, batch_size=None, **cut)) for epoch in range(3)]
    share = limit if isinstance(limit, float) else 1.0
    assert [len(one) for one in witness.epochs.values()] == (batches or [int(share * number) for number in whole])
    assert witness.scored == [0, 1, 2]
