"""The CRF layer against peers: likelihood with its gradient, and the best path.

    python benchmarks/crf.py

Peers that are installed take part: pytorch-crf, TorchCRF, torch-struct. Everybody gets the same scores and
sentences of T/2 to T tokens; what differs in values, gradients and paths stands beside the times.
"""

import time
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import measure
import torch
from torch import Tensor

from ner_lab.models.decoder.chain.linear_chain import LinearChainCRF

SIZES = [(10, 15, 9), (10, 15, 17), (32, 30, 17), (128, 40, 17), (32, 128, 73)]
GOALS = {"likelihood + gradient": 4.0, "best path": 2.0}
MOST_CELLS = 10**6
"""Of batch * time * tags^2: torch-struct keeps them all, several times over, and is left out of larger batches."""


class Sample(NamedTuple):
    """A batch and the scores that all layers get."""

    emissions: Tensor  # (batch, time, tags)
    tags: Tensor  # (batch, time)
    mask: Tensor  # (batch, time)
    start: Tensor
    transitions: Tensor
    end: Tensor


class Layer(NamedTuple):
    """loss: emissions -> summed negative log-likelihood; parameters: start, transitions, end; paths: from decode's."""

    loss: Callable[[Tensor], Tensor]
    parameters: list[Tensor]
    decode: Callable[[], object]
    paths: Callable[[object], list[list[int]]]


def sample_of(batch: int, length: int, num_tags: int) -> Sample:
    random = torch.Generator().manual_seed(0)
    lengths = torch.randint((length + 1) // 2, length + 1, (batch,), generator=random)
    lengths[0] = length
    return Sample(
        2 * torch.randn(batch, length, num_tags, generator=random),
        torch.randint(num_tags, (batch, length), generator=random),
        torch.arange(length) < lengths[:, None],
        torch.randn(num_tags, generator=random),
        torch.randn(num_tags, num_tags, generator=random),
        torch.randn(num_tags, generator=random),
    )


def ours(sample: Sample) -> Layer:
    crf = LinearChainCRF(len(sample.start)).to(sample.emissions.dtype)
    fill({crf.start: sample.start, crf.transitions: sample.transitions, crf.end: sample.end})
    return Layer(
        lambda emissions: -crf.log_likelihood(emissions, sample.tags, sample.mask).sum(),
        [crf.start, crf.transitions, crf.end],
        lambda: crf.decode(sample.emissions, sample.mask)[0],
        lambda found: cut(found, sample),
    )


def pytorch_crf(sample: Sample) -> Layer:
    from torchcrf import CRF as Peer

    crf = Peer(len(sample.start), batch_first=True).to(sample.emissions.dtype)
    parameters = [crf.start_transitions, crf.transitions, crf.end_transitions]
    fill(dict(zip(parameters, (sample.start, sample.transitions, sample.end), strict=True)))
    return Layer(
        lambda emissions: -crf(emissions, sample.tags, sample.mask, reduction="sum"),
        parameters,
        lambda: crf.decode(sample.emissions, sample.mask),
        lambda found: found,  # type: ignore[arg-type, return-value]
    )


def other_torchcrf(sample: Sample) -> Layer:
    from TorchCRF import CRF as Peer

    crf = Peer(len(sample.start), use_gpu=False).to(sample.emissions.dtype)
    parameters = [crf.start_trans, crf.trans_matrix, crf.end_trans]
    fill(dict(zip(parameters, (sample.start, sample.transitions, sample.end), strict=True)))
    return Layer(
        lambda emissions: -crf(emissions, sample.tags, sample.mask).sum(),
        parameters,
        lambda: crf.viterbi_decode(sample.emissions, sample.mask),
        lambda found: found,  # type: ignore[arg-type, return-value]
    )


def torch_struct(sample: Sample) -> Layer:
    from torch_struct import LinearChainCRF as Peer

    batch, length, num_tags = sample.emissions.shape
    if batch * length * num_tags**2 > MOST_CELLS:
        raise MemoryError
    lengths = sample.mask.sum(dim=1)
    parameters = [part.clone().requires_grad_() for part in (sample.start, sample.transitions, sample.end)]

    def chain(emissions: Tensor) -> Peer:
        """Its potentials (batch, time - 1, to, from): start, emissions and end go into those of the transitions."""
        start, transitions, end = parameters
        ends = torch.nn.functional.one_hot(lengths - 1, length)[:, :, None] * end
        emissions = emissions + ends
        potentials = transitions.t() + emissions[:, 1:, :, None]
        first = torch.nn.functional.pad((start + emissions[:, 0])[:, None, None, :], (0, 0, 0, 0, 0, length - 2))
        return Peer((potentials + first).contiguous(), lengths=lengths)

    def loss(emissions: Tensor) -> Tensor:
        found = chain(emissions)
        parts = (
            Peer.struct.to_parts(sample.tags * sample.mask, num_tags, lengths=lengths).to(emissions.dtype).contiguous()
        )
        return -found.log_prob(parts).sum()

    return Layer(
        loss,
        parameters,
        lambda: chain(sample.emissions).argmax,
        lambda found: cut(Peer.struct.from_parts(found)[0], sample),
    )


PEERS = {"ner-lab": ours, "pytorch-crf": pytorch_crf, "TorchCRF": other_torchcrf, "torch-struct": torch_struct}


def fill(values: dict[Tensor, Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in values.items():
            parameter.copy_(value)


def cut(paths: object, sample: Sample) -> list[list[int]]:
    lengths = sample.mask.sum(dim=1).tolist()
    return [path[:length] for path, length in zip(paths.tolist(), lengths, strict=True)]  # type: ignore[attr-defined]


def layers_of(sample: Sample, quick: bool) -> Iterator[tuple[str, Layer]]:
    for name, make in PEERS.items():
        if quick and name != "ner-lab":
            continue
        with suppress(ImportError, MemoryError):
            yield name, make(sample)


def gradients(layer: Layer, emissions: Tensor) -> list[Tensor]:
    """The loss, and its gradients on emissions, start, transitions and end."""
    leaf = emissions.clone().requires_grad_()
    loss = layer.loss(leaf)
    return [loss.detach(), *torch.autograd.grad(loss, [leaf, *layer.parameters])]


def differences(layer: Layer, emissions: Tensor, exact: list[Tensor]) -> tuple[float, float]:
    """Greatest difference from `exact`: of the loss, as a share of it; of any gradient."""
    found = gradients(layer, emissions)
    loss = float(((found[0] - exact[0]) / exact[0]).abs())
    return loss, max(float((a - b).abs().max()) for a, b in zip(found[1:], exact[1:], strict=True))


def timed(job: Callable[[], object], seconds: float) -> Callable[[], float]:
    """Milliseconds a call, over as many calls as fit."""
    job()

    def measured() -> float:
        calls, begun = 0, time.perf_counter()
        while (passed := time.perf_counter() - begun) < seconds:
            job()
            calls += 1
        return 1000 * passed / calls

    return measured


def training(layer: Layer, emissions: Tensor) -> Callable[[], None]:
    leaf = emissions.clone().requires_grad_()

    def step() -> None:
        for tensor in (leaf, *layer.parameters):
            tensor.grad = None
        layer.loss(leaf).backward()

    return step


def compare(size: tuple[int, int, int], options: Namespace) -> list[dict[str, object]]:
    """A row for each layer: milliseconds of both jobs, and what it computes differently."""
    sample = sample_of(*size)
    wide = sample._replace(
        **{name: getattr(sample, name).double() for name in ("emissions", "start", "transitions", "end")}
    )
    exact = gradients(ours(wide), wide.emissions)
    layers = dict(layers_of(sample, options.quick))
    rounds, seconds = (1, 0.01) if options.quick else (options.rounds, options.seconds)
    likelihood = {name: timed(training(layer, sample.emissions), seconds) for name, layer in layers.items()}
    decoding = {name: timed(layer.decode, seconds) for name, layer in layers.items()}
    times = measure.alternate(likelihood, rounds), measure.alternate(decoding, rounds)
    paths = {name: layer.paths(layer.decode()) for name, layer in layers.items()}
    rows = []
    for name, layer in layers.items():
        of_loss, of_gradients = differences(layer, sample.emissions, exact)
        rows.append(
            {
                "size": list(size),
                "layer": name,
                "likelihood_ms": times[0][name],
                "viterbi_ms": times[1][name],
                "difference_of_loss": of_loss,
                "difference_of_gradients": of_gradients,
                "other_paths": sum(a != b for a, b in zip(paths[name], paths["ner-lab"], strict=True)),
            }
        )
    return rows


def main() -> None:
    parser = measure.parser(__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each job in a round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*arg_constraints.*")  # torch-struct
    figures = []
    for size in SIZES[:1] if options.quick else SIZES:
        rows = compare(size, options)
        figures += rows
        own = rows[0]
        measure.show(
            "batch {}, {} tokens, {} tags".format(*size),
            [
                "layer",
                "likelihood + gradient, ms",
                "x ours",
                "best path, ms",
                "x ours",
                "loss off by",
                "gradient off by",
            ],
            [
                [
                    row["layer"],
                    measure.median(row["likelihood_ms"]),
                    measure.ratio(row["likelihood_ms"], own["likelihood_ms"]),
                    measure.median(row["viterbi_ms"]),
                    measure.ratio(row["viterbi_ms"], own["viterbi_ms"]),
                    f"{row['difference_of_loss']:.0e}",
                    f"{row['difference_of_gradients']:.0e}",
                ]
                for row in rows
            ],
        )
    measure.note("One thread; sentences of T/2 to T tokens; single precision; medians over rounds in turn.")
    measure.note(
        "Off by: against ours in double precision; of the summed loss as a share of it, of a gradient as it is."
    )
    measure.note(f"Goals against pytorch-crf: {GOALS['likelihood + gradient']:g} and {GOALS['best path']:g} times.")
    others = sum(int(row["other_paths"]) for row in figures)
    measure.note(f"Sentences whose best path differs from ours, over all layers and sizes: {others}.")
    left_out = f"torch-struct keeps batch x time x tags^2 numbers and is left out above {MOST_CELLS:,}."
    measure.note(left_out)
    measure.save("crf", {"rows": figures, "goals": GOALS})


if __name__ == "__main__":
    main()
