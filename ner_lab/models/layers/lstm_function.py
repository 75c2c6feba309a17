"""All steps of an LSTM as one autograd function, for cells without a fused kernel in torch.

Only the step-to-step recursion is in the loops; slopes and the gradients of the weights are computed for all steps at
once. Autograd through a plain loop gives the same in 1.4 to 2 times the time.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class LSTMSteps(torch.autograd.Function):
    """States of an LSTM from its gate inputs, with hand-written derivatives.

    Gates are in torch's order: input, forget, candidate, output. With three gates, the forget gate is missing and
    replaced by 1 - input.
    Peepholes lead from the memory before the step to the input and forget gates, and from the new one to the output
    gate: none, a vector (element by element) or a matrix (to, from).
    """

    @staticmethod
    def forward(
        ctx: Any,
        given: Tensor,
        recurrent: Tensor,
        state: Tensor,
        memory: Tensor,
        clip: float | None,
        input_peephole: Tensor | None,
        forget_peephole: Tensor | None,
        output_peephole: Tensor | None,
    ) -> Tensor:
        """given (time, batch, gates * dim), recurrent (gates * dim, dim), state and memory (batch, dim).

        -> states (time, batch, dim). clip: bound of the gradient that passes to `given` and to the previous state, at
        every step (Lasagne's `grad_clipping`; peepholes are excluded).
        """
        time, batch, _ = given.shape
        dim = state.shape[1]
        gates = torch.empty_like(given, memory_format=torch.contiguous_format)
        states, memories = (start.new_empty(time + 1, batch, dim) for start in (state, memory))
        states[0], memories[0] = state, memory
        squashed = torch.empty_like(states[1:])  # tanh of the memories
        # lists of steps: indexing a row of a tensor costs as much as a small product
        early = gates[..., : -2 * dim].unbind()  # input and forget gate, which see the previous memory
        enters, *forgets, news, leaves = (gate.unbind() for gate in gates.split(dim, dim=-1))
        state_at, memory_at = states.unbind(), memories.unbind()
        transposed = recurrent.t()
        for t, (given_now, gates_now, squashed_now) in enumerate(zip(given, gates, squashed, strict=True)):
            old, new = memory_at[t], memory_at[t + 1]
            torch.addmm(given_now, state_at[t], transposed, out=gates_now)
            _peep(enters[t], old, input_peephole)
            if forgets:
                _peep(forgets[0][t], old, forget_peephole)
            early[t].sigmoid_()
            news[t].tanh_()
            if forgets:
                torch.mul(forgets[0][t], old, out=new).addcmul_(enters[t], news[t])
            else:
                torch.lerp(old, news[t], enters[t], out=new)
            _peep(leaves[t], new, output_peephole)
            leaves[t].sigmoid_()
            torch.mul(leaves[t], torch.tanh(new, out=squashed_now), out=state_at[t + 1])
        ctx.save_for_backward(
            gates, states, memories, squashed, recurrent, input_peephole, forget_peephole, output_peephole
        )
        ctx.clip = clip
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """grad (time, batch, dim) of the states -> the gradients of the arguments of `forward`."""
        gates, states, memories, squashed, recurrent, *peepholes = ctx.saved_tensors
        input_peephole, forget_peephole, output_peephole = peepholes
        time, batch, _ = gates.shape
        by_gate = gates.view(time, batch, -1, states.shape[-1])
        enter, *forget, new, leave = by_gate.unbind(2)
        before = memories[:-1]
        keep = forget[0] if forget else 1 - enter
        # how each gate's sum changes the memory, and the state through the output gate and the memory
        slopes = torch.stack(
            [
                (new if forget else new - before) * enter * (1 - enter),
                *(before * gate * (1 - gate) for gate in forget),
                enter * (1 - new * new),
            ],
            dim=2,
        )
        leave_slopes = (squashed * leave * (1 - leave)).unbind()
        memory_slopes = (leave * (1 - squashed * squashed)).unbind()
        sums = torch.empty_like(by_gate)  # gradients of the gates' sums
        enters, *forgets, _, leaves = (part.unbind() for part in sums.unbind(2))
        flat = sums.flatten(2)
        passed = flat if ctx.clip is None else torch.empty_like(flat)
        inner, slope_at, keep_at, flat_at = (rows.unbind() for rows in (sums[:, :, :-1], slopes, keep, flat))
        grad_at, passed_at = grad.unbind(), passed.unbind()
        of_state, of_memory = grad[-1], torch.zeros_like(memories[0])
        for t in reversed(range(time)):
            torch.mul(of_state, leave_slopes[t], out=leaves[t])
            of_memory.addcmul_(of_state, memory_slopes[t])
            _peep_back(of_memory, leaves[t], output_peephole)
            torch.mul(of_memory[:, None], slope_at[t], out=inner[t])
            of_memory.mul_(keep_at[t])
            _peep_back(of_memory, enters[t], input_peephole)
            if forgets:
                _peep_back(of_memory, forgets[0][t], forget_peephole)
            if ctx.clip is not None:
                torch.clamp(flat_at[t], -ctx.clip, ctx.clip, out=passed_at[t])
            of_state = torch.addmm(grad_at[t - 1], passed_at[t], recurrent) if t else passed_at[t] @ recurrent
        return (
            passed,
            passed.flatten(0, 1).t() @ states[:-1].flatten(0, 1),
            of_state,
            of_memory,
            None,
            _peephole_gradient(sums[:, :, 0], before, input_peephole),
            _peephole_gradient(sums[:, :, 1], before, forget_peephole),
            _peephole_gradient(sums[:, :, -1], memories[1:], output_peephole),
        )


def _peep(gate: Tensor, memory: Tensor, peephole: Tensor | None) -> None:
    """Add a gate's peephole view of the memory (batch, dim) to its sum (batch, dim), in place."""
    if peephole is None:
        return
    if peephole.dim() == 1:
        gate.addcmul_(memory, peephole)
    else:
        gate.addmm_(memory, peephole.t())


def _peep_back(of_memory: Tensor, of_gate: Tensor, peephole: Tensor | None) -> None:
    """Add the gradient from a gate's peephole to the memory's gradient (batch, dim), in place."""
    if peephole is None:
        return
    if peephole.dim() == 1:
        of_memory.addcmul_(of_gate, peephole)
    else:
        of_memory.addmm_(of_gate, peephole)


def _peephole_gradient(of_gate: Tensor, memory: Tensor, peephole: Tensor | None) -> Tensor | None:
    """of_gate, memory (time, batch, dim) -> the gradient of a peephole, in its shape."""
    if peephole is None:
        return None
    if peephole.dim() == 1:
        return (of_gate * memory).sum((0, 1))
    return of_gate.flatten(0, 1).t() @ memory.flatten(0, 1)
