"""A small corpus of its own, written with its entities marked, and the settings that train a small tagger on it."""

import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ner_lab.data.tags import Span, tags_of

TRAIN = """
[PER Anna Holm] lives in [LOC Oslo] .
[ORG Nordbank] moved its head office to [LOC Bergen] on Monday .
[PER Jonas Vik] of [ORG Nordbank] met [PER Anna Holm] in 1997 .
The ferry to [LOC New Holm] left at 10:45 .
[LOC OSLO] 1998-02-11
[PER Holm] , a nurse , said no .
Shares of [ORG Vik & Sons] fell by 3.5 percent .
It rained .
[ORG Bergen Town Council] thanked [PER Ida Berg] for her work .
[PER Ida Berg] was born in [LOC Bergen] [LOC Norway] .
In [LOC Oslo] the council said that nobody was hurt .
[ORG Holm Shipping] of [LOC New Holm] sold two boats to [ORG Nordbank] .
"""
DEV = """
[PER Jonas Holm] lives in [LOC Bergen] .
[ORG Nordbank] said no .
The boats left [LOC Oslo] on Monday .
[PER Ida Vik] met [PER Anna Berg] of [ORG Holm Shipping] .
"""
TEST = """
[PER Anna Vik] moved to [LOC New Holm] in 1998 .
Nobody thanked [ORG Bergen Town Council] [LOC Bergen] .
It fell .
Shares of [ORG Holm & Sons] fell on Monday in [LOC Oslo] , [PER Ida Holm] said .
"""
SMALL = (
    "word_embedding.dim=12",
    "char_encoder.char_dim=6",
    "char_encoder.num_filters=6",
    "encoder.hidden_dim=12",
    "logger=none",
    "threads=1",
)
"""Settings of a tagger that trains in a moment."""
NO_DROPOUT = ("char_encoder.dropout=0", "encoder.input_dropout=0", "encoder.output_dropout=0")


class Marked(NamedTuple):
    """A sentence: its words, and its entities as spans over them."""

    words: list[str]
    spans: list[Span]

    def tags(self, scheme: str = "IOB2") -> list[str]:
        return tags_of(self.spans, len(self.words), scheme)


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


def marked(text: str) -> list[Marked]:
    """A sentence a line, `[PER Anna Holm] lives in [LOC Oslo] .`"""
    sentences = []
    for line in text.strip().splitlines():
        words: list[str] = []
        spans = []
        for entity_type, inside, outside in re.findall(r"\[([A-Z]+) ([^]]*)\]|(\S+)", line):
            found = (inside or outside).split()
            if entity_type:
                spans.append(Span(entity_type, len(words), len(words) + len(found)))
            words.extend(found)
        sentences.append(Marked(words, spans))
    return sentences


def write_corpus(
    path: Path,
    sentences: Iterable[Marked],
    *,
    scheme: str = "IOB2",
    columns: Sequence[str] = ("word", "tag"),
    separator: str = " ",
) -> Path:
    """A column file; columns other than word and tag hold a made-up value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ""
    for sentence in sentences:
        for word, tag in zip(sentence.words, sentence.tags(scheme), strict=True):
            row: Mapping[str, str] = {"word": word, "tag": tag}
            text += separator.join(row.get(column, "X") for column in columns) + "\n"
        text += "\n"
    path.write_text(text, encoding="utf-8")
    return path


def read_columns(path: Path) -> list[list[list[str]]]:
    """Sentences of rows of cells, as they stand in a file with single blanks."""
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    return [[line.split(" ") for line in block.split("\n")] for block in blocks if block]


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def senna_archive(cache: Path, members: Mapping[str, bytes]) -> Path:
    """What was fetched of SENNA, where it is kept below `cache`."""
    path = cache / "vectors" / "senna-v3.0.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
