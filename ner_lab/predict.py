"""`ner-lab predict run=DIR ...` and `ner_lab.load(DIR)`: use a trained tagger on new text."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from omegaconf import DictConfig
from rich.progress import TextColumn

from ner_lab.build import build_tagger, data_options_of, feature_set_of
from ner_lab.command import keyword_arguments, run_command
from ner_lab.data.prepare import encode
from ner_lab.data.sentence import Sentence
from ner_lab.data.tokens import sentences_in
from ner_lab.data.vocab import Vocabs
from ner_lab.errors import UserError
from ner_lab.run_folder import RunFolder
from ner_lab.scoring import predict_labels
from ner_lab.suggest import nearest
from ner_lab.tagger import Tagger
from ner_lab.tags import as_written, spans_of
from ner_lab.terminal import bar
from ner_lab.text_io import INPUT_FORMATS, OUTPUT_FORMATS, Piece, Text, recognise
from ner_lab.threads import set_threads

log = logging.getLogger(__name__)

_KEYS = ("run", "input", "output", "format", "input_format", "threads")
_CHUNK = 512  # sentences tagged together: enough to group by length, few enough to stream
_USAGE = """ner-lab predict run=DIR [input=FILE|-] [output=FILE|-] [format=conll|jsonl|text] [input_format=...]

Tags text with the best checkpoint of a run, streaming from input to output (standard ones by default).

format        conll   token and tag a line, a blank line between sentences; tags in IOB2
              jsonl   a sentence a line: {"tokens": [...], "tags": [...], "entities": [...]}
              text    the text with its entities marked: [PER Anna Holm] lives in [LOC Oslo]
input_format  text    running text; a blank line or a line's end closes a paragraph
              tokens  a sentence a line, tokens between blanks
              conll   a token a line (further columns are ignored), a blank line between sentences
              jsonl   {"tokens": [...]} or {"text": "..."} a line
              auto    told from the file's name and first lines (the default)"""


class Entity(NamedTuple):
    """An entity in a text: `text[start:end]`, in characters."""

    type: str
    start: int
    end: int
    text: str


class TrainedTagger:
    """A tagger with its vocabularies, ready for new text."""

    def __init__(self, tagger: Tagger, vocabs: Vocabs, config: DictConfig) -> None:
        self.tagger = tagger
        self.vocabs = vocabs
        self.config = config
        self.options = data_options_of(config)
        self.features = feature_set_of(config)
        self.features.remember(vocabs.features.learnt)
        self._unread = tuple(name for name in self.features.reads if name in self.options.columns)

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Tags in IOB2 for sentences of words; a sentence without words gets none."""
        filled = [number for number, words in enumerate(sentences) if len(words)]
        tags: list[list[str]] = [[] for _ in sentences]
        for number, found in zip(filled, self._tag([list(sentences[number]) for number in filled]), strict=True):
            tags[number] = found
        return tags

    def entities(self, text: str) -> list[Entity]:
        """The entities of a running text, with their places in it."""
        sentences = list(sentences_in(text))
        tags = self.predict([[token.text for token in sentence] for sentence in sentences])
        return [
            Entity(span.type, begin, end, text[begin:end])
            for sentence, found in zip(sentences, tags, strict=True)
            for span in spans_of(found)
            for begin, end in [(sentence[span.start].start, sentence[span.end - 1].end)]
        ]

    def _tag(self, sentences: list[list[str]]) -> list[list[str]]:
        if not sentences:
            return []
        if self._unread:
            lacking = ", ".join(self._unread)
            log.warning("words alone lack columns that this tagger was trained with (%s): expect less", lacking)
            self._unread = ()
        columns = [name for name in self.options.columns if name not in ("word", "tag")]
        rows = [
            Sentence(words, ["O"] * len(words), {name: ["_"] * len(words) for name in columns}) for words in sentences
        ]
        split, labels = encode(rows, self.vocabs, self.options, self.features)
        found = predict_labels(self.tagger, split, self.options.eval_batch_tokens)
        return [as_written([labels[label] for label in row], self.vocabs.tags.scheme) for row in found]


def load(run: str | Path) -> TrainedTagger:
    """The tagger of a run folder; raises UserError if it is no run.

    The checkpoint runs no code of its own, but the classes that config.yaml names are built: load
    only runs whose config you trust.
    """
    folder = RunFolder(run)
    config = folder.read_config()
    weights, plain = folder.read_weights()
    vocabs = Vocabs.from_plain(plain)
    tagger = build_tagger(config, vocabs)
    tagger.load_state_dict(weights)
    tagger.eval()
    return TrainedTagger(tagger, vocabs, config)


def tag_stream(trained: TrainedTagger, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, list[str]]]:
    """Tag pieces as they come, some hundreds at a time, so that memory does not grow with the input."""
    waiting = iter(pieces)
    while chunk := list(islice(waiting, _CHUNK)):
        tags = trained.predict([piece.words for piece in chunk])
        yield from zip(chunk, tags, strict=True)


def _command() -> None:
    own, overrides = keyword_arguments(sys.argv[1:], _KEYS, _USAGE)
    if overrides:
        raise UserError(f"'{overrides[0]}': predict takes no data options; give input=FILE.\n\n{_USAGE}")
    if "run" not in own:
        raise UserError(f"which run? Give run=DIR.\n\n{_USAGE}")
    write = _choice(own, "format", "conll", OUTPUT_FORMATS)
    read_as = _choice(own, "input_format", "auto", {"auto": None, **INPUT_FORMATS})
    if "threads" in own:
        set_threads(own["threads"])
    given, target = own.get("input", "-"), own.get("output", "-")
    if "-" not in (given, target) and Path(given).expanduser().resolve() == Path(target).expanduser().resolve():
        raise UserError(f"output={target} is the input itself, and would be emptied. Give another file.")
    trained = load(own["run"])
    with ExitStack() as stack:
        source, size, name = _open_input(given, stack)
        text = Text(source, name)
        pieces = (read_as or INPUT_FORMATS[recognise(text)])(text)
        out = _open_output(target, stack)
        progress = stack.enter_context(bar(TextColumn("")))
        task = progress.add_task("tagging", total=size)
        for piece, tags in tag_stream(trained, pieces):
            out.write(write(piece, tags))
            progress.update(task, completed=text.characters)


def _choice(own: dict[str, str], key: str, default: str, choices: dict[str, Any]) -> Any:
    value = own.get(key, default)
    if value not in choices:
        raise UserError(f"{key}={value}{nearest(value, choices)} It takes {', '.join(choices)}.")
    return choices[value]


def _open_input(name: str, stack: ExitStack) -> tuple[IO[str], int | None, str]:
    """The input, its size in bytes where it is a file, and its name for messages."""
    if name == "-":
        sys.stdin.reconfigure(encoding="utf-8-sig")  # type: ignore[union-attr]
        return sys.stdin, None, "standard input"
    path = Path(name).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "there is no such file"
        raise UserError(f"input={name}: {what}. Give a file, or - for standard input.")
    return stack.enter_context(path.open(encoding="utf-8-sig", newline="\n")), path.stat().st_size, name


def _open_output(name: str, stack: ExitStack) -> IO[str]:
    if name == "-":
        return sys.stdout
    path = Path(name).expanduser()
    if not path.parent.is_dir():
        raise UserError(f"output={name}: there is no folder {path.parent}.")
    return stack.enter_context(path.open("w", encoding="utf-8"))


def main() -> None:
    """Entry point of `ner-lab predict`."""
    run_command(_command)


if __name__ == "__main__":
    main()
