"""Memory where one thing in a corpus is very long, and where the corpus is: training, evaluation, prediction.

A thousand sentences of the built-in corpus; the same with one of 20,000 tokens; with a word of 5,000 letters; with
both. Each for several parts, by the peak of a process of its own. Then a file of a million sentences.

    python benchmarks/memory.py                       parts against long sentences and words
    python benchmarks/memory.py --sentences 1000000   also a large file: half an hour more
"""

import json
import random
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import measure

TOKENS, LETTERS = 20_000, 5_000
GOAL = 1024  # MiB that one long sentence or word may cost at most
PARTS = {
    "default": [],
    "decoder=crf_pairwise": ["decoder=crf_pairwise"],
    "decoder=stack_lstm": ["decoder=stack_lstm"],
    "char_encoder=bilstm": ["char_encoder=bilstm"],
    "paper=lample2016": ["paper=lample2016"],
    "paper=chiu_nichols2016": ["paper=chiu_nichols2016"],
    "features=huang": ["features=huang"],
}
RANDOM_VECTORS = {"paper=lample2016": "random", "paper=chiu_nichols2016": "random_50"}
"""In place of files that have to be fetched"""
Row = tuple[str, str]


def sentences() -> list[list[Row]]:
    """The training sentences of the built-in corpus, as rows of token and tag."""
    from product import training_sentences

    return [list(zip(one.words, one.tags, strict=True)) for one in training_sentences(["data=builtin"])]


def write(path: Path, some: list[list[Row]], number: int, seed: int, *others: list[Row]) -> Path:
    """A column file of so many sentences, drawn, and then the others."""
    drawn = random.Random(seed)
    with path.open("w", encoding="utf-8") as out:
        for rows in [*others, *(drawn.choice(some) for _ in range(number))]:
            out.write("".join(f"{word} {tag}\n" for word, tag in rows) + "\n")
    return path


def long_sentence(some: list[list[Row]], tokens: int) -> list[Row]:
    drawn, rows = random.Random(1), list[Row]()
    while len(rows) < tokens:
        rows += drawn.choice(some)
    return [*rows[: tokens - 1], (".", "O")]


def long_word(letters: int) -> list[Row]:
    drawn = random.Random(2)
    return [("The", "O"), ("".join(drawn.choice("abcdefgh") for _ in range(letters)), "O"), ("fell", "O")]


def train(options: Namespace) -> None:
    from ner_lab.config.compose import compose_config
    from ner_lab.training.train import train

    files = [f"data.{split}={options.corpus.parent / 'few.conll'}" for split in ("dev", "test")]
    files += [f"data.train={options.corpus}", f"data.cache_dir={options.run.parent / 'cache'}"]
    some = ["logger=none", "trainer.max_epochs=1", f"trainer.limit_train_batches={options.batches}", "threads=1"]
    train(compose_config(["data=files", *files, *some, *options.settings]), options.run)


def evaluate(options: Namespace) -> None:
    from ner_lab.cli.evaluate import main

    _call(main, f"run={options.run}", "data=files", f"data.test={options.corpus}", "splits=test")


def predict(options: Namespace) -> None:
    from ner_lab.cli.predict import main

    target = options.run.parent / f"{options.corpus.name}.out"
    _call(main, f"run={options.run}", f"input={options.corpus}", f"output={target}", "threads=1")


def _call(main: object, *arguments: str) -> None:
    import contextlib
    import io
    import sys

    sys.argv = ["ner-lab", *arguments]
    with contextlib.redirect_stdout(io.StringIO()):
        main()  # type: ignore[operator]


COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict}


def work(options: Namespace) -> None:
    begun = time.perf_counter()
    COMMANDS[options.worker](options)
    print(json.dumps({"mib": measure.peak_memory(), "seconds": time.perf_counter() - begun}))


def peak(command: str, run: Path, corpus: Path, batches: float, settings: list[str]) -> dict[str, float]:
    """What a command's process held at most, and its seconds."""
    place = ["--run", str(run), "--corpus", str(corpus), "--batches", str(batches)]
    return measure.child([__file__, "--worker", command, *place, "--settings", *settings], threads=1)


def settings_of(part: str) -> list[str]:
    vectors = [f"word_embedding={RANDOM_VECTORS[part]}"] if part in RANDOM_VECTORS else []
    return [*PARTS[part], *vectors]


def compare(options: Namespace, folder: Path) -> None:
    some = sentences()
    number, tokens, letters = (100, 500, 200) if options.quick else (1000, TOKENS, LETTERS)
    sentence, word = long_sentence(some, tokens), long_word(letters)
    write(folder / "few.conll", some, 50, 4)
    corpora = {
        "plain": write(folder / "plain.conll", some, number, 3),
        "sentence": write(folder / "sentence.conll", some, number, 3, sentence),
        "word": write(folder / "word.conll", some, number, 3, word),
        "both": write(folder / "both.conll", some, number, 3, sentence, word),
    }
    figures: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    rows = []
    parts = ["default"] if options.quick else options.parts or list(PARTS)
    for part in parts:
        settings, found = settings_of(part), figures.setdefault(part, {})
        for command in COMMANDS:
            found[command] = {}
            for name, corpus in corpora.items():
                run = folder / f"{part.replace('=', '-')}-{name if command == 'train' else 'plain'}"
                found[command][name] = peak(command, run, corpus, 1.0, settings)
            plain = found[command]["plain"]["mib"]
            more = [found[command][name]["mib"] - plain for name in corpora if name != "plain"]
            rows.append([part, command, plain, *more])
            print(rows[-1], flush=True)
    measure.show(
        "Peak of memory, MiB",
        ["parts", "command", f"{number:,} sentences", f"+ {tokens:,} tokens", f"+ {letters:,} letters", "+ both"],
        rows,
    )
    measure.note("The last three columns: what is held above the first, with one sentence, one word, and both in it.")
    most = max(max(row[3:]) for row in rows)
    measure.goal("one long sentence and word", f"at most {GOAL} MiB more", f"{most:.0f} MiB", most <= GOAL)
    if options.sentences:
        figures |= large(options.sentences, some, folder)
    measure.save("memory", figures)


def large(number: int, some: list[list[Row]], folder: Path) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """A file of so many sentences."""
    corpus = write(folder / "large.conll", some, number, 5)
    size = corpus.stat().st_size / 2**20
    run = folder / "default-large"
    settings = settings_of("default")
    found = {"train": {"large": peak("train", run, corpus, 50, settings)}}
    for command in ("evaluate", "predict"):
        found[command] = {"large": peak(command, run, corpus, 1.0, settings)}
    measure.show(
        f"A file of {number:,} sentences, {size:.0f} MiB",
        ["command", "MiB", "seconds"],
        [[command, result["large"]["mib"], result["large"]["seconds"]] for command, result in found.items()],
    )
    measure.note("Training: prepared in full, then 50 steps.")
    return {"large": found}


def main() -> None:
    options = measure.parser(__doc__ or "")
    options.add_argument("--sentences", type=int, help="a file of so many sentences as well")
    options.add_argument("--parts", nargs="*", choices=PARTS, help="of these alone")
    options.add_argument("--worker", choices=COMMANDS, help="(for the script itself)")
    options.add_argument("--run", type=Path, help="(for the script itself)")
    options.add_argument("--corpus", type=Path, help="(for the script itself)")
    options.add_argument("--batches", type=float, help="(for the script itself)")
    options.add_argument("--settings", nargs="*", default=[], help="(for the script itself)")
    chosen = options.parse_args()
    if chosen.worker:
        work(chosen)
        return
    with tempfile.TemporaryDirectory() as name:
        compare(chosen, Path(name))


if __name__ == "__main__":
    main()
