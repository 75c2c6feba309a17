"""Training on the CPU: the product against flair, what its framework costs, where the time goes, the machine's floor.

Sizes of Ma & Hovy (2016): char-CNN of 30 filters, words of 100, BiLSTM of 200 a direction, CRF, dropout .5, SGD.

    python benchmarks/train.py --data FOLDER      on CoNLL-2003; without it on the built-in corpus
"""

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import measure

GOALS = {(10, 2): 12_000, (32, 2): 18_000}
FLAIR_GOALS = {10: 8, 32: 10}
FRAMEWORK_GOAL = 0.1
_COUNTED = 3  # epochs of each go of product and bare loop, after one to warm up


class Plan(NamedTuple):
    """What is measured, and how long everything takes."""

    threads: tuple[int, ...] = (1, 2)
    batches: tuple[int, ...] = (10, 32)
    rounds: int = 3
    epochs: int = 2
    epoch_tokens: int = 80_000
    peer_seconds: float = 4.0
    framework_rounds: int = 3
    floor_seconds: float = 1.5


QUICK = Plan((1,), (10,), rounds=1, epochs=2, epoch_tokens=300, framework_rounds=1, floor_seconds=0.05)


def worker(what: str, threads: int, options: Namespace) -> measure.Worker:
    """This script in another process, with its own number of threads."""
    arguments = [__file__, "--worker", what, "--threads", str(threads), *(["--quick"] if options.quick else [])]
    for name in ("data", "vectors"):
        if (place := getattr(options, name)) is not None:
            arguments += [f"--{name}", str(place)]
    return measure.Worker(arguments)


def overrides_of(options: Namespace, batch: int, threads: int, plan: Plan) -> list[str]:
    from product import MA_HOVY, source

    sentences = plan.epoch_tokens // 14  # both corpora have 13 to 15 tokens a sentence
    epochs = plan.epochs if options.data else 3 * plan.epochs - 2  # the built-in corpus is a third as long
    return [
        *MA_HOVY,
        *source(options.data, options.vectors),
        f"data.batch_size={batch}",
        f"threads={threads}",
        "logger=csv",
        f"trainer.max_epochs={epochs}",
        f"trainer.limit_train_batches={max(1, sentences // batch)}",
    ]


def product_rate(options: Namespace, batch: int, threads: int, plan: Plan) -> float:
    """`ner-lab train`: tokens per second of its metrics.json, median of the epochs after the first."""
    from product import train_rates

    with tempfile.TemporaryDirectory() as folder:
        return measure.median(train_rates(overrides_of(options, batch, threads, plan), Path(folder) / "run")[1:])


def serve_flair(options: Namespace, plan: Plan) -> None:
    import torch
    from flair_model import FlairTraining, sentences
    from product import source, training_sentences

    torch.set_num_threads(options.threads)
    training = FlairTraining(sentences(training_sentences(source(options.data, None))))
    for batch in plan.batches:
        training.run(batch, plan.peer_seconds / 6)  # warm-up
    measure.serve(lambda question: training.run(question["batch"], plan.peer_seconds))


def serve_inside(options: Namespace, plan: Plan) -> None:
    """What is measured within one process: bare loop, framework, profile, floor."""
    measure.serve(lambda question: inside_answer(options, plan, **question))


def inside_answer(options: Namespace, plan: Plan, what: str, batch: int) -> dict[str, Any]:
    if what == "floor":
        return floor(batch, options.threads, plan)
    return {"framework": framework, "profile": profile}[what](options, batch, plan)


def framework(options: Namespace, batch: int, plan: Plan) -> dict[str, list[float]]:
    """Tokens per second of the product's `train` and of the bare loop over the same batches, in turn.

    On the built-in corpus: what the framework takes is a matter of steps, and its dev and test are soon scored.
    """
    from product import build, config, loop

    from ner_lab.training.train import train

    nothing = Namespace(data=None, vectors=None)
    cfg = config([*overrides_of(nothing, batch, options.threads, plan), f"trainer.max_epochs={1 + _COUNTED}"])
    parts = build(cfg)
    limit = cfg.trainer.limit_train_batches

    def product() -> float:
        with tempfile.TemporaryDirectory() as folder:
            history = train(cfg.copy(), Path(folder) / "run")["history"]
        return measure.median([epoch["tokens_per_second"] for epoch in history[1:]])

    def bare() -> float:
        epochs = [loop(parts, epoch=1 + number, limit=limit) for number in range(_COUNTED)]
        return measure.median([tokens / seconds for _, tokens, seconds in epochs])

    steps, tokens, _ = loop(parts, epoch=0, limit=limit)
    rates = measure.alternate({"product": product, "bare loop": bare}, plan.framework_rounds)
    return {**rates, "tokens_a_step": [tokens / steps]}


def profile(options: Namespace, batch: int, plan: Plan) -> dict[str, float]:
    """Share of each part in the bare loop's time: forward and backward together."""
    from product import build, config, loop
    from profile_parts import shares

    parts = build(config(overrides_of(options, batch, options.threads, plan)))
    loop(parts, epoch=0, limit=30)
    return shares(parts, steps=max(2, plan.epoch_tokens // (14 * batch) // 6))


def floor(batch: int, threads: int, plan: Plan) -> dict[str, float]:
    """Rates of a large matrix product, and of nothing but a BiLSTM over sentences of one length."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    length, inputs, hidden = 15, 130, 200
    one, other = torch.randn(2, 2048, 2048)
    sentences = torch.randn(batch, length, inputs, requires_grad=True)

    def recur(lstm: nn.Module) -> float:
        lstm(sentences)[0].sum().backward()
        return batch * length

    def lstm_rate(both_ways: bool) -> float:
        lstm = nn.LSTM(inputs, hidden, bidirectional=both_ways, batch_first=True)
        return _rate(lambda: recur(lstm), plan.floor_seconds)

    found = {
        "gemm_flops": _rate(lambda: (one @ other, 2 * 2048**3)[1], plan.floor_seconds),
        "lstm_tokens": lstm_rate(True),
    }
    if threads > 1:  # one direction on each of two cores, as if nothing were lost
        torch.set_num_threads(threads // 2)
        found["lstm_tokens"] = max(found["lstm_tokens"], lstm_rate(False))
    return found


def _rate(work: Callable[[], float], seconds: float) -> float:
    """Work a second, the better half of several goes: a floor is what the machine can, not what it does when busy."""
    rates = []
    for go in range(6):
        done, begun = 0.0, time.perf_counter()
        while (passed := time.perf_counter() - begun) < seconds / 3 or not done:
            done += work()
        if go:
            rates.append(done / passed)
    return sorted(rates)[-2]


FLOP_A_TOKEN = 3 * 2 * (2 * 4 * 200 * (130 + 200) + 400 * 17 + 4.4 * 3 * 30 * 30)
"""Forward and twice that backward: the LSTM's gates both ways, the scores of 17 tags, the letters' filters."""


def _threads(number: int) -> str:
    return f"{number} thread{'s' * (number > 1)}"


def against_flair(options: Namespace, plan: Plan) -> dict[str, Any]:
    rates: dict[str, Any] = {}
    for threads in plan.threads:
        peer = None if options.quick else worker("flair", threads, options)
        for batch in plan.batches:
            jobs = {"ner_lab": lambda b=batch, t=threads: product_rate(options, b, t, plan)}
            if peer is not None:
                jobs["flair"] = lambda b=batch, p=peer: p.ask(batch=b)
            rates[f"batch {batch}, {_threads(threads)}"] = measure.alternate(jobs, plan.rounds)
        if peer is not None:
            peer.close()
    rows = []
    for batch in plan.batches:
        for threads in plan.threads:
            measured = rates[f"batch {batch}, {_threads(threads)}"]
            ours, theirs = measured["ner_lab"], measured.get("flair")
            row = [batch, threads, measure.median(ours), measure.spread(ours)]
            row += [measure.median(theirs), measure.spread(theirs)] if theirs else [None, None]
            rows.append([*row, f"{measure.ratio(ours, theirs):.1f}x" if theirs else None, GOALS.get((batch, threads))])
    header = ["batch", "threads", "ner_lab tokens/s", "range", "flair tokens/s", "range", "ratio", "goal tokens/s"]
    measure.show("Training through `ner-lab train`, against flair", header, rows)
    for (batch, threads), tokens in GOALS.items():
        if (measured := rates.get(f"batch {batch}, {_threads(threads)}")) and "flair" in measured:
            rate, times = measure.median(measured["ner_lab"]), measure.ratio(measured["ner_lab"], measured["flair"])
            what = f"training, batch {batch}, {_threads(threads)}"
            measure.goal(what, f"{tokens:,} tokens/s", f"{rate:,.0f}", rate >= tokens)
            measure.goal(
                f"{what}, against flair", f"{FLAIR_GOALS[batch]}x", f"{times:.1f}x", times >= FLAIR_GOALS[batch]
            )
    measure.note(
        f"ner_lab: `ner-lab train` in a process of its own, with Lightning, its callbacks, CSV logging and metrics: "
        f"`tokens_per_second` of metrics.json, median of the epochs after the first, median of {plan.rounds} runs. "
        "It counts from the first batch of an epoch to the last, batching, logging and clipping included; "
        "scoring dev after it and starting up are not in it."
    )
    if options.quick:
        measure.note("flair: not run.")
    else:
        measure.note(
            "flair: the loop of its ModelTrainer without evaluation and logging, in turn with ours, same sentences; "
            "its letters go through a BiLSTM of 25 a direction, for it has no character CNN."
        )
    corpus = "CoNLL-2003, train" if options.data else "the built-in corpus (words seldom repeat less than in news)"
    measure.note(f"Text: {corpus}; word vectors: {'GloVe' if options.vectors else 'random'}.")
    return rates


def inside(options: Namespace, plan: Plan) -> dict[str, Any]:
    """Framework, profile and floor, with one thread and with two."""
    found: dict[str, Any] = {"framework": {}, "profile": {}, "floor": {}}
    for threads in plan.threads:
        inner = worker("inside", threads, options)
        for batch in plan.batches:
            name = f"batch {batch}, {_threads(threads)}"
            for what in found:
                if what != "framework" or batch == plan.batches[0]:  # its steps are the shortest
                    found[what][name] = inner.ask(what=what, batch=batch)
        inner.close()
    for name, rates in found["framework"].items():
        cost = max(0.0, framework_cost(rates))
        shares = found["profile"][name]
        found["profile"][name] = {part: share * (1 - cost) for part, share in shares.items()} | {"framework": cost}
    return found


def framework_cost(rates: dict[str, list[float]]) -> float:
    """What share of the product's time is none of the bare loop's."""
    return 1 - measure.ratio(rates["product"], rates["bare loop"])


def show_framework(rates: dict[str, Any]) -> None:
    rows, costs = [], {}
    for name, found in rates.items():
        product, bare = found["product"], found["bare loop"]
        costs[name] = cost = framework_cost(found)
        (tokens,) = found["tokens_a_step"]
        extra = 1e6 * tokens * (1 / measure.median(product) - 1 / measure.median(bare))
        rows.append([name, measure.median(product), measure.median(bare), f"{100 * cost:.1f} %", extra])
    header = ["", "product tokens/s", "bare loop tokens/s", "framework's share", "us a step"]
    measure.show("What Lightning, callbacks, logging and metrics cost beyond a bare loop", header, rows)
    for name, cost in costs.items():
        measure.goal(f"framework, {name}", f"under {FRAMEWORK_GOAL:.0%}", f"{cost:.1%}", cost < FRAMEWORK_GOAL)
    measure.note(
        "One process trains the same batches of the built-in corpus in turn: by the product's `train` (epochs after "
        "the first), and by a bare loop of batching, loss, backward, clipping and step. The share is the median over "
        "the rounds; the goal is under 10 %. At larger batches there are fewer steps, and the share is smaller."
    )


def show_profile(found: dict[str, dict[str, float]]) -> None:
    names = list(dict.fromkeys(part for shares in found.values() for part in shares))
    rows = [
        [name, *(f"{100 * shares[part]:.0f} %" if part in shares else "-" for part in names)]
        for name, shares in found.items()
    ]
    measure.show("Where the time of a training step goes", ["", *names], rows)
    for name, shares in found.items():
        first, second, third = sorted(shares, key=lambda part: -shares[part])[:3]
        measure.note(
            f"What binds at {name}: {first} with {shares[first]:.0%}, then {second} with {shares[second]:.0%} and "
            f"{third} with {shares[third]:.0%}."
        )
    measure.note(
        "Shares of the bare loop by torch's profiler, forward and backward together; the profiler itself makes small "
        "operations look larger than they are. Framework: from the table above, where measured."
    )


def show_floor(found: dict[str, dict[str, float]], rates: dict[str, Any]) -> None:
    rows = []
    for name, measured in found.items():
        gemm = measured["gemm_flops"] / FLOP_A_TOKEN
        ours = measure.median(rates[name]["ner_lab"])
        lstm = measured["lstm_tokens"]
        shares = [f"{100 * ours / limit:.0f} %" for limit in (gemm, lstm)]
        rows.append([name, measured["gemm_flops"] / 1e9, gemm, lstm, ours, *shares])
    header = ["", "GEMM GFLOP/s", "= tokens/s", "bare BiLSTM tokens/s", "ner_lab tokens/s", "of GEMM", "of BiLSTM"]
    measure.show("The distance to the floor", header, rows)
    measure.note(
        f"GEMM: fp32 matrices of 2048 x 2048; the model takes {FLOP_A_TOKEN / 1e6:.2f} MFLOP a token, forward and "
        "backward. BiLSTM: torch's nn.LSTM 130 -> 2 x 200 alone, forward and backward, on sentences of 15 tokens; no "
        "padding, embedding, CRF, dropout or optimizer; with two threads one direction alone, for each core has one."
    )


def main() -> None:
    parser = measure.parser(__doc__.splitlines()[0])
    parser.add_argument("--worker", choices=["flair", "inside"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", choices=["flair", "inside"], help="one half of the measurements; saves nothing")
    options = parser.parse_args()
    plan = QUICK if options.quick else Plan()
    if options.worker is not None:
        {"flair": serve_flair, "inside": serve_inside}[options.worker](options, plan)
        return
    rates = against_flair(options, plan) if options.only != "inside" else None
    found = inside(options, plan) if options.only != "flair" else None
    if found is not None:
        show_framework(found["framework"])
        show_profile(found["profile"])
    if rates is not None and found is not None:
        show_floor(found["floor"], rates)
        measure.save("train", {"rates": rates, **found})


if __name__ == "__main__":
    main()
