"""Counting by gradient descent: shares that sum to one, and one epoch that adds up what a plain Counter counts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from sample import TRAIN, Marked, marked

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import BatchMaker, BatchPlan
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.data.sentence import Sentence
from ner_lab.errors import UserError
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.models.layers.counts import CountedScores, CountTable, check_counts
from ner_lab.runs.folder import RunFolder
from ner_lab.training.module import TaggerModule
from ner_lab.training.train import train

NAMES = ["word=a", "pos=X", "word=b", "word=c=d", "pos=Y", "shape="]


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 20, shape, generator=torch.Generator().manual_seed(seed)).float()


# shares


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    smoothing=st.floats(0.01, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_a_table_gives_smoothed_shares_that_sum_to_one_in_each_row(
    shape: list[int], smoothing: float, seed: int
) -> None:
    table = CountTable(*shape, smoothing=smoothing)
    with torch.no_grad():
        table.counts.copy_(drawn(*shape, seed=seed))
    shares = table().exp()
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(shape[:-1]))
    for row, counts in zip(shares.view(-1, shape[-1]), table.counts.view(-1, shape[-1]).tolist(), strict=True):
        expected = [(count + smoothing) / (sum(counts) + smoothing * len(counts)) for count in counts]
        torch.testing.assert_close(row, torch.tensor(expected))


@given(tags=st.integers(1, 4), smoothing=st.floats(0.01, 3), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_features_of_a_template_share_each_tags_counts_among_them(tags: int, smoothing: float, seed: int) -> None:
    scores = CountedScores(NAMES, tags, smoothing)
    counts = drawn(len(NAMES), tags, seed=seed)
    with torch.no_grad():
        scores.counts.copy_(counts)
    shares = scores.log_shares().exp()
    for template in ([0, 2, 3], [1, 4], [5]):
        torch.testing.assert_close(shares[template].sum(dim=0), torch.ones(tags))
        smooth = counts[template] + smoothing
        torch.testing.assert_close(shares[template], smooth / smooth.sum(dim=0))


def test_a_tokens_score_is_the_sum_of_its_features_log_shares() -> None:
    scores = CountedScores(NAMES, 3, 0.5)
    with torch.no_grad():
        scores.counts.copy_(drawn(len(NAMES), 3, seed=1))
    found = scores(torch.tensor([0, 1, 4, 2]), torch.tensor([0, 2, 2, 3]))
    shares = scores.log_shares()
    torch.testing.assert_close(found, torch.stack([shares[0] + shares[1], torch.zeros(3), shares[4], shares[2]]))


# one epoch


@dataclass
class Counts:
    """What a plain reading of train counts; `following` ends in the end of a sentence, None."""

    start: Counter[str]
    following: Counter[tuple[str, str | None]]
    prior: Counter[str]
    features: Counter[tuple[str, str]]


def plain_counts(cfg: DictConfig, sentences: Sequence[Marked]) -> Counts:
    features = feature_set_of(cfg)
    rows = [Sentence(one.words, one.tags(cfg.data.scheme)) for one in sentences]
    features.remember(features.learn(rows))
    counts = Counts(Counter(), Counter(), Counter(), Counter())
    for row in rows:
        counts.start[row.tags[0]] += 1
        counts.following.update(zip(row.tags, [*row.tags[1:], None], strict=True))
        counts.prior.update(row.tags)
        for tag, names in zip(row.tags, features.sparse(row), strict=True):
            counts.features.update((name, tag) for name in names)
    return counts


def assert_counted(weights: dict[str, torch.Tensor], data: Prepared, expected: Counts) -> None:
    """Every number of the model is a count of `expected`, and none is left out."""
    tags, names = data.vocabs.tags.items, data.vocabs.features.sparse.items
    tables = {key: value.tolist() for key, value in weights.items()}
    scored = tables["embedder.features.scores.counts"]
    found = {
        (name, tag): n for name, row in zip(names, scored, strict=True) for tag, n in zip(tags, row, strict=True) if n
    }
    assert found == expected.features
    if "decoder.prior.counts" in tables:
        assert {tag: n for tag, n in zip(tags, tables["decoder.prior.counts"], strict=True) if n} == expected.prior
        return
    assert {tag: n for tag, n in zip(tags, tables["decoder.start.counts"], strict=True) if n} == expected.start
    rows = zip(tags, tables["decoder.following.counts"], strict=True)
    moved = {(tag, after): n for tag, row in rows for after, n in zip([*tags, None], row, strict=True) if n}
    assert moved == expected.following


@pytest.fixture(scope="module")
def setting(corpus: Path) -> Any:
    """The config of a model on the small corpus, and the corpus prepared for it."""
    files = [f"data.{name}={corpus / name}.conll" for name in ("train", "dev", "test")]

    @cache
    def compose(*overrides: str) -> tuple[DictConfig, Prepared]:
        cfg = compose_config(["data=files", *files, "logger=none", "threads=1", *overrides])
        return cfg, prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))

    return compose


def weights_after_one_epoch(
    cfg: DictConfig, data: Prepared, batch_size: int, world: int = 1
) -> dict[str, torch.Tensor]:
    """Train by hand, with `world` processes whose gradients are averaged."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    module = TaggerModule(plain, data.vocabs.to_plain(), data.labels)
    recipe, optimizer = module.recipe, module.recipe.optimizer(module.tagger)
    maker = BatchMaker(data.splits["train"])
    lengths = data.splits["train"].sentence_lengths
    plans = [BatchPlan(lengths, batch_size=batch_size, seed=3, rank=rank, world=world) for rank in range(world)]
    parameters = list(module.tagger.parameters())
    for items in zip(*plans, strict=True):
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        for item in items:
            batch = maker[item]
            optimizer.zero_grad()
            losses = module.tagger(batch)
            losses = losses if batch.counts else losses * 0
            recipe.reduce(losses, batch.global_sentences, batch.global_tokens, world).backward()
            for total, parameter in zip(gradients, parameters, strict=True):
                total += parameter.grad * torch.tensor(1 / world)
        for total, parameter in zip(gradients, parameters, strict=True):
            parameter.grad = total
        recipe.clip_gradients(parameters)
        optimizer.step()
    return {name: parameter.detach() for name, parameter in module.tagger.named_parameters()}


@pytest.mark.parametrize(
    "model",
    [
        ("paper=hmm",),
        ("paper=hmm", "data.scheme=IOB2", "features.min_count=1"),
        ("paper=naive_bayes",),
        ("paper=hmm", "features=huang_counts"),
        ("paper=naive_bayes", "features=words"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_one_epoch_gives_the_counts_of_a_plain_reading_whatever_the_batches(
    model: tuple[str, ...], batch_size: int, setting: Any
) -> None:
    cfg, data = setting(*model)
    weights = weights_after_one_epoch(cfg, data, batch_size)
    assert_counted(weights, data, plain_counts(cfg, marked(TRAIN)))


@pytest.mark.parametrize("paper", ["hmm", "naive_bayes"])
@pytest.mark.parametrize(("world", "batch_size"), [(2, 4), (2, 1), (2, 100), (3, 7), (4, 3)])
def test_processes_that_share_the_batches_count_the_same(paper: str, world: int, batch_size: int, setting: Any) -> None:
    cfg, data = setting(f"paper={paper}")
    alone = weights_after_one_epoch(cfg, data, 5)
    together = weights_after_one_epoch(cfg, data, batch_size, world)
    for name, counts in alone.items():
        assert torch.equal(together[name], counts), name


def test_a_run_counts_the_same(setting: Any, tmp_path: Path) -> None:
    cfg, data = setting("paper=hmm")
    train(cfg.copy(), tmp_path / "run")
    assert_counted(RunFolder(tmp_path / "run").read_weights()[0], data, plain_counts(cfg, marked(TRAIN)))


# what is no count


@pytest.mark.parametrize("overrides", [("optimizer=adam",), ("optimizer=sgd",), ("optimizer.lr=0.3",)])
def test_another_way_of_training_leaves_no_counts(overrides: tuple[str, ...], setting: Any) -> None:
    cfg, data = setting("paper=hmm", *overrides)
    counts = weights_after_one_epoch(cfg, data, 5)["decoder.following.counts"]
    with pytest.raises(UserError, match="decoder=hmm must be trained by counting"):
        check_counts(counts, "hmm")


@pytest.mark.parametrize("counts", [[0.0, 3.0, 200_000.0], [0.0], [4.9999995, 7.0000005]])
def test_counts_are_taken_for_counts_with_the_last_digits_of_a_mean(counts: list[float]) -> None:
    check_counts(torch.tensor(counts), "hmm")


@pytest.mark.parametrize("counts", [[1.0, 0.5], [-1.0, 2.0], [0.001], [3.001, 7.0], [-1e-9]])
def test_other_numbers_are_not(counts: list[float]) -> None:
    with pytest.raises(UserError, match=r"Use optimizer=sgd_counts trainer\.max_epochs=1"):
        check_counts(torch.tensor(counts), "hmm")


def test_the_mean_over_seven_processes_is_still_taken_for_counts() -> None:
    mean = torch.zeros(1)
    for counted in (3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0):  # as torch averages: each part times 1 / 7
        mean += torch.tensor(7 * counted) * torch.tensor(1 / 7)
    assert not torch.equal(mean, mean.round())
    check_counts(mean, "hmm")
