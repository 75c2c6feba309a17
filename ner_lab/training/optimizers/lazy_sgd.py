"""SGD that moves the rows of a look-up table when they are read, and not all of them at every step."""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.optim import SGD

from ner_lab.models.layers.sparse_gradients import RowReader

_OPTIMIZER_OF: "WeakKeyDictionary[nn.Module, LazySGD]" = WeakKeyDictionary()
"""The optimizer that a layer tells what it reads: the latest one that moves it."""


class LazySGD(SGD):
    """`torch.optim.SGD`, where a step costs nothing for rows that no gradient reached.

    With momentum or weight decay such rows move all the same, in a way that is known beforehand: a
    row w with velocity v becomes M (w, v) at each step, M a matrix of four numbers. So a row is
    left behind, and brought forward by a power of M before it is next read: what a model sees, and
    what is saved, is what plain SGD gives, up to rounding.

    model: its layers that read rows (`RowReader`) tell this optimizer before they do. All rows of
        their tables are brought forward before the model is read in evaluation mode, before its
        state is taken, and before a rate changes. Only gradients that are lists of rows are
        treated so; others, and tables of other layers, take the usual way.
    """

    def __init__(self, model: nn.Module, groups: Iterable[Any], **settings: Any) -> None:
        super().__init__(groups, **settings)
        self._rows: dict[nn.Parameter, _Rows] = {}
        self._moved = {parameter for group in self.param_groups for parameter in group["params"]}
        for layer in model.modules():
            if isinstance(layer, RowReader) and isinstance(layer, nn.Module):
                if (before := _OPTIMIZER_OF.get(layer)) is None:
                    layer.register_forward_pre_hook(_before_reading)
                    layer.register_state_dict_pre_hook(_before_saving)
                else:
                    before._before_saving(layer)
                _OPTIMIZER_OF[layer] = self

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient; rows without one wait."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        kept: list[tuple[nn.Parameter, Tensor]] = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if (rows := self._rows.get(parameter)) is not None:
                    rows.follow(group)
                if parameter.grad is None or not parameter.grad.is_sparse:
                    continue
                if rows is None:  # its layer does not tell which rows it reads
                    parameter.grad = parameter.grad.to_dense()
                    continue
                gradient = parameter.grad.coalesce()
                rows.move(gradient.indices()[0], gradient.values())
                kept.append((parameter, gradient))
                parameter.grad = None
        super().step()
        for parameter, gradient in kept:
            parameter.grad = gradient
        return loss

    def state_dict(self) -> dict[str, Any]:
        """As torch's, with all rows brought forward; a table's velocity is its `momentum_buffer`."""
        for parameter, rows in self._rows.items():
            rows.bring_all()
            if rows.moved:  # not with the dense gradients of several processes: those are torch's
                self.state[parameter]["momentum_buffer"] = rows.velocity
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._rows.clear()

    def _rows_of(self, table: nn.Parameter) -> "_Rows":
        group = next(group for group in self.param_groups if any(table is known for known in group["params"]))
        return _Rows(table, group, self.state[table].get("momentum_buffer"))

    def _before_reading(self, layer: Any, inputs: tuple[Any, ...]) -> None:
        table, read = layer.embedding_rows(*inputs)
        if table not in self._moved or not table.is_cpu:
            return
        if table not in self._rows:
            if not (layer.training and torch.is_grad_enabled()):
                return
            self._rows[table] = self._rows_of(table)
        rows = self._rows[table]
        if layer.training:
            rows.bring(read.reshape(-1))
        else:
            rows.bring_all()

    def _before_saving(self, layer: nn.Module) -> None:
        for parameter in layer.parameters(recurse=False):
            if parameter in self._rows:
                self._rows[parameter].bring_all()


def _before_reading(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    if (optimizer := _OPTIMIZER_OF.get(layer)) is not None:
        optimizer._before_reading(layer, inputs)


def _before_saving(layer: nn.Module, *_: Any) -> None:
    if (optimizer := _OPTIMIZER_OF.get(layer)) is not None:
        optimizer._before_saving(layer)


class _Rows:
    """A table (rows, dim), its rows' velocities, and how many steps each row is behind."""

    def __init__(self, table: nn.Parameter, group: dict[str, Any], velocity: Tensor | None) -> None:
        self.table = table
        self.velocity = torch.zeros_like(table) if velocity is None else velocity
        self.moved = False
        self.steps = 0
        self.reached = torch.zeros(len(table), dtype=torch.long)
        self.settings: tuple[Any, ...] | None = None
        self.follow(group)

    def follow(self, group: dict[str, Any]) -> None:
        """Take the settings of the coming steps; if they are others, all rows are brought forward by the old."""
        settings = tuple(group[name] for name in ("lr", "momentum", "weight_decay", "nesterov"))
        if settings == self.settings:
            return
        if self.settings is not None:
            self.bring_all()
        self.settings = settings
        rate, momentum, decay, nesterov = settings
        step = [[1 - rate * decay, -rate * momentum], [decay, momentum]]  # (w, v) -> (w, v), without a gradient
        if nesterov:
            step[0] = [1 - rate * decay * (1 + momentum), -rate * momentum**2]
        self.powers = torch.stack([torch.eye(2, dtype=torch.double), torch.tensor(step, dtype=torch.double)])
        self.still = not momentum and not decay  # without a gradient nothing moves

    @torch.no_grad()
    def bring(self, rows: Tensor) -> None:
        """Bring rows (n,) forward to the present step; one may stand there twice."""
        if self.still or not self.steps:
            return
        power = self._power(self.steps - self.reached[rows])
        table, velocity = self.table[rows], self.velocity[rows]
        # a row that is listed twice is written twice, with the same numbers
        self.table.index_copy_(0, rows, power[0] * table + power[1] * velocity)
        self.velocity.index_copy_(0, rows, power[2] * table + power[3] * velocity)
        self.reached.index_fill_(0, rows, self.steps)

    @torch.no_grad()
    def bring_all(self) -> None:
        """Bring every row forward to the present step, and count from there."""
        if not self.still and self.steps:
            power = self._power(self.steps - self.reached)
            table = self.table.clone()
            self.table.mul_(power[0]).addcmul_(power[1], self.velocity)
            self.velocity.mul_(power[3]).addcmul_(power[2], table)
        self.steps = 0
        self.reached.zero_()

    def move(self, rows: Tensor, gradient: Tensor) -> None:
        """One step: rows (n,), each once and at the present step, with their gradients (n, dim)."""
        assert self.settings is not None
        rate, momentum, decay, nesterov = self.settings
        self.moved = True
        self.steps += 1
        if self.still:
            self.table.index_add_(0, rows, gradient, alpha=-rate)
            return
        table = self.table[rows]
        slope = gradient.add(table, alpha=decay) if decay else gradient
        velocity = self.velocity[rows].mul_(momentum).add_(slope)
        self.velocity.index_copy_(0, rows, velocity)
        downhill = slope.add(velocity, alpha=momentum) if nesterov else velocity
        self.table.index_copy_(0, rows, table.sub_(downhill, alpha=rate))
        self.reached.index_fill_(0, rows, self.steps)

    def _power(self, steps: Tensor) -> tuple[Tensor, ...]:
        """steps (n,) -> the four numbers of M to that power, row by row, each (n, 1)."""
        while len(self.powers) <= self.steps:
            self.powers = torch.cat([self.powers, self.powers @ self.powers[-1] @ self.powers[1]])
        chosen = self.powers.flatten(1)[steps].to(self.table.dtype)
        return chosen[:, :, None].unbind(1)
