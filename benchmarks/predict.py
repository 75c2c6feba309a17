"""Prediction from file to file on the CPU: the command, with and without its start, against flair and spaCy; memory.

Sizes of Ma & Hovy (2016): char-CNN of 30 filters, words of 100, BiLSTM of 200 a direction, CRF, 17 tags.

    python benchmarks/predict.py --data FOLDER      on CoNLL-2003; without it on the built-in corpus
    python benchmarks/predict.py --memory           also the peak of memory over a million sentences
"""

import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import measure

GOAL, FLAIR_GOAL = 80_000, 10
Words = list[list[str]]
Ask = Callable[[str], float]


def tagger(options: Namespace, folder: Path) -> Path:
    """A run whose training was cut short: how well it tags changes nothing here."""
    from product import MA_HOVY, source, train_rates

    short = ["logger=none", "trainer.max_epochs=1", "trainer.limit_train_batches=50"]
    train_rates([*MA_HOVY, *source(options.data, options.vectors), *short], folder / "run")
    return folder / "run"


def repeated(sentences: Words, number: int) -> Words:
    """So many sentences, in order, again and again."""
    return list(itertools.islice(itertools.cycle(sentences), number))


def write_columns(path: Path, sentences: Words) -> Path:
    path.write_text("".join("\n".join(words) + "\n\n" for words in sentences), encoding="utf-8")
    return path


def write_text(path: Path, sentences: Words) -> Path:
    """Running text, some sentences a paragraph; marks stand at the word before them, as in print."""
    paragraphs = (" ".join(" ".join(words) for words in sentences[at : at + 5]) for at in range(0, len(sentences), 5))
    closed = (line.replace(" .", ".").replace(" ,", ",").replace(" '", "'") for line in paragraphs)
    path.write_text("".join(line + "\n" for line in closed), encoding="utf-8")
    return path


def command(run: Path, path: Path, form: str, threads: int) -> float:
    """`ner-lab predict` from the shell and back -> seconds."""
    arguments = [f"run={run}", f"input={path}", f"input_format={form}", f"output={path}.out", f"threads={threads}"]
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ner_lab.cli.main", "predict", *arguments], check=True)
    return time.perf_counter() - begun


def tokens_in(path: Path) -> int:
    with Path(f"{path}.out").open(encoding="utf-8") as lines:
        return sum(line != "\n" for line in lines)


def read_columns(path: str) -> Words:
    blocks = Path(path).read_text(encoding="utf-8").split("\n\n")
    return [block.split("\n") for block in blocks if block]


def serve_flair(options: Namespace) -> None:
    """flair's own path: Sentences of words, `predict`, its labels written out."""
    import torch
    from flair.data import Sentence
    from flair_model import sentences, tagger
    from product import source, training_sentences

    torch.set_num_threads(options.threads)
    model = tagger(sentences(training_sentences(source(options.data, None))))
    model.eval()

    def answer(question: dict[str, str]) -> float:
        begun = time.perf_counter()
        read = [Sentence(words) for words in read_columns(question["path"])]
        model.predict(read, mini_batch_size=32)
        write_tags(question["path"], map(tagged, read))
        return sum(map(len, read)) / (time.perf_counter() - begun)

    def tagged(sentence: Sentence) -> list[tuple[str, str]]:
        tags = ["O"] * len(sentence)
        for span in sentence.get_spans():
            tags[span[0].idx - 1] = f"B-{span.tag}"
            for token in span[1:]:
                tags[token.idx - 1] = f"I-{span.tag}"
        return [(token.text, tag) for token, tag in zip(sentence, tags, strict=True)]

    measure.serve(answer)


def serve_spacy(options: Namespace) -> None:
    """spaCy's own path: Docs of words through `nlp.pipe`, IOB tags written out."""
    import spacy
    import torch
    from spacy.tokens import Doc
    from spacy.training import Example

    torch.set_num_threads(options.threads)
    nlp = spacy.blank("en")
    recogniser = nlp.add_pipe("ner")
    for kind in ("LOC", "MISC", "ORG", "PER"):
        recogniser.add_label(kind)
    some = Doc(nlp.vocab, words=["Anna", "won"])
    nlp.initialize(lambda: [Example.from_dict(some, {"entities": ["U-PER", "O"]})])

    def answer(question: dict[str, str]) -> float:
        begun = time.perf_counter()
        read = [Doc(nlp.vocab, words=words) for words in read_columns(question["path"])]
        tagged = list(nlp.pipe(read, batch_size=256))
        write_tags(question["path"], ([(token.text, token.ent_iob_) for token in doc] for doc in tagged))
        return sum(map(len, read)) / (time.perf_counter() - begun)

    measure.serve(answer)


def write_tags(path: str, sentences: object) -> None:
    with Path(f"{path}.peer").open("w", encoding="utf-8") as out:
        for sentence in sentences:  # type: ignore[attr-defined]
            out.writelines(f"{word} {tag}\n" for word, tag in sentence)
            out.write("\n")


def peers(options: Namespace) -> dict[str, measure.Worker]:
    """Those that are installed."""
    from importlib.util import find_spec

    names = [] if options.quick else [name for name in ("flair", "spacy") if find_spec(name)]
    data = [f"--data={options.data}"] if options.data else []
    return {name: measure.Worker([__file__, "--worker", name, "--threads", "2", *data]) for name in names}


def memory(run: Path, folder: Path, sentences: Words, numbers: Sequence[int], threads: int) -> dict[int, float]:
    """Sentences in a file -> MiB that the largest of the command's processes held at most."""
    found = {}
    for number in numbers:
        path = folder / f"{number}.conll"
        with path.open("w", encoding="utf-8") as out:
            out.writelines("\n".join(words) + "\n\n" for words in itertools.islice(itertools.cycle(sentences), number))
        again = [__file__, "--worker", "memory", "--run", str(run), "--path", str(path), "--threads", str(threads)]
        found[number] = measure.child(again)["mib"]
        path.unlink()
        Path(f"{path}.out").unlink()
    return found


def measure_memory(options: Namespace) -> None:
    seconds = command(options.run, options.path, "conll", options.threads)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({"mib": peak / 2 ** (20 if sys.platform == "darwin" else 10), "seconds": seconds}))


def main() -> None:
    options = measure.parser(__doc__ or "")
    options.add_argument("--memory", action="store_true", help="a million sentences as well: some minutes more")
    options.add_argument("--worker", choices=("flair", "spacy", "memory"), help="(for the script itself)")
    options.add_argument("--run", type=Path, help="a run folder to predict with, in place of one made for this")
    options.add_argument("--path", type=Path, help="(for the script itself)")
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args()
    if chosen.worker:
        {"flair": serve_flair, "spacy": serve_spacy, "memory": measure_memory}[chosen.worker](chosen)
        return
    with tempfile.TemporaryDirectory() as name:
        compare(chosen, Path(name))


def compare(options: Namespace, folder: Path) -> None:
    from product import source, training_sentences

    run = options.run or tagger(options, folder)
    corpus: Words = [list(one.words) for one in training_sentences(source(options.data, None))]
    large = repeated(corpus, 200 if options.quick else 60_000)
    inputs = {
        "columns": (write_columns(folder / "large.conll", large), "conll"),
        "raw text": (write_text(folder / "large.txt", large), "text"),
    }
    one = write_columns(folder / "one.conll", corpus[:1])
    small = write_columns(folder / "small.conll", repeated(corpus, 700))
    jobs: dict[str, Callable[[], float]] = {"start": lambda: command(run, one, "conll", 1)}
    for kind, (path, form) in inputs.items():
        for threads in (1, 2):
            jobs[f"{kind}, {threads}"] = lambda path=path, form=form, threads=threads: command(run, path, form, threads)
    others = peers(options)
    for peer, worker in others.items():
        jobs[peer] = lambda worker=worker: worker.ask(path=str(small))
    times = measure.alternate(jobs, 1 if options.quick else 3)
    start = measure.median(times["start"])

    rows, rates = [], {}
    for kind, (path, _) in inputs.items():
        tokens = tokens_in(path)
        for threads in (1, 2):
            seconds = times[f"{kind}, {threads}"]
            rates[f"{kind}, {threads}"] = [tokens / max(took - start, 1e-3) for took in seconds]
            whole = measure.median([tokens / took for took in seconds])
            rows.append(["ner-lab predict", kind, threads, tokens, measure.median(rates[f"{kind}, {threads}"]), whole])
    rows += [[peer, "columns", 2, tokens_of(small), measure.median(times[peer]), None] for peer in others]
    measure.show("Prediction, from file to file", ["", "input", "cores", "tokens", "tokens/s", "with the start"], rows)
    measure.note(
        f"The command's start, to the end of a file of one sentence, takes {start:.2f} s; medians of 3 rounds."
    )
    measure.note("Peers: their own path on ready models, reading and writing included, their start left out.")
    if "flair" in others:
        ours = measure.median(rates["columns, 2"])
        measure.note(
            f"Against flair: {ours / measure.median(times['flair']):.1f}x (goal {FLAIR_GOAL}x); "
            f"goal on two cores {GOAL:,} tokens/s."
        )
    for worker in others.values():
        worker.close()
    numbers = [100, 200] if options.quick else [10_000, 100_000, *([1_000_000] if options.memory else [])]
    peaks = memory(run, folder, corpus, numbers, 2)
    measure.show(
        "Memory, two processes",
        ["sentences", "MiB of the largest process"],
        [[number, mib] for number, mib in peaks.items()],
    )
    measure.save("predict", {"seconds": times, "rates": rates, "memory": peaks})


def tokens_of(path: Path) -> int:
    return sum(map(len, read_columns(str(path))))


if __name__ == "__main__":
    main()
