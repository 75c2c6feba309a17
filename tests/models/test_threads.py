"""How many threads there are changes results by rounding at most, and under trainer.deterministic by nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import Batch
from ner_lab.data.batching.datamodule import NerDataModule
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.inference.evaluate import evaluate
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.models.encoder.recurrent import BiLSTM
from ner_lab.models.layers.bidirectional import run_directions
from ner_lab.models.tagger import Tagger
from ner_lab.models.threads import set_threads
from ner_lab.training.train import train, untrained_module

LARGE = ["data=builtin", "data.batch_size=32", "run_name=threads"]
"""Settings whose tensors are large enough for torch to share an operation out among threads."""
CASES = {
    "bilstm and crf": [],
    "char bilstm and crf_pairwise": ["char_encoder=bilstm", "decoder=crf_pairwise"],
    "word cnn and softmax": ["encoder=cnn", "decoder=softmax"],
    "stack_lstm": ["encoder=none", "decoder=stack_lstm"],
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


@dataclass
class Experiment:
    """A config and its data."""

    cfg: DictConfig
    prepared: Prepared

    def batches(self, steps: int) -> list[Batch]:
        loader = NerDataModule(self.prepared, data_options_of(self.cfg), seed=1).train_dataloader()
        return list(islice(loader, steps))


@dataclass
class Result:
    """What a training came to: of its last step, and of the tagger it ended with."""

    losses: list[float]
    gradient: Tensor
    states: Tensor
    tags: Tensor
    weights: Tensor


@pytest.fixture(scope="module")
def experiments() -> dict[str, Experiment]:
    made = {}
    for name, overrides in CASES.items():
        cfg = compose_config([*LARGE, *overrides])
        made[name] = Experiment(cfg, prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg)))
    return made


def in_a_row(tensors: Iterator[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().to_dense().flatten().double() for tensor in tensors])


def trained(experiment: Experiment, steps: int, threads: int, *, deterministic: bool) -> Result:
    """After so many steps, all random numbers the same."""
    module = untrained_module(experiment.cfg, experiment.prepared).train()
    set_threads(threads, module.tagger, deterministic=deterministic)
    batches = experiment.batches(steps)
    optimizer = module.recipe.optimizer(module.tagger)
    parameters = list(module.tagger.parameters())
    losses = []
    for one in batches:
        optimizer.zero_grad()
        loss = module.recipe.reduce(module.tagger(one), one.global_sentences, one.global_tokens, 1)
        loss.backward()
        gradient = in_a_row(part.grad for part in parameters if part.grad is not None)
        module.recipe.clip_gradients(parameters)
        optimizer.step()
        losses.append(float(loss.detach()))
    states, tags = read(module.tagger, batches[0])
    return Result(losses, gradient, states, tags, in_a_row(iter(module.tagger.state_dict().values())))


def read(tagger: Tagger, batch: Batch) -> tuple[Tensor, Tensor]:
    """Hidden states (batch, time, dim) and tags (batch, time)."""
    tagger.eval()
    with torch.inference_mode():
        return tagger.encoder(tagger.embedder(batch), batch.lengths), tagger.decode(batch)


def away(one: Tensor, other: Tensor) -> float:
    """Distance over length."""
    return float((one - other).norm() / one.norm())


@pytest.mark.parametrize("threads", [2, *(pytest.param(more, marks=pytest.mark.soak) for more in (3, 4))])
@pytest.mark.parametrize("case", CASES)
def test_under_deterministic_the_number_of_threads_changes_no_bit(
    case: str, threads: int, experiments: dict[str, Experiment]
) -> None:
    one, two = (trained(experiments[case], 3, number, deterministic=True) for number in (1, threads))
    assert one.losses == two.losses
    for name in ("gradient", "states", "tags", "weights"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name


BUSY = pytest.mark.soak  # threads wait for one another: on a busy machine that takes long
FEW_OR_ALL = [pytest.param(case, marks=() if case == "word cnn and softmax" else BUSY) for case in CASES]


@pytest.mark.parametrize("threads", [2, pytest.param(4, marks=BUSY)])
@pytest.mark.parametrize("case", FEW_OR_ALL)
def test_with_given_weights_results_are_near_for_any_number_of_threads(
    case: str, threads: int, experiments: dict[str, Experiment]
) -> None:
    experiment = experiments[case]
    one, other = (trained(experiment, 1, number, deterministic=False) for number in (1, threads))
    assert one.losses == pytest.approx(other.losses, rel=1e-6)
    assert away(one.gradient, other.gradient) <= 1e-5
    module = untrained_module(experiment.cfg, experiment.prepared)
    batch = experiment.batches(1)[0]
    found = []
    for number in (1, threads):
        set_threads(number, module.tagger)
        found.append(read(module.tagger, batch))
    (states, tags), (other_states, other_tags) = found
    assert float((states - other_states).abs().max()) <= 1e-5
    assert torch.equal(tags, other_tags)


# not the word CNN's: where a ReLU is at its kink, rounding decides which way it goes, and training carries that on


# not the word CNN's: where a ReLU is at its kink, rounding decides which way it goes, and training carries that on
@BUSY
@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("case", ["bilstm and crf", "char bilstm and crf_pairwise", "stack_lstm"])
def test_after_twenty_steps_results_are_near_for_any_number_of_threads(
    case: str, threads: int, experiments: dict[str, Experiment]
) -> None:
    one, other = (trained(experiments[case], 20, number, deterministic=False) for number in (1, threads))
    assert one.losses == pytest.approx(other.losses, rel=1e-5)
    assert away(one.gradient, other.gradient) <= 1e-5
    assert float((one.states - other.states).abs().max()) <= 1e-5
    assert torch.equal(one.tags, other.tags)


def test_runs_and_evaluation_use_one_thread_per_operation(small: list[str], tmp_path: Path) -> None:
    settings = [*small, "trainer.deterministic=true", "threads=4", "trainer.max_epochs=1"]
    alone = train(compose_config(settings), tmp_path / "alone")
    assert torch.get_num_threads() == 1
    torch.set_num_threads(2)
    assert evaluate(tmp_path / "alone")["test"].scores == alone["test"]
    assert torch.get_num_threads() == 1
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("number", "both_ways", "deterministic", "threads", "parallel"),
    [
        (1, True, False, 1, False),
        (2, True, False, 1, True),
        (4, True, False, 2, True),
        (4, True, True, 1, True),
        (1, True, True, 1, False),
        (4, False, False, 4, None),
        (4, False, True, 1, None),
        (None, True, True, 1, False),
        (None, True, False, 3, False),
    ],
)
def test_threads_are_shared_out(
    number: int | None, both_ways: bool, deterministic: bool, threads: int, parallel: bool | None
) -> None:
    torch.set_num_threads(3)
    model = (
        BiLSTM(input_dim=2, hidden_dim=2, num_layers=1, input_dropout=0.0, output_dropout=0.0)
        if both_ways
        else nn.Linear(1, 1)
    )
    set_threads(number, model, deterministic=deterministic)
    assert torch.get_num_threads() == threads
    assert getattr(model, "parallel", None) == parallel


def test_the_second_direction_has_as_many_threads_as_the_first_also_after_a_change() -> None:
    seen: list[int] = []

    class Recorder(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            seen.append(torch.get_num_threads())
            return inputs

    values = torch.ones(1, 1, 2)
    with torch.no_grad():
        for threads in (3, 1, 2):
            torch.set_num_threads(threads)
            run_directions(nn.Identity(), Recorder(), values, values, parallel=True)
    assert seen == [3, 1, 2]
