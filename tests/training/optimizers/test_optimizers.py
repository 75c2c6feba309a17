"""Optimizer recipes: rates over epochs, clipping, and a loss that does not depend on how a batch is parted."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ner_lab.errors import UserError
from ner_lab.training.optimizers.adam import Adam, AdamW, Nadam
from ner_lab.training.optimizers.base import LOSSES, OptimizerRecipe
from ner_lab.training.optimizers.sgd import SGD
from ner_lab.training.optimizers.sgd_fan_in import SGDFanIn

COMMON = {"lr": 0.1, "weight_decay": 0.0, "decay": 0.05, "clip": "norm", "clip_value": 5.0, "loss": "sentence_mean"}


def sgd(**options: Any) -> SGD:
    return SGD(**COMMON | {"momentum": 0.0, "nesterov": False} | options)


def adaptive(kind: Callable[..., OptimizerRecipe]) -> Callable[..., OptimizerRecipe]:
    def make(**options: Any) -> OptimizerRecipe:
        return kind(**COMMON | {"betas": [0.9, 0.999], "eps": 1e-8} | options)

    make.__name__ = kind.__name__
    return make


ADAPTIVE = [adaptive(kind) for kind in (Adam, AdamW, Nadam)]
ALL = [sgd, *ADAPTIVE]


def steps(recipe: OptimizerRecipe, *gradients: float) -> list[float]:
    """Where one number that starts at 1 stands after each step."""
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = recipe.optimizer(nn.ParameterList([parameter]))
    places = []
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
        places.append(parameter.item())
    return places


# rates


@pytest.mark.parametrize("make", ALL)
def test_the_rate_after_t_epochs_is_divided_by_one_plus_decay_t(make: Callable[..., OptimizerRecipe]) -> None:
    recipe = make(lr=0.015, decay=0.05)
    optimizer = recipe.optimizer(nn.ParameterList([nn.Parameter(torch.zeros(1))]))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate_factor)
    for epoch in range(50):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.015 / (1 + 0.05 * epoch), rel=1e-9)
        optimizer.step()
        schedule.step()


def test_without_decay_the_rate_stays() -> None:
    assert [sgd(decay=0.0).rate_factor(epoch) for epoch in (0, 1, 100)] == [1, 1, 1]


# steps


def test_sgd_goes_against_the_gradient_by_the_rate() -> None:
    assert steps(sgd(lr=0.1), 2.0, -1.0) == pytest.approx([0.8, 0.9])


def test_sgd_momentum_carries_the_last_step_on() -> None:
    # v1 = 2, v2 = 0.5 v1 + 1 = 2
    assert steps(sgd(lr=0.1, momentum=0.5), 2.0, 1.0) == pytest.approx([0.8, 0.6])
    # Nesterov: g + 0.5 v
    assert steps(sgd(lr=0.1, momentum=0.5, nesterov=True), 2.0, 1.0) == pytest.approx([0.7, 0.5])


def test_weight_decay_draws_to_zero_through_the_gradient_or_beside_it() -> None:
    adam, adamw, _ = ADAPTIVE
    assert steps(sgd(lr=0.1, weight_decay=0.5), 0.0) == pytest.approx([0.95])
    assert steps(adam(lr=0.1, weight_decay=0.5), 0.0) == pytest.approx([0.9], rel=1e-5)  # as any gradient
    assert steps(adamw(lr=0.1, weight_decay=0.5), 0.0) == pytest.approx([0.95])  # of the rate's share


@pytest.mark.parametrize("gradient", [1e-3, 1.0, 1e3])
def test_adams_first_step_is_the_rate_whatever_the_gradients_size(gradient: float) -> None:
    for make in ADAPTIVE[:2]:
        assert steps(make(lr=0.1), gradient) == pytest.approx([0.9], rel=1e-4)


def test_adam_follows_its_equations() -> None:
    first = second = 0.0
    place, expected = 1.0, []
    for step, gradient in enumerate([2.0, -1.0, 0.5], 1):
        first = 0.8 * first + 0.2 * gradient
        second = 0.95 * second + 0.05 * gradient**2
        place -= 0.1 * (first / (1 - 0.8**step)) / (math.sqrt(second / (1 - 0.95**step)) + 1e-3)
        expected.append(place)
    for make in ADAPTIVE[:2]:
        assert steps(make(lr=0.1, betas=[0.8, 0.95], eps=1e-3), 2.0, -1.0, 0.5) == pytest.approx(expected)


def test_nadam_equals_torchs_with_the_same_options() -> None:
    given = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.NAdam([parameter], **given)
    expected = []
    for gradient in (2.0, -1.0):
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
        expected.append(parameter.item())
    assert steps(ADAPTIVE[2](**given), 2.0, -1.0) == expected


# clipping


def parameters_with(*gradients: list[float]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    return parameters


def gradients_of(parameters: list[nn.Parameter]) -> list[list[float]]:
    return [parameter.grad.tolist() for parameter in parameters]


def test_clipping_by_norm_scales_all_gradients_together() -> None:
    parameters = parameters_with([6.0, 0.0], [-8.0])
    norm = sgd(clip="norm", clip_value=5.0).clip_gradients(parameters)
    assert norm == pytest.approx(10.0)
    assert gradients_of(parameters) == [pytest.approx([3.0, 0.0]), pytest.approx([-4.0])]


def test_gradients_below_the_norm_stay() -> None:
    parameters = parameters_with([3.0], [0.0, -4.0])
    assert sgd(clip="norm", clip_value=5.5).clip_gradients(parameters) == pytest.approx(5.0)
    assert gradients_of(parameters) == [[3.0], [0.0, -4.0]]


def test_clipping_by_value_cuts_each_number() -> None:
    parameters = parameters_with([6.0, 0.5], [-8.0])
    assert sgd(clip="value", clip_value=5.0).clip_gradients(parameters) is None
    assert gradients_of(parameters) == [[5.0, 0.5], [-5.0]]


def test_without_clipping_gradients_stay() -> None:
    parameters = parameters_with([6e9])
    assert sgd(clip="none", clip_value=0.0).clip_gradients(parameters) is None
    assert gradients_of(parameters) == [[6e9]]


# the loss of a batch

LENGTHS = [4, 1, 3, 7, 2]


def expected_loss(kind: str, losses: Tensor) -> Tensor:
    return losses.sum() / {"sum": 1, "sentence_mean": len(LENGTHS), "token_mean": sum(LENGTHS)}[kind]


@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_of_a_whole_batch_is_what_its_name_says(kind: str) -> None:
    losses = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    found = sgd(loss=kind).reduce(losses, len(LENGTHS), sum(LENGTHS), world=1)
    torch.testing.assert_close(found, expected_loss(kind, losses))


@given(owners=st.lists(st.integers(0, 2), min_size=5, max_size=5))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("kind", LOSSES)
def test_parts_of_a_batch_average_to_the_loss_and_gradient_of_the_whole(
    kind: str, world: int, owners: list[int]
) -> None:
    recipe = sgd(loss=kind)
    weight = torch.tensor([0.3, -1.2], requires_grad=True)
    inputs = torch.arange(10.0).view(5, 2)

    def losses(rows: Tensor) -> Tensor:
        return (rows @ weight).square()

    whole = expected_loss(kind, losses(inputs))
    parts = [inputs[[owner % world == rank for owner in owners]] for rank in range(world)]  # some may be empty
    reduced = [recipe.reduce(losses(part), len(LENGTHS), sum(LENGTHS), world) for part in parts]
    torch.testing.assert_close(torch.stack(reduced).mean(), whole)
    gradients = [torch.autograd.grad(part, weight)[0] for part in reduced]
    torch.testing.assert_close(torch.stack(gradients).mean(dim=0), torch.autograd.grad(whole, weight)[0])


# mistakes


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("clip", "global", r"optimizer\.clip must be one of none, norm, value"),
        ("loss", "mean", r"optimizer\.loss must be one of sentence_mean, token_mean, sum"),
        ("lr", 0.0, r"optimizer\.lr must be above 0"),
        ("lr", -0.1, r"optimizer\.lr must be above 0; got -0\.1"),
        ("decay", -0.05, r"optimizer\.decay must be at least 0"),
        ("clip_value", 0.0, r"optimizer\.clip_value must be above 0"),
        ("weight_decay", -1.0, r"optimizer: Invalid weight_decay value: -1\.0"),
    ],
)
def test_mistaken_options_are_refused(
    make: Callable[..., OptimizerRecipe], option: str, value: object, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make(**{option: value})


def test_mistaken_options_of_one_kind_are_refused() -> None:
    with pytest.raises(UserError, match=r"optimizer: Nesterov momentum requires a momentum"):
        sgd(nesterov=True)
    with pytest.raises(UserError, match=r"optimizer: Invalid momentum value: -0\.9"):
        sgd(momentum=-0.9)
    for make in ADAPTIVE:
        with pytest.raises(UserError, match=r"optimizer: Invalid beta parameter at index 1: 1\.5"):
            make(betas=[0.9, 1.5])
        with pytest.raises(UserError, match=r"optimizer: Invalid epsilon value: -1"):
            make(eps=-1.0)


@pytest.mark.parametrize("make", ALL)
def test_a_model_without_anything_to_train_is_refused(make: Callable[..., OptimizerRecipe]) -> None:
    frozen = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(UserError, match="nothing in this tagger can be trained"):
        make().optimizer(frozen)


# gradients that are lists of rows


@pytest.mark.parametrize("clip", ["none", "norm", "value"])
@pytest.mark.parametrize("make", ALL)
def test_gradients_by_rows_and_whole_ones_move_a_table_alike(make: Callable[..., OptimizerRecipe], clip: str) -> None:
    recipe = make(clip=clip, clip_value=0.5)
    torch.manual_seed(1)
    tables = [nn.Embedding(9, 3, sparse=sparse) for sparse in (True, False)]
    tables[1].load_state_dict(tables[0].state_dict())
    optimizers = [recipe.optimizer(table) for table in tables]
    for rows in ([1, 1, 4], [0, 4], [8]):
        norms = []
        for table, optimizer in zip(tables, optimizers, strict=True):
            optimizer.zero_grad()
            (table(torch.tensor(rows)) ** 2).sum().backward()
            norms.append(recipe.clip_gradients(list(table.parameters())))
            optimizer.step()
        torch.testing.assert_close(*norms)
    torch.testing.assert_close(tables[0].weight, tables[1].weight)


def test_sgd_alone_keeps_gradients_by_rows() -> None:
    assert sgd().takes_sparse
    assert sgd(momentum=0.9).takes_sparse
    assert not any(make().takes_sparse for make in ADAPTIVE)


# the rate over the fan-in


def test_each_layer_moves_at_the_rate_over_its_number_of_inputs() -> None:
    recipe = SGDFanIn(**COMMON | {"momentum": 0.0, "nesterov": False})
    model = nn.ModuleDict({"table": nn.Embedding(7, 4), "linear": nn.Linear(10, 3), "cell": nn.LSTM(5, 2)})
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = recipe.optimizer(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    inputs = {"table.weight": 1, "linear.weight": 10, "linear.bias": 10}
    inputs |= {"cell.weight_ih_l0": 5, "cell.bias_ih_l0": 5, "cell.weight_hh_l0": 2, "cell.bias_hh_l0": 2}
    assert set(inputs) == set(before)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(before[name] - parameter, torch.full_like(parameter, 0.1 / inputs[name]))


def test_a_schedule_scales_all_rates_alike() -> None:
    recipe = SGDFanIn(**COMMON | {"momentum": 0.0, "nesterov": False})
    optimizer = recipe.optimizer(nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 2)))
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5)
    assert sorted(group["lr"] for group in optimizer.param_groups) == pytest.approx([0.1 / 4 / 2, 0.1 / 2])


def test_rates_over_the_fan_in_need_something_to_train() -> None:
    with pytest.raises(UserError, match="nothing in this tagger can be trained"):
        SGDFanIn(**COMMON | {"momentum": 0.0, "nesterov": False}).optimizer(nn.Linear(2, 2).requires_grad_(False))


def test_frozen_parameters_are_in_no_group() -> None:
    recipe = SGDFanIn(**COMMON | {"momentum": 0.0, "nesterov": False})
    model = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    groups = recipe.optimizer(model).param_groups
    assert [parameter for group in groups for parameter in group["params"]] == list(model[1].parameters())
