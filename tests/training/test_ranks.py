"""Several processes that train and score as one: gradients, steps, counts, weights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from ranks import on_ranks
from sample import NO_DROPOUT, SMALL, TRAIN, Marked, Outcome, marked, metrics_of, read_columns, write_corpus
from torch import Tensor

from ner_lab.config.compose import compose_config
from ner_lab.data.batching.batch import Batch
from ner_lab.inference.evaluate import evaluate
from ner_lab.runs.folder import RunFolder
from ner_lab.training.module import TaggerModule
from ner_lab.training.train import train

WORLDS = (2, 3)
BILSTM = ["encoder.hidden_dim=8", "encoder.input_dropout=0", "encoder.output_dropout=0"]
DOUBLE = ["trainer.precision=64-true"]
ROWS = ["optimizer=sgd", "optimizer.momentum=0.9"]
CASES = {  # on six sentences in batches of five and one, unless they say otherwise
    "crf, sum": [*BILSTM, *ROWS, "optimizer.loss=sum", "optimizer.lr=0.002", "data.singleton_unk=0.5"],
    "crf_pairwise, token_mean": [*BILSTM, "decoder=crf_pairwise", *ROWS, "optimizer.loss=token_mean", *DOUBLE],
    "stack_lstm, sentence_mean": ["encoder=none_dry", "decoder=stack_lstm_dry", "trainer.max_epochs=1", *DOUBLE],
    "softmax, sentence_mean": [*BILSTM, "decoder=softmax", "trainer.max_epochs=1", *DOUBLE],
    "sparse features, a budget of tokens": [
        *(*BILSTM, "features=huang", "data.batch_tokens=16", "data.group_by_length=false"),
        *("optimizer=adamw", "optimizer.loss=token_mean", "trainer.max_epochs=1", *DOUBLE),
    ],
}
ON_THREE = list(CASES)[:3]
PARTED = [(case, world) for case in CASES for world in WORLDS if world == 2 or case in ON_THREE]


@dataclass
class Step:
    """What a process did in one step."""

    loss: float
    sentences: int
    """That count"""
    global_sentences: int
    global_tokens: int
    gradients: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Trained:
    """What one process saw of a run."""

    steps: list[Step]
    counts: list[dict[str, Any]]
    """Of dev over all processes, after each epoch"""
    metrics: dict[str, Any]
    weights: dict[str, Tensor]


def watched(folder: Path, cfg: DictConfig) -> Trained:
    """Train, and note everything."""
    steps: list[Step] = []
    counts: list[dict[str, Any]] = []
    modules: list[TaggerModule] = []
    take, figures = TaggerModule.training_step, TaggerModule.dev_figures

    def step(self: TaggerModule, batch: Batch, batch_idx: int) -> Tensor:
        loss = take(self, batch, batch_idx)
        own = len(batch) if batch.counts else 0
        steps.append(Step(float(loss.detach()), own, batch.global_sentences, batch.global_tokens))
        return loss

    def note(self: TaggerModule) -> None:
        modules[:] = [self]
        named = self.tagger.named_parameters()
        steps[-1].gradients = {name: part.grad.to_dense().clone() for name, part in named if part.grad is not None}

    def count(self: TaggerModule) -> dict[str, Tensor]:
        counts.append(self.dev_score.compute())
        return figures(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaggerModule, "training_step", step)
        patch.setattr(TaggerModule, "on_after_backward", note)
        patch.setattr(TaggerModule, "dev_figures", count)
        metrics = train(cfg, folder)
    return Trained(
        steps, counts, metrics, {name: part.clone() for name, part in modules[0].tagger.state_dict().items()}
    )


def all_of(folder: Path, cases: Mapping[str, DictConfig]) -> dict[str, Trained]:
    return {name: watched(folder / f"{number}", cfg) for number, (name, cfg) in enumerate(cases.items())}


def parted(cfg: DictConfig, world: int) -> DictConfig:
    """The same experiment in so many processes."""
    ranks = {"run_name": "ranks", "trainer": {"strategy": "ddp", "devices": world}}  # a name that needs no resolver
    return OmegaConf.merge(cfg, ranks)  # type: ignore[return-value]


Outcomes = Mapping[int, list[dict[str, Trained]]]


@pytest.fixture(scope="module")
def outcomes(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Number of processes -> what each of them saw of every case."""
    folder = tmp_path_factory.mktemp("ranks")
    six = write_corpus(folder / "six.conll", marked(TRAIN)[:6])
    settings = [
        *("data=files", f"data.train={six}", f"data.dev={corpus / 'dev.conll'}", f"data.test={corpus / 'test.conll'}"),
        *("data.batch_size=5", "data.eval_batch_tokens=14", "trainer.max_epochs=2", "run_name=ranks"),
        *(setting for setting in SMALL if not setting.startswith("encoder.")),
        "char_encoder.dropout=0",
    ]
    composed = {name: compose_config([*settings, *case]) for name, case in CASES.items()}
    found = {1: [all_of(folder / "runs-1", {name: cfg.copy() for name, cfg in composed.items()})]}
    for world in WORLDS:
        cases = {name: parted(cfg, world) for name, cfg in composed.items() if (name, world) in PARTED}
        found[world] = on_ranks(world, folder / f"ranks-{world}", all_of, folder / f"runs-{world}", cases)
    return found


def apart(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Distance of all numbers of two, over the length of the first."""
    assert one.keys() == other.keys()
    away = math.hypot(*(float((one[name] - other[name]).norm()) for name in one))
    return away / math.hypot(*(float(part.norm()) for part in one.values()))


def bound(case: str) -> float:
    return 1e-12 if DOUBLE[0] in CASES[case] else 1e-6


@pytest.mark.parametrize(("case", "world"), PARTED)
def test_loss_and_gradients_of_a_global_batch_are_those_of_one_process(
    case: str, world: int, outcomes: Outcomes
) -> None:
    alone, *others = outcomes[1][0][case].steps, *(rank[case].steps for rank in outcomes[world])
    assert len(alone) > 1
    for usual, *parts in zip(alone, *others, strict=True):
        loss = sum(part.loss for part in parts) / world
        assert abs(loss - usual.loss) <= bound(case) * abs(usual.loss)
        for part in parts:
            assert apart(usual.gradients, part.gradients) <= bound(case)


@pytest.mark.parametrize(("case", "world"), PARTED)
def test_the_batch_size_is_that_of_all_processes_together(case: str, world: int, outcomes: Outcomes) -> None:
    ranks = [rank[case].steps for rank in outcomes[world]]
    for usual, *parts in zip(outcomes[1][0][case].steps, *ranks, strict=True):
        assert sum(part.sentences for part in parts) == usual.sentences == usual.global_sentences
        assert {(part.global_sentences, part.global_tokens) for part in parts} == {
            (usual.sentences, usual.global_tokens)
        }
        assert max(part.sentences for part in parts) - min(part.sentences for part in parts) <= 1
    idle = sum(not part.sentences for steps in ranks for part in steps)
    assert idle, "a batch of one sentence leaves nothing for the others"


@pytest.mark.parametrize(("case", "world"), PARTED)
def test_all_processes_end_with_the_same_weights_to_the_last_bit_and_near_those_of_one(
    case: str, world: int, outcomes: Outcomes
) -> None:
    first, *others = (rank[case].weights for rank in outcomes[world])
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)
    assert apart(outcomes[1][0][case].weights, first) <= bound(case)


@pytest.mark.parametrize(("case", "world"), PARTED)
def test_dev_and_test_are_counted_as_by_one_process_to_the_unit(case: str, world: int, outcomes: Outcomes) -> None:
    alone = outcomes[1][0][case]
    assert all(rank[case].counts == alone.counts for rank in outcomes[world])
    assert alone.counts[-1]["sentences"] == 4
    metrics = outcomes[world][0][case].metrics
    assert (metrics["dev"], metrics["test"]) == (alone.metrics["dev"], alone.metrics["test"])
    assert all(not rank[case].metrics for rank in outcomes[world][1:]), "the first process alone writes"


def test_a_run_of_two_processes_ends_and_is_scored_as_one_of_one(small: list[str], tmp_path: Path) -> None:
    # batches of 11 and of 1 sentence: the second process has nothing to do in the last one
    settings = [*small, *NO_DROPOUT, "data.batch_size=11", "optimizer.lr=0.03", "trainer.max_epochs=12", *DOUBLE]
    cfg, both = compose_config(settings), tmp_path / "both"
    on_ranks(2, tmp_path / "ranks", watched, both, parted(cfg, 2))
    alone = train(cfg, tmp_path / "alone")
    metrics = metrics_of(both)
    best = metrics["history"][metrics["best_epoch"] - 1]
    assert best["dev"]["f1"] == pytest.approx(metrics["dev"]["f1"], rel=1e-6)
    assert best["dev"]["f1"] > 50
    scored = evaluate(both)
    for name in ("dev", "test"):
        assert scored[name].scores == metrics[name] == alone[name]
    for entry, usual in zip(metrics["history"], alone["history"], strict=True):
        assert entry["train_loss"] == pytest.approx(usual["train_loss"], rel=1e-9)
        assert entry["dev"] == usual["dev"]
    one, other = (RunFolder(folder).read_weights()[0] for folder in (tmp_path / "alone", both))
    assert apart(one, other) <= 1e-9


def few(folder: Path) -> tuple[dict[str, list[Marked]], list[str]]:
    """Splits of two, one and one sentence, and where they are."""
    sentences = marked(TRAIN)
    splits = {"train": sentences[:2], "dev": sentences[2:3], "test": sentences[3:4]}
    return splits, [f"data.{name}={write_corpus(folder / f'{name}.conll', rows)}" for name, rows in splits.items()]


def assert_all_was_counted(run: Path, splits: Mapping[str, list[Marked]]) -> None:
    metrics = metrics_of(run)
    assert len(metrics["history"]) == 2
    scored = evaluate(run)
    for name in ("dev", "test"):
        (sentence,) = splits[name]
        counts = (metrics[name]["sentences"], metrics[name]["tokens"], metrics[name]["gold"])
        assert counts == (1, len(sentence.words), len(sentence.spans))
        assert metrics[name] == scored[name].scores
        assert len(read_columns(run / "predictions" / f"{name}.conll")) == 1


def test_three_processes_with_two_sentences_end_and_count_all_of_dev(small: list[str], tmp_path: Path) -> None:
    splits, files = few(tmp_path)
    cfg = parted(compose_config([*small, *files, "trainer.max_epochs=2"]), 3)
    seen = on_ranks(3, tmp_path / "ranks", watched, tmp_path / "run", cfg)
    for rank in seen:
        assert len(rank.steps) == 2
        assert [(count["sentences"], count["gold"]) for count in rank.counts] == [(1, len(splits["dev"][0].spans))] * 2
    assert_all_was_counted(tmp_path / "run", splits)


@pytest.mark.soak
def test_the_command_starts_three_processes_for_two_sentences_and_ends(
    small: list[str], tmp_path: Path, subprocess_cli: Callable[..., Outcome]
) -> None:
    splits, files = few(tmp_path)
    settings = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=3", "trainer.max_epochs=2"]
    outcome = subprocess_cli(
        "train", *small, *files, *settings, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path, timeout=120
    )
    assert outcome.code == 0, outcome.said
    assert_all_was_counted(tmp_path / "run", splits)
