"""Directions on two cores give what they give one after the other."""

import os
import threading

import pytest
import torch
from torch import Tensor, nn

from ner_lab.config.trainer_checks import has_half_precision_lstm
from ner_lab.models.char_encoder.bilstm import CharBiLSTM
from ner_lab.models.encoder.recurrent import BiLSTM
from ner_lab.models.layers.bidirectional import run_directions
from ner_lab.models.layers.recurrent import Recurrence

LENGTHS = torch.tensor([5, 3, 1])


def encoder(cell: str = "stock", *, parallel: bool, **options: object) -> BiLSTM:
    torch.manual_seed(2)
    made = BiLSTM(input_dim=4, hidden_dim=3, num_layers=2, input_dropout=0.2, output_dropout=0.3, cell=cell, **options)  # type: ignore[arg-type]
    made.parallel = parallel
    return made.double()


def results(module: BiLSTM, inputs: Tensor) -> list[Tensor | None]:
    """States, gradient of the inputs, and of every weight, of one training step with its dropout."""
    torch.manual_seed(7)
    inputs = inputs.clone().requires_grad_()
    states = module(inputs, LENGTHS)
    (states**2).sum().backward()
    return [states, inputs.grad, *(weight.grad for weight in module.parameters())]


@pytest.mark.parametrize("stacks", ["joint", "separate"])
@pytest.mark.parametrize("learn_initial", [False, True])
@pytest.mark.parametrize(("cell", "clip"), [("stock", None), ("stock", 0.01), ("peephole", None), ("coupled", None)])
def test_parallel_and_sequential_directions_are_bit_identical(
    cell: str, clip: float | None, learn_initial: bool, stacks: str
) -> None:
    inputs = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    options = {"clip_gradient": clip, "learn_initial": learn_initial, "stacks": stacks}
    found = [results(encoder(cell, parallel=parallel, **options), inputs) for parallel in (False, True)]
    for alone, beside in zip(*found, strict=True):
        assert (alone is None) == (beside is None)
        assert alone is None or alone.equal(beside)


def test_the_second_direction_runs_in_another_thread_forwards_and_backwards() -> None:
    seen: dict[str, set[int]] = {"ahead": set(), "back": set()}

    class Recorder(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.layer, self.name = nn.Linear(2, 2), name

        def forward(self, inputs: Tensor) -> Tensor:
            seen[self.name].add(threading.get_ident())
            states = self.layer(inputs)
            states.register_hook(lambda _: seen[self.name].add(threading.get_ident()))
            return states

    values = torch.ones(1, 1, 2)
    states = run_directions(Recorder("ahead"), Recorder("back"), values, values, parallel=True)
    (states[0] + states[1]).sum().backward()
    assert len(seen["back"]) == 1
    assert threading.main_thread().ident not in seen["back"]
    assert not seen["ahead"] & seen["back"]


def test_only_what_is_trained_gets_a_gradient() -> None:
    layers = [Recurrence("stock", 4, 3) for _ in range(2)]
    layers[1].requires_grad_(False)
    inputs = torch.randn(2, 3, 4)
    states = run_directions(*layers, inputs, inputs, parallel=True)
    assert not states[0].isnan().any()
    states[0].sum().backward()
    assert layers[0].cell.weight_ih_l0.grad is not None
    assert layers[1].cell.weight_ih_l0.grad is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_states_are_the_same_and_keep_no_graph(mode: type) -> None:
    inputs = torch.randn(3, 5, 4, dtype=torch.double)
    found = []
    for parallel in (False, True):
        with mode():
            states = encoder(parallel=parallel).eval()(inputs, LENGTHS)
        assert not states.requires_grad
        found.append(states)
    assert found[0].equal(found[1])
    assert found[0].is_inference() == found[1].is_inference()


@pytest.mark.skipif(not has_half_precision_lstm(), reason="torch has no LSTM in bf16 for this processor")
def test_half_precision_reaches_both_directions() -> None:
    inputs = torch.randn(3, 5, 4)
    found = []
    for parallel in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            found.append(encoder(parallel=parallel).float().eval()(inputs, LENGTHS))
    assert found[0].dtype == found[1].dtype
    assert found[0].equal(found[1])


def test_an_error_in_the_other_thread_is_raised() -> None:
    class Fails(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            raise ZeroDivisionError("there")

    values = torch.ones(1, 1, 2)
    with pytest.raises(ZeroDivisionError, match="there"):
        run_directions(nn.Identity(), Fails(), values, values, parallel=True)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_a_second_thread_of_its_own() -> None:
    values = torch.ones(1, 1, 2)
    with torch.no_grad():
        run_directions(nn.Identity(), nn.Identity(), values, values, parallel=True)
        child = os.fork()
        if not child:
            os._exit(0 if run_directions(nn.Identity(), nn.Identity(), values, values, parallel=True) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_characters_are_read_in_parallel_with_the_same_result() -> None:
    found = []
    for parallel in (False, True):
        torch.manual_seed(3)
        chars = CharBiLSTM(
            chars="_?abcd", char_dim=5, hidden_dim=4, dropout=0.0, cell="stock", clip_gradient=None,
            forget_bias=1.0, learn_initial=False,
        )  # fmt: skip
        chars.parallel = parallel
        found.append(chars(torch.tensor([[2, 3, 4], [5, 2, 0], [3, 0, 0]]), torch.tensor([3, 2, 1])))
    assert found[0].equal(found[1])
