"""Which part of the tagger the time of training goes to, forward and backward, by torch's profiler."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from product import Parts, batches
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile

_MARK, _ALL = "part: ", "all steps"
_BACKWARD = "autograd::engine::evaluate_function: "


def shares(parts: Parts, steps: int) -> dict[str, float]:
    """Part -> its share of the time of so many steps, largest first."""
    parameters = list(itertools.chain.from_iterable(group["params"] for group in parts.optimizer.param_groups))
    feed = batches(parts, epoch=1)
    with _marked(parts), profile(activities=[ProfilerActivity.CPU]) as recorded, record_function(_ALL):
        for _ in range(steps):
            with record_function(f"{_MARK}batching"):
                batch = next(feed)
            losses = parts.module.tagger(batch)
            loss = parts.module.recipe.reduce(losses, batch.global_sentences, batch.global_tokens, 1)
            parts.optimizer.zero_grad()
            loss.backward()
            with record_function(f"{_MARK}optimizer"):
                parts.module.recipe.clip_gradients(parameters)
                parts.optimizer.step()
    times = _times(sorted(recorded.events(), key=lambda event: (event.time_range.start, -event.time_range.end)))
    whole = times.pop(_ALL)
    times["autograd, Python"] = whole - sum(times.values())
    return {part: time / whole for part, time in times.most_common()}


@contextmanager
def _marked(parts: Parts) -> Iterator[None]:
    """Each part's forward pass under its name; dropout counts as a part wherever it stands."""
    tagger = parts.module.tagger
    places: list[tuple[Any, str, str]] = [
        (tagger.embedder.words, "forward", "word vectors"),
        (tagger.embedder.chars, "forward", "char encoder"),
        (tagger.encoder, "forward", "LSTM"),
        (tagger.decoder, "loss", "CRF"),
    ]
    places += [(module, "forward", "dropout") for module in tagger.modules() if type(module).__name__ == "Dropout"]
    for module, method, name in places:
        setattr(module, method, _recorded(getattr(module, method), name))
    try:
        yield
    finally:
        for module, method, _ in places:
            delattr(module, method)  # the class's own again


def _recorded(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        with record_function(f"{_MARK}{name}"):
            return function(*arguments)

    return run


def _times(events: list[Any]) -> Counter[str]:
    """Part -> microseconds, for events in the order in which they began.

    Forward: within a part's mark and in no inner one. Backward: what the engine runs for a node, which
    has the number of the operation that made it.
    """
    (whole,) = (event for event in events if event.name == _ALL)
    times: Counter[str] = Counter({_ALL: whole.time_range.elapsed_us()})
    made_by: dict[int, str] = {}
    open_marks: list[Any] = []
    back_until = 0.0  # a node may itself go backward through others
    for event in events:
        if event.thread != whole.thread:
            continue
        while open_marks and open_marks[-1].time_range.end <= event.time_range.start:
            open_marks.pop()
        if event.name.startswith(_MARK):
            times[event.name.removeprefix(_MARK)] += event.time_range.elapsed_us()
            if open_marks:
                times[open_marks[-1].name.removeprefix(_MARK)] -= event.time_range.elapsed_us()
            open_marks.append(event)
        elif event.time_range.start < back_until:
            continue
        elif event.name.startswith(_BACKWARD):
            back_until = event.time_range.end
            times[made_by.get(event.sequence_nr, "autograd, Python")] += event.time_range.elapsed_us()
        elif open_marks and event.sequence_nr >= 0:
            made_by[event.sequence_nr] = open_marks[-1].name.removeprefix(_MARK)
    times.pop("autograd, Python", None)
    return times
