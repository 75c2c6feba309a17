"""Time and memory of training against sentences, sentence length, tags, vocabulary and batch.

Made-up text: words by Zipf's law, all words of the vocabulary at least once, entities of one to three words. The model
has the sizes of Ma & Hovy (2016). One thing grows at a time, each point in a process of its own, one thread.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import measure
import numpy as np


class Size(NamedTuple):
    """A made-up corpus and how it is batched."""

    sentences: int = 2_000
    length: int = 20
    types: int = 4
    words: int = 10_000
    batch: int = 10

    @property
    def tags(self) -> int:
        """IOBES: four tags a type, and O."""
        return 4 * self.types + 1


class Axis(NamedTuple):
    """What grows, and which times tell what it costs."""

    name: str
    key: str
    values: tuple[int, ...]
    base: Size
    times: tuple[str, ...]
    expected: dict[str, float]
    """The exponent that each figure, and memory, should have at most"""


AXES = (
    Axis("sentences", "sentences", (500, 2_000, 8_000, 64_000), Size(length=10, batch=32), ("read", "epoch"),
         {"read": 1, "epoch": 1, "memory": 1}),
    Axis("tokens of a sentence", "length", (8, 32, 128, 512), Size(sentences=200), ("step",), {"step": 1, "memory": 1}),
    Axis("tags", "types", (1, 4, 16, 50), Size(sentences=400), ("crf", "step"), {"crf": 2, "memory": 1}),
    Axis("words of the vocabulary", "words", (6_000, 25_000, 100_000, 400_000), Size(), ("step",),
         {"step": 0, "memory": 1}),
    Axis("sentences of a batch", "batch", (1, 8, 64, 256), Size(), ("step",), {"step": 1, "memory": 1}),
)  # fmt: skip
QUICK = (Axis("tags", "types", (1, 2), Size(sentences=30, words=50, length=5), ("crf", "step"), {"crf": 2}),)
_GROWS = 1.5  # largest by smallest value from which on something grows
_TINY = Size(sentences=20, length=5, types=1, words=40)
LARGEST_EPOCH = 8_000  # sentences: a larger epoch takes a minute and says nothing new
NAMES = {
    "read": "read and encode, s",
    "epoch": "epoch of training, s",
    "step": "training step, ms",
    "crf": "CRF alone, ms",
    "memory": "memory, MiB",
}


def write_corpus(folder: Path, size: Size, seed: int = 1) -> None:
    """train.txt and dev.txt, columns of word and tag (IOB2)."""
    generator = np.random.default_rng(seed)
    tokens = max(size.sentences * size.length, size.words)
    weights = 1 / (np.arange(size.words) + 10)
    drawn = generator.choice(size.words, size=tokens, p=weights / weights.sum())
    drawn[: size.words] = generator.permutation(size.words)
    names = [_spelling(number) for number in range(size.words)]
    tags = _tags(generator, tokens, size)
    lines = [f"{names[word]} {tag}" for word, tag in zip(drawn, tags, strict=True)]
    sentences = ["\n".join(lines[at : at + size.length]) for at in range(0, tokens, size.length)]
    (folder / "train.txt").write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    (folder / "dev.txt").write_text("\n\n".join(sentences[:10]) + "\n", encoding="utf-8")


def _spelling(number: int) -> str:
    """Every word its own letters, two to seven of them."""
    letters = ""
    while number or len(letters) < 2:
        number, letter = divmod(number, 26)
        letters += chr(ord("a") + letter)
    return letters


def _tags(generator: np.random.Generator, tokens: int, size: Size) -> list[str]:
    tags = ["O"] * tokens
    for number, at in enumerate(range(0, tokens - 4, 5)):
        kind = f"T{number % size.types}"
        length = min(int(generator.integers(1, 4)), size.length - at % size.length)
        tags[at : at + length] = [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
    return tags


def overrides_of(folder: Path, size: Size) -> list[str]:
    from product import MA_HOVY

    return [
        *MA_HOVY,
        "data=files",
        f"data.train={folder / 'train.txt'}",
        f"data.dev={folder / 'dev.txt'}",
        f"data.cache_dir={folder / 'cache'}",
        "data.max_sentence_length=null",
        f"data.batch_size={size.batch}",
        "word_embedding=random",
    ]


def point(folder: Path, size: Size, seconds: float) -> dict[str, float]:
    """Measure one size in this process, in which only a tiny one was trained before: what is paid once, is paid."""
    from product import build_bare, config, loop

    with tempfile.TemporaryDirectory() as name:
        write_corpus(Path(name), _TINY)
        loop(build_bare(config(overrides_of(Path(name), _TINY))))
    cfg = config(overrides_of(folder, size))
    imported = measure.peak_memory()
    begun = time.perf_counter()
    parts = build_bare(cfg)
    found = {"read": time.perf_counter() - begun}
    found["step"] = 1000 * _step(parts, seconds)
    found["crf"] = 1000 * _crf(parts, size, seconds)
    if size.sentences <= LARGEST_EPOCH:
        found["epoch"] = loop(parts)[2] if size.length <= 10 else 0.0
    found["memory"] = measure.peak_memory() - imported
    return {name: value for name, value in found.items() if value}


def _step(parts: Any, seconds: float) -> float:
    """Median seconds of a step, batching included, after a few to warm up."""
    from product import batches, step

    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 6 or time.perf_counter() - begun < seconds:
        feed = batches(parts, epoch=len(times))
        for _ in range(20):
            started = time.perf_counter()
            if (batch := next(feed, None)) is None:
                break
            step(parts, batch)
            times.append(time.perf_counter() - started)
    return measure.median(times[3:])


def _crf(parts: Any, size: Size, seconds: float) -> float:
    """Median seconds of the CRF's likelihood and gradient for one batch."""
    import torch

    decoder = parts.module.tagger.decoder
    hidden = torch.randn(size.batch, size.length, parts.module.tagger.encoder.output_dim, requires_grad=True)
    gold = torch.randint(size.tags, (size.batch, size.length))
    mask = torch.ones(size.batch, size.length, dtype=torch.bool)
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 6 or time.perf_counter() - begun < seconds / 2:
        started = time.perf_counter()
        decoder.loss(hidden, gold, mask, None).sum().backward()
        times.append(time.perf_counter() - started)
    return measure.median(times[3:])


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """With which power of the size the values grow: the slope of one's logarithm over the other's.

    Taken of what the largest three sizes add to the smallest, so what is paid at any size counts as none. Values that
    hardly differ, or rise and fall, are taken as they are: their slope is near 0.
    """
    x, y = np.asarray(sizes, dtype=float), np.asarray(values, dtype=float)
    added = (y - y[0])[1:]
    if y.max() >= _GROWS * y.min() and len(added) > 1 and (added > 0).all():
        x, y = (x - x[0])[1:][-3:], added[-3:]
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def shown_size(axis: Axis, value: int) -> int:
    """What the axis is called by: types are told as tags."""
    return Size(types=value).tags if axis.key == "types" else value


def measure_axis(axis: Axis, seconds: float) -> dict[str, Any]:
    """All points of an axis, and the exponent of each figure."""
    points = []
    for value in axis.values:
        size = axis.base._replace(**{axis.key: value})
        with tempfile.TemporaryDirectory() as folder:
            write_corpus(Path(folder), size)
            arguments = [__file__, "--point", json.dumps([*size]), "--folder", folder, "--seconds", str(seconds)]
            found = measure.child(arguments, threads=1)
        points.append({"size": shown_size(axis, value), **found})
    exponents = {}
    for name in (*axis.times, "memory"):
        known = [(entry["size"], entry[name]) for entry in points if name in entry]
        exponents[name] = exponent(*zip(*known, strict=True)) if len(known) > 1 else None
    expected = {name: axis.expected.get(name) for name in exponents}
    return {"name": axis.name, "points": points, "exponents": exponents, "expected": expected}


def show(axes: Sequence[dict[str, Any]]) -> None:
    for axis in axes:
        names = list(axis["exponents"])
        rows = [[entry["size"], *(entry.get(name) for name in names)] for entry in axis["points"]]
        measure.show(f"Growth with {axis['name']}", [axis["name"], *(NAMES[name] for name in names)], rows)
    rows = [
        [axis["name"], NAMES[name].partition(",")[0], f"{value:.2f}", _told(axis["expected"][name])]
        for axis in axes
        for name, value in axis["exponents"].items()
        if value is not None
    ]
    measure.show("Exponents", ["what grows", "figure", "exponent", "at most"], rows)
    measure.note(
        "Exponent: the slope of logarithms, of what larger sizes add to the smallest: 1 is linear, 0 does not grow. "
        "Each point is measured in a process of its own that has trained a tiny corpus before; peak memory is counted "
        "above that. It holds the corpus, the tagger with its gradients and momentum, and the largest batch."
    )


def _told(expected: float | None) -> str:
    return "" if expected is None else f"{expected:g}"


def main() -> None:
    parser = measure.parser(__doc__.splitlines()[0])
    parser.add_argument("--point", type=json.loads)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seconds", type=float, default=0.6, help="of steps at each point")
    options = parser.parse_args()
    if options.point is not None:
        print(json.dumps(point(options.folder, Size(*options.point), options.seconds)))
        return
    seconds = 0.05 if options.quick else options.seconds
    axes = [measure_axis(axis, seconds) for axis in (QUICK if options.quick else AXES)]
    show(axes)
    measure.save("growth", {"axes": axes})


if __name__ == "__main__":
    main()
