"""All steps of many LSTMs side by side as one autograd function: directions and members at once.

The equations are those of `ner_lab.recurrence.lstm_steps` for the stock cell, with a batch of matrix products
where there is one product.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class StackedLSTMSteps(torch.autograd.Function):
    """States of LSTMs from what their gates are given. Gates: input, forget, candidate, output, as in torch."""

    @staticmethod
    def forward(
        ctx: Any, given: Tensor, recurrent: Tensor, state: Tensor, memory: Tensor, clip: float | None
    ) -> Tensor:
        """given (time, cells, batch, 4 dim), recurrent (cells, 4 dim, dim), state and memory (cells, batch, dim).

        -> states (time, cells, batch, dim). clip: bound of the gradient that passes to `given` and to the state
        before, at every step, or None.
        """
        time, cells, batch, _ = given.shape
        dim = state.shape[2]
        gates = torch.empty_like(given, memory_format=torch.contiguous_format)
        states, memories = (start.new_empty(time + 1, cells, batch, dim) for start in (state, memory))
        states[0], memories[0] = state, memory
        squashed = torch.empty_like(states[1:])  # tanh of the memories
        transposed = recurrent.transpose(1, 2)
        early = gates[..., : 2 * dim].unbind()
        enters, forgets, news, leaves = (gate.unbind() for gate in gates.split(dim, dim=-1))
        state_at, memory_at = states.unbind(), memories.unbind()
        for t, (given_now, gates_now, squashed_now) in enumerate(zip(given, gates, squashed, strict=True)):
            torch.baddbmm(given_now, state_at[t], transposed, out=gates_now)
            early[t].sigmoid_()
            news[t].tanh_()
            leaves[t].sigmoid_()
            torch.mul(forgets[t], memory_at[t], out=memory_at[t + 1]).addcmul_(enters[t], news[t])
            torch.mul(leaves[t], torch.tanh(memory_at[t + 1], out=squashed_now), out=state_at[t + 1])
        ctx.save_for_backward(gates, states, memories, squashed, recurrent)
        ctx.clip = clip
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """grad (time, cells, batch, dim) of the states -> the gradients of the arguments of `forward`."""
        gates, states, memories, squashed, recurrent = ctx.saved_tensors
        time, cells, batch, _ = gates.shape
        dim = states.shape[-1]
        enter, keep, new, leave = gates.view(time, cells, batch, 4, dim).unbind(3)
        # how far each gate's sum moves the memory, and the state by way of the output gate and of the memory
        slopes = torch.stack(
            [new * enter * (1 - enter), memories[:-1] * keep * (1 - keep), enter * (1 - new * new)], dim=3
        ).unbind()
        leave_slopes = (squashed * leave * (1 - leave)).unbind()
        memory_slopes = (leave * (1 - squashed * squashed)).unbind()
        sums = torch.empty_like(gates)  # gradients of the gates' sums
        by_gate = sums.view(time, cells, batch, 4, dim)
        inner, leaves, sums_at = by_gate[..., :3, :].unbind(), by_gate[..., 3, :].unbind(), sums.unbind()
        keep_at, grad_at = keep.unbind(), grad.unbind()
        of_state, of_memory = grad_at[-1], torch.zeros_like(memories[0])
        for t in reversed(range(time)):
            torch.mul(of_state, leave_slopes[t], out=leaves[t])
            of_memory.addcmul_(of_state, memory_slopes[t])
            torch.mul(of_memory[:, :, None], slopes[t], out=inner[t])
            of_memory.mul_(keep_at[t])
            if ctx.clip is not None:
                sums_at[t].clamp_(-ctx.clip, ctx.clip)
            of_state = torch.baddbmm(grad_at[t - 1], sums_at[t], recurrent) if t else torch.bmm(sums_at[t], recurrent)
        per_cell = sums.transpose(0, 1).flatten(1, 2)  # (cells, time * batch, 4 dim)
        before = states[:-1].transpose(0, 1).flatten(1, 2)
        return sums, torch.bmm(per_cell.transpose(1, 2), before), of_state, of_memory, None
