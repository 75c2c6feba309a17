"""The two directions of a layer, on the CPU each on its own core if there are two.

A step of one direction depends on the step before it, and its matrix product is too small to distribute over cores; the
directions are independent.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


@runtime_checkable
class Bidirectional(Protocol):
    """A part with layers in both directions."""

    parallel: bool
    """Whether the directions run in parallel on the CPU."""


def run_directions(
    forward: nn.Module, backward: nn.Module, inputs: Tensor, reversed_inputs: Tensor, *, parallel: bool
) -> tuple[Tensor, Tensor]:
    """Two layers, each on its own input, (batch, time, dim) -> (batch, time, hidden_dim).

    parallel: run them in two threads, if on the CPU; numbers and gradients are the same.
    """
    if not (parallel and inputs.is_cpu):
        return forward(inputs), backward(reversed_inputs)
    if not torch.is_grad_enabled():
        other = _submit(backward, reversed_inputs)
        return forward(inputs), other.result()
    trained = [[weight for weight in layer.parameters() if weight.requires_grad] for layer in (forward, backward)]
    states = _Parallel.apply((forward, backward), trained, inputs, reversed_inputs, *trained[0], *trained[1])
    return states[0], states[1]


class _Parallel(torch.autograd.Function):
    """Runs the forward and backward pass of each direction in its own thread."""

    @staticmethod
    def forward(
        ctx: Any, layers: tuple[nn.Module, ...], trained: list[list[Tensor]], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """tensors: both inputs (batch, time, dim), then the weights of both -> states (batch, time, hidden_dim)."""
        with torch.enable_grad():
            inputs = [
                tensor.detach().requires_grad_(needed)
                for tensor, needed in zip(tensors, ctx.needs_input_grad[2:4], strict=False)
            ]
            other = _submit(layers[1], inputs[1])
            states = [layers[0](inputs[0]), other.result()]
        ctx.directions = list(zip(states, inputs, trained, strict=True))
        return states[0].detach(), states[1].detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """gradients of both states, in their shapes -> those of the tensors of `forward`."""
        forward, backward = ctx.directions
        del ctx.directions
        other = _submit(_gradients, backward, gradients[1])
        of_forward, of_backward = _gradients(forward, gradients[0]), other.result()
        return None, None, of_forward[0], of_backward[0], *of_forward[1:], *of_backward[1:]


def _gradients(direction: tuple[Tensor, Tensor, list[Tensor]], gradient: Tensor) -> list[Tensor | None]:
    """Gradients of the inputs (None if not needed), then of the weights, from the gradient of the states."""
    states, inputs, weights = direction
    wanted = [inputs, *weights] if inputs.requires_grad else weights
    gradients: list[Tensor | None] = list(torch.autograd.grad(states, wanted, gradient)) if wanted else []
    return gradients if inputs.requires_grad else [None, *gradients]


def _submit(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Start `work` in the other thread, with this thread's modes of torch and number of cores."""
    threads = torch.get_num_threads()
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    autocast, kind = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def run() -> Any:
        if torch.get_num_threads() != threads:  # a thread keeps its initial number
            torch.set_num_threads(threads)
        with (
            torch.inference_mode(inference),
            torch.set_grad_enabled(gradients),
            torch.autocast("cpu", kind, enabled=autocast),
        ):
            return work(*arguments)

    return _other_thread().submit(run)


@cache
def _other_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="other direction")


os.register_at_fork(after_in_child=_other_thread.cache_clear)  # a forked child has no threads
