"""Malformed data: each case with the error it must give. Exit code 2, no traceback, good files as they were."""

import hashlib
import importlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from bad_files import FOREIGN, GOOD, PACKED, PAGE, VECTORS, Case, binary, locked, turned, zipped
from omegaconf import DictConfig, OmegaConf
from sample import Outcome

from ner_lab.cli.app import run_command
from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.preparation import prepare
from ner_lab.data.vectors.store import read_stored
from ner_lab.inference.trained_tagger import TrainedTagger, load
from ner_lab.models.build import feature_set_of, word_embedding_of

STATS = ("data", "stats", "data=files", "data.train={here}/train.conll")
"""What reads a corpus; `train` and `evaluate` go through the same reader, see below."""


def columns(name: str, content: bytes, *says: str, call: Sequence[str] = ()) -> Case:
    return Case(name, {"train.conll": content}, [*STATS, *call], ["{here}/train.conll", *says])


COLUMNS = [
    columns("one column has no tags", b"Anna\nHolm\n", ":1:", "1 column", "data.separator"),
    columns("commas part no columns", b"Anna,B-PER\nHolm,I-PER\n", ":1:", "CSV", "import csv"),
    columns("a row with a column too many", GOOD + b"Oslo X B-LOC\n", ":8:", "3 columns", "'Oslo X B-LOC'"),
    columns("a row with a column too few", b"Anna X B-PER\n\nOslo\n", ":3:", "1 column"),
    columns(
        "the tag is asked for from where no column is",
        GOOD,
        ":1:",
        "2 columns",
        "data.columns",
        call=["data.columns.tag=3"],
    ),
    columns(
        "the word is asked for from where no column is", GOOD, ":1:", "data.columns", call=["data.columns.word=-4"]
    ),
    columns(
        "a further column is asked for from where none is", GOOD, ":1:", "data.columns", call=["+data.columns.pos=2"]
    ),
    columns(
        "tabs come first and blanks later",
        b"Anna\tB-PER\nOslo B-LOC\n",
        ":2:",
        "1 column",
        "split on tabs",
        "data.separator",
    ),
    columns(
        "blanks are stated and there are tabs",
        b"Anna\tB-PER\n",
        ":1:",
        "1 column",
        "data.separator",
        call=["data.separator=space"],
    ),
    columns(
        "single blanks are stated and there are two",
        b"Anna B-PER\nOslo  B-LOC\n",
        ":2:",
        "3 columns",
        "data.separator",
        call=["data.separator=space"],
    ),
    columns("between tabs the word is empty", b"Anna\tB-PER\n\tO\n", ":2:", "'\\tO'", "fix the line"),
    columns("between tabs the word is a blank", b"Anna\tB-PER\n \tO\n", ":2:", "split on tabs"),
    columns(
        "between tabs the tag is empty",
        b"Anna\tB-PER\tx\nOslo\t\tx\n",
        ":2:",
        "''",
        "Write O",
        call=["data.columns.tag=1"],
    ),
    columns(
        "blanks that are no ASCII part no columns", "Anna\u00a0B-PER\n".encode(), ":1:", "1 column", "data.separator"
    ),
    columns(
        "a blank that is no ASCII stands within a row",
        GOOD + "Oslo\u00a0B-LOC\n".encode(),
        ":8:",
        "1 column",
        "'Oslo\\xa0B-LOC'",
    ),
    columns(
        "a letter of no width hangs on a tag",
        GOOD + "Oslo B-LOC\u200b\n".encode(),
        ":8:",
        "'B-LOC\\u200b'",
        "data.columns.tag",
    ),
    columns("a tag between tabs holds a blank", b"Anna\tB-PER x\n", ":1:", "'B-PER x'", "B-Drug_Name"),
    columns(
        "JSON lines stand in place of columns",
        b'{"tokens": ["Anna"], "tags": ["B-PER"]}\n',
        ":1:",
        "JSON",
        "blank line between sentences",
    ),
]
BYTES = [
    columns("a NUL byte in a word", GOOD + b"Os\0lo B-LOC\n", ":8:", "NUL", "Os\\x00lo", "damaged"),
    columns(
        "UTF-16 with its mark", GOOD.decode().encode("utf-16"), ":1:", "UTF-16", "iconv -f utf-16 -t utf-8 train.conll"
    ),
    columns(
        "UTF-16 without a mark", GOOD.decode().encode("utf-16-le"), ":1:", "UTF-16LE", "iconv -f utf-16le -t utf-8"
    ),
    columns("UTF-16 the other way round", GOOD.decode().encode("utf-16-be"), ":1:", "UTF-16BE", "iconv -f utf-16be"),
    columns("UTF-32 with its mark", GOOD.decode().encode("utf-32"), ":1:", "UTF-32", "iconv -f utf-32 -t utf-8"),
    columns("UTF-32 without a mark", GOOD.decode().encode("utf-32-be"), ":1:", "UTF-32BE", "iconv -f utf-32be"),
    columns("Latin-1", GOOD + "Málaga B-LOC\n".encode("latin-1"), ":8:", "0xe1", "UTF-8", "iconv -f latin1 -t utf-8"),
    columns("halves of characters written as bytes", GOOD + b"\xed\xa0\x80 O\n", ":8:", "iconv"),
    columns("a character cut in two at the end", GOOD + b"K\xc3", ":8:", "0xc3", "UTF-8", "iconv"),
    *(
        columns(
            f"{what} in place of columns",
            content,
            f":1: it is {'a ' if what in ('zip', 'PDF') else 'packed with '}{what}",
            {"PDF": "plain text"}.get(what, "Unpack it first"),
        )
        for what, content in PACKED.items()
    ),
    columns("a web page in place of columns", PAGE, ":1:", "web page"),
    *(
        columns(f"{what} in place of columns", content, f":1: it is {what}", step)
        for what, content, step in FOREIGN.values()
    ),
    columns("random bytes", bytes(range(128, 256)) * 40, ":1:", "0x80", "UTF-8"),
    columns("one line of 50 MB without a blank", b"x" * 50_000_000, ":1:", "50,000,000", "1,048,576", "line breaks"),
    columns("one line of 50 MB of columns", b"Oslo O " * 7_000_000, ":1:", "49,000,000", "line breaks"),
    columns("a tag of 5,000 letters", GOOD + b"Oslo " + b"X" * 5000 + b"\n", ":8:", "(cut: 5,000 in all)"),
]
EMPTY = [
    columns("a file without a byte", b"", ":", "data.train"),
    columns("a file of a byte order mark", b"\xef\xbb\xbf", ":", "data.train"),
    columns("only empty lines", b"\n \n\t\n\x0c\n\r\n", ":", "data.train"),
    columns("only document marks", b"-DOCSTART- O\n\n-DOCSTART- -X- O O\n", ":", "data.train"),
    columns("a single sentence can hold out no dev", b"Oslo B-LOC\n", ":", "Give", "data.dev=FILE"),
]
PLACES = [
    Case(
        "a folder in place of a file",
        {},
        STATS,
        ["data.train", "{here}/train.conll:", "is a folder", "Give"],
        make=["folder train.conll"],
    ),
    Case(
        "a pipe in place of a file",
        {},
        STATS,
        ["{here}/train.conll:", "pipe or a device", "Give"],
        make=["pipe train.conll"],
    ),
    Case(
        "a device in place of a file",
        {},
        ["data", "stats", "data=files", "data.train=/dev/zero"],
        ["/dev/zero", "pipe or a device", "Give"],
    ),
    Case(
        "a link that leads nowhere",
        {},
        STATS,
        ["{here}/train.conll:", "is a link to gone.conll"],
        make=["link train.conll gone.conll"],
    ),
    Case("a link to itself", {}, STATS, ["{here}/train.conll", "a link to"], make=["link train.conll train.conll"]),
    Case(
        "a name that is misspelt",
        {"train.conl": GOOD},
        STATS,
        ["{here}/train.conll:", "Did you mean 'train.conl'?", "Give"],
    ),
    Case(
        "a folder that is missing",
        {},
        [*STATS[:3], "data.train={here}/gone/train.conll"],
        ["{here}/gone/train.conll:", "{here}/gone."],
    ),
    Case(
        "a corpus's folder without its files",
        {"other.txt": GOOD},
        ["data", "stats", "data=conll2003", "data.dir={here}"],
        ["data.dir={here}:", "train.txt or eng.train", "data.train=FILE"],
    ),
    Case(
        "a corpus's folder that is missing",
        {},
        ["data", "stats", "data=conll2003", "data.dir={here}/gone"],
        ["data.dir={here}/gone:", "Give"],
    ),
    Case(
        "a file that is not the published one",
        dict.fromkeys(("train.txt", "dev.txt", "test.txt"), b"Oslo NNP I-NP I-LOC\n"),
        ["data", "stats", "data=conll2003", "data.dir={here}"],
        ["{here}/train.txt:", "14,041", "data.verify=false"],
    ),
    Case(
        "dev is bad where train is good",
        {"train.conll": GOOD, "dev.conll": b"Oslo LOC\n"},
        [*STATS, "data.dev={here}/dev.conll"],
        ["{here}/dev.conll:1:", "'LOC'"],
    ),
]
TAGS = [
    columns("a tag in small letters", b"Anna b-per\n", ":1:", "'b-per'", "capital letters", "sed -E"),
    columns("a tag without its dash", GOOD + b"Oslo BLOC\n", ":8:", "'BLOC'"),
    columns("a tag without its letter", b"Oslo LOC\n", ":1:", "'LOC'", "data.columns.tag"),
    columns("a tag of an unknown letter", b"Oslo X-LOC\n", ":1:", "'X-LOC'", "data.columns.tag"),
    columns("a tag without a type", b"Oslo B-\n", ":1:", "'B-'", "no entity type", "sed -E"),
    columns("a zero for the letter O", b"won 0\n", ":1:", "'0'", "data.columns.tag"),
    columns("letters of two schemes", b"Oslo S-LOC\n\nBergen U-LOC\n", ":3:", "IOBES", "BILOU"),
    columns(
        "another scheme than the stated one",
        b"Oslo I-LOC\n",
        ":1:",
        "IOB2",
        "data.file_scheme",
        call=["data.file_scheme=IOB2"],
    ),
    columns("a stated scheme that there is not", GOOD, "'BMES'", "IOBES", call=["data.file_scheme=BMES"]),
]
TAGS[-1] = Case(TAGS[-1].name, TAGS[-1].files, TAGS[-1].call, TAGS[-1].says[1:])
MARKUP_CALL = [*STATS, "data.format=markup"]
MARKUP = [
    Case(
        "a bracket that is never closed",
        {"train.conll": b"# a | news\n[LOC Oslo won.\n"},
        MARKUP_CALL,
        ["{here}/train.conll:2:", "[TYPE words]"],
    ),
    Case(
        "an entity that ends within a word",
        {"train.conll": b"# a | news\n[LOC Os]lo won.\n"},
        MARKUP_CALL,
        ["{here}/train.conll:2:", "'Os'", "Oslo won ."],
    ),
    Case(
        "markup of titles alone",
        {"train.conll": b"# a | news\n\n# b | news\n"},
        MARKUP_CALL,
        ["{here}/train.conll:", "data.train"],
    ),
    Case(
        "markup of one line of 50 MB",
        {"train.conll": b"# a | news\n" + b"Oslo " * 10_000_000},
        MARKUP_CALL,
        ["{here}/train.conll:2:", "50,000,000"],
    ),
]


def vectors(name: str, content: bytes, *says: str, file: str = "vectors.txt", call: Sequence[str] = ()) -> Case:
    given = ["word_embedding=file", "word_embedding.path={here}/" + file]
    return Case(name, {file: content}, ["train", "SMALL", *given, *call], ["{here}/" + file, *says])


SENNA = ("train", "SMALL", "word_embedding=senna", "word_embedding.path={here}/embeddings.txt")
GLOVE = ("word_embedding=glove", "word_embedding.path={here}/vectors.zip")
BINARY = binary(3, 2, {b"anna": [1, 2], b"oslo": [3, 4], b"won": [5, 6]})
VECTOR_FILES = [
    vectors("vectors of two sizes", VECTORS + b"won 1 2\n", ":4:", "2 numbers"),
    vectors(
        "a vector with a word for a number",
        VECTORS + b"nordbank 1 x 3\n",
        ":4:",
        "'nordbank'",
        "damaged",
        call=["data.lowercase=true"],
    ),
    vectors("a vector with what is not a number", VECTORS + b"holm 1 nan 3\n", ":4:", "'holm'", "finite"),
    vectors("a vector with a number too large", VECTORS + b"holm 1 1e99 3\n", ":4:", "'holm'", "finite"),
    vectors("a header that promises more words", b"9 3\n" + VECTORS, ":", "3 vectors"),
    vectors("a header that promises longer vectors", b"3 4\n" + VECTORS, ":2:", "3 numbers"),
    vectors("a header that promises shorter vectors", b"3 2\n" + VECTORS, ":2:", "3 numbers"),
    vectors("a header that is out of the world", b"999999999999 999999999\n" + VECTORS, ":1:", "99,999 dimensions"),
    vectors("a header of thousands of digits", b"1" * 5000 + b" 3\n" + VECTORS, ":1:", "(cut: 5,000 in all)"),
    vectors("vectors without a byte", b"", ":"),
    vectors("a header and nothing more", b"3 3\n", ":"),
    vectors("words without vectors", b"anna\noslo\n", ":1:", "b'anna\\n'"),
    vectors("an empty line among vectors", VECTORS + b"\nwon 1 2 3\n", ":4:", "0 numbers"),
    vectors("a web page for vectors", PAGE, ":1:", "web page"),
    vectors("vectors in UTF-16", VECTORS.decode().encode("utf-16"), ":1:", "UTF-16", "iconv -f utf-16"),
    vectors("a packed file under a text's name", PACKED["gzip"], ":1:", "gunzip vectors.txt"),
    vectors("one line of vectors of 50 MB", b"1.0 " * 12_500_000, ":1:", "4,194,304 bytes", "line breaks"),
    vectors("vectors for other words", b"xxx 1 2 3\nyyy 4 5 6\n", ":", "word_embedding.min_coverage"),
    vectors(
        "a binary whose word holds a blank", binary(3, 2, {b"anna": [1, 2], b"new york": [3, 4], b"won": [5, 6]}), ":"
    ),
    vectors(
        "a binary whose last word holds a blank",
        binary(2, 3, {b"anna": [1, 2, 3], b"new york": [3, 4, 5]}),
        ":",
        "6 bytes",
        "2 vectors",
    ),
    vectors("a binary that is cut short", BINARY[:-4], ":"),
    vectors("a binary that promises more words", b"99999999999" + BINARY[1:], ":", "99,999,999,999"),
    vectors("a binary of vectors out of the world", b"3 99999999999\nanna " + bytes(8), ":1:", "99,999 dimensions"),
    vectors("a binary without dimensions", b"3 0\nanna \1\2\3\4", ":1:", "dimensions"),
    vectors(
        "a binary with what is not a number",
        binary(2, 2, {b"oslo": [1, 2], b"holm": [float("nan"), 1]}),
        ":",
        "'holm'",
        "finite",
    ),
    vectors("gz cut short", PACKED["gzip"][:-9], ":", "damaged", file="vectors.gz"),
    vectors("gz with a byte turned", turned(PACKED["gzip"], 14), ":", "damaged", file="vectors.gz"),
    vectors("a web page under the name of a gz", PAGE, ":", "damaged", "web page", file="vectors.gz"),
    vectors("zip cut short", PACKED["zip"][:-9], ":", "damaged", file="vectors.zip"),
    vectors("zip with a byte turned", turned(zipped({"a": VECTORS}), 34), ":", "damaged", file="vectors.zip"),
    vectors("a web page under the name of a zip", PAGE, ":", "damaged", "web page", file="vectors.zip"),
    vectors(
        "zip with several files",
        zipped({"a.txt": VECTORS, "b.txt": VECTORS}),
        ":",
        "2 files",
        "Unpack",
        file="vectors.zip",
    ),
    vectors("zip without a file", zipped({}), ":", file="vectors.zip"),
    vectors("zip with a password", locked(zipped({"a": VECTORS})), "password", "Unpack", file="vectors.zip"),
    Case(
        "zip of GloVe without the vectors wanted",
        {"vectors.zip": zipped({"glove.6B.50d.txt": VECTORS, "x": b""})},
        ["train", "SMALL", *GLOVE, "word_embedding.dim=100"],
        ["{here}/vectors.zip:", "'glove.6B.100d.txt'", "Unpack"],
    ),
    Case(
        "vectors of other dimensions than stated",
        {"vectors.zip": zipped({"glove.txt": VECTORS})},
        ["train", "SMALL", *GLOVE, "word_embedding.dim=100"],
        ["{here}/vectors.zip:", "3 dimensions", "word_embedding.dim", "word_embedding.dim=3"],
    ),
    Case(
        "SENNA with more words than vectors",
        {"embeddings.txt": b"1 2\n3 4\n", "words.lst": b"anna\noslo\nwon\n"},
        SENNA,
        ["{here}/words.lst", "3 words", "{here}/embeddings.txt", "2 vectors", "word_embedding.words"],
    ),
    Case(
        "SENNA without its words",
        {"embeddings.txt": b"1 2\n3 4\n"},
        SENNA,
        ["{here}/embeddings.txt", "word_embedding.words=.../words.lst"],
    ),
    Case(
        "SENNA with vectors of two sizes",
        {"embeddings.txt": b"1 2\n3\n", "words.lst": b"anna\noslo\n"},
        SENNA,
        ["{here}/embeddings.txt:2:", "1 numbers"],
    ),
    Case(
        "SENNA with what is not a number",
        {"embeddings.txt": b"1 2\n3 nan\n", "words.lst": b"anna\noslo\n"},
        SENNA,
        ["{here}/embeddings.txt:2:", "finite"],
    ),
    Case("SENNA without a vector", {"embeddings.txt": b"", "words.lst": b""}, SENNA, ["{here}/embeddings.txt:1:"]),
    Case(
        "vectors that are missing",
        {"vectors.tx": VECTORS},
        ["train", "SMALL", "word_embedding=file", "word_embedding.path={here}/vectors.txt"],
        ["word_embedding.path={here}/vectors.txt:", "Did you mean 'vectors.tx'?"],
    ),
    Case(
        "a folder of vectors",
        {},
        ["train", "SMALL", "word_embedding=file", "word_embedding.path={here}"],
        ["word_embedding.path={here}:", "is a folder"],
    ),
]


def gazetteer(name: str, content: bytes, *says: str, call: Sequence[str] = ()) -> Case:
    files = {f"ner.{kind}.lst": b"Anna Holm\n" for kind in ("loc", "misc", "org")} | {"ner.per.lst": content}
    given = ["features=gazetteer", "features.dir={here}", "features.whole_only=false"]
    return Case(name, files, ["train", "SMALL", *given, *call], [*says])


def of_names(name: str, content: bytes, *says: str) -> Case:
    call = ["data", "lexicon", "input={here}/names.txt", "output={here}/lexicon.txt"]
    return Case(name, {"names.txt": content, "lexicon.txt": b"Oslo\n"}, call, ["{here}/names.txt", *says])


LEXICONS = [
    gazetteer("a gazetteer without an entry", b"\n \n", "entries.PER", "{here}/ner.per.lst", "one name per line"),
    gazetteer("a gazetteer in UTF-16", b"Anna\n".decode().encode("utf-16"), "{here}/ner.per.lst:1:", "UTF-16", "iconv"),
    gazetteer("a gazetteer that is packed", PACKED["gzip"], "{here}/ner.per.lst:1:", "gunzip ner.per.lst"),
    gazetteer(
        "a gazetteer of a single long line",
        b"Anna Holm " * 100_000,
        "{here}/ner.per.lst:1:",
        "1,000,000",
        "one name per line",
    ),
    gazetteer("a gazetteer with a NUL byte", b"Anna\nHo\0lm\n", "{here}/ner.per.lst:2:", "NUL", "damaged"),
    gazetteer(
        "a list whose lines nobody marks",
        b"Anna\n",
        "ner.loc.dat",
        "whole_only: false",
        call=["features.whole_only=true"],
    ),
    Case(
        "a gazetteer that is missing",
        {"ner.loc.list": b"Oslo\n"},
        ["train", "SMALL", "features=gazetteer", "features.dir={here}"],
        ["entries.LOC", "{here}/ner.loc.lst", "Did you mean 'ner.loc.list'?"],
    ),
    Case(
        "a folder in place of a gazetteer",
        {},
        ["train", "SMALL", "features=gazetteer", "features.dir={here}"],
        ["entries.LOC", "{here}/ner.loc.lst", "is a folder"],
        make=["folder ner.loc.lst"],
    ),
    Case(
        "a folder of gazetteers that is missing",
        {},
        ["train", "SMALL", "features=gazetteer", "features.dir={here}/gone"],
        ["{here}/gone"],
    ),
    of_names("names in UTF-16", "Ålesund\n".encode("utf-16"), ":1:", "UTF-16", "iconv -f utf-16 -t utf-8 names.txt"),
    of_names("names that are a web page of one line", b"<p>" * 5000, ":1:", "15,000", "one name per line"),
    Case(
        "names that are missing",
        {"name.txt": b""},
        ["data", "lexicon", "input={here}/names.txt", "output={here}/x"],
        ["input={here}/names.txt:", "Did you mean 'name.txt'?"],
    ),
]


def predict(name: str, content: bytes, *says: str, file: str = "in.jsonl", call: Sequence[str] = ()) -> Case:
    given = ["predict", "run=RUN", "threads=1", "input={here}/" + file]
    return Case(name, {file: content}, [*given, *call], ["{here}/" + file, *says])


SOUND = b'{"tokens": ["Oslo"]}\n'
PREDICT = [
    predict("JSON that breaks off", SOUND + b'{"tokens": ["Anna"\n', ":2:", "JSON", 'Expected {{"tokens"'),
    predict("JSON that is plain text", SOUND * 2 + b"Anna won.\n", ":3:", "JSON", "'Anna won.'"),
    predict("tokens that are numbers", SOUND + b'{"tokens": ["Anna", 3]}\n', ":2:", "'3'", "Expected"),
    predict("tokens that are one string", b'{"tokens": "Anna"}\n', ":1:", '"Anna"'),
    predict("tokens that are null", b'{"tokens": null}\n', ":1:", "null"),
    predict("tokens within tokens", b'{"tokens": [["Anna"]]}\n', ":1:", "'[\"Anna\"]'", "Expected"),
    predict("a token that is empty", b'{"tokens": ["Anna", ""]}\n', ":1:", "'\"\"'"),
    predict("a list in place of an object", b'["Anna"]\n', ":1:", '["Anna"]'),
    predict("text that is a number", b'{"text": 3}\n', ":1:", '"text": 3'),
    predict("keys of another program", b'{"words": ["Anna"]}\n', ":1:", '"words"'),
    predict("half a character in an escape", SOUND + b'{"tokens": ["\\ud83d"]}\n', ":2:", "'\\ud83d'"),
    predict("half a character in running text", SOUND + b'{"text": "a \\udc00"}\n', ":2:", "'\\udc00'"),
    predict("JSON nested without end", SOUND + b"[" * 100_000 + b"\n", ":2:", "(cut: 100,000 in all)"),
    predict("a number of thousands of digits", b'{"tokens": [' + b"1" * 5000 + b"]}\n", ":1:", "digits"),
    predict(
        "bytes that are no UTF-8", SOUND + b'{"tokens": ["M\xe1laga"]}\n', ":2:", "0xe1", "UTF-8", "iconv -f latin1"
    ),
    predict("an input in UTF-16", "Anna won.\n".encode("utf-16"), ":1:", "UTF-16", "iconv -f utf-16", file="in.txt"),
    predict("a NUL byte", b"Anna won.\nO\0slo.\n", ":2:", "NUL", "damaged", file="in.txt"),
    predict("a packed input", PACKED["gzip"], ":1:", "gunzip in.txt", file="in.txt"),
    predict("one line of 50 MB", b"Oslo " * 10_000_000, ":1:", "8,388,608 bytes", file="in.txt"),
    predict(
        "columns of 50 MB without an empty line", b"Oslo O\n" * 7_000_000, ":1:", "8,388,608 bytes", file="in.conll"
    ),
    predict("columns that change their number", b"Anna X\n\nOslo X Y\n", ":3:", "3 columns", file="in.conll"),
    predict("an empty word between tabs", b"Anna\tX\n\tX\n", ":2:", file="in.conll"),
    predict(
        "a line of a million letters among columns",
        b"Anna X\n" + b"y" * 1_100_000 + b" X\n",
        ":2:",
        "1,100,002",
        file="in.conll",
    ),
    Case(
        "an input that is missing",
        {"in.txt": b""},
        ["predict", "run=RUN", "input={here}/in.tx"],
        ["input={here}/in.tx:", "Did you mean 'in.txt'?"],
    ),
    Case("a folder for an input", {}, ["predict", "run=RUN", "input={here}"], ["input={here}:", "is a folder", "Give"]),
    Case(
        "a device for an input",
        {},
        ["predict", "run=RUN", "input=/dev/zero"],
        ["/dev/zero", "pipe or a device", "Give"],
    ),
]
CASES = [*COLUMNS, *BYTES, *EMPTY, *PLACES, *TAGS, *MARKUP, *VECTOR_FILES, *LEXICONS, *PREDICT]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], Path]:
    """Writes the files of a case to a folder of its own."""

    def write(case: Case) -> Path:
        here = tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(tmp_path)
        for name, content in case.files.items():
            (here / name).write_bytes(content)
        for line in case.make:
            make, name, *target = line.split()
            match make:
                case "folder":
                    (here / name).mkdir()
                case "pipe":
                    os.mkfifo(here / name)
                case "link":
                    (here / name).symlink_to(target[0])
        return here

    return write


@pytest.fixture
def arguments(small: list[str], request: pytest.FixtureRequest) -> Callable[[Case, Path], list[str]]:
    """A case's call with its places filled in."""

    def arguments(case: Case, here: Path) -> list[str]:
        found: list[str] = []
        for argument in case.call:
            if argument == "SMALL":
                found += [setting for setting in small if not setting.startswith("word_embedding")]
            elif argument == "run=RUN":
                found.append(f"run={request.getfixturevalue('run')}")
            else:
                found.append(argument.replace("{here}", str(here)))
        return found

    return arguments


def sums_of(folder: Path) -> dict[Path, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def name_of(case: Case) -> str:
    return case.name.replace(" ", "_")


@pytest.fixture(scope="module")
def composed(small: list[str]) -> Callable[[Sequence[str]], DictConfig]:
    """A config, of which only new choices of options are composed anew."""
    known: dict[tuple[str, ...], DictConfig] = {}

    def compose(settings: Sequence[str], config_dirs: Sequence[str] = ()) -> DictConfig:
        choices = tuple(setting for setting in settings if "." not in setting.partition("=")[0])
        if choices not in known:
            known[choices] = compose_config([*choices, "logger=none", "threads=1"])
        cfg = known[choices].copy()
        for setting in settings:
            key, _, value = setting.lstrip("+").partition("=")
            if "." in key:
                OmegaConf.update(cfg, key, yaml.safe_load(value), force_add=True)
        return cfg

    return compose


@pytest.fixture(scope="module")
def loaded(run: Path) -> TrainedTagger:
    return load(run)


@pytest.fixture
def quick(
    composed: Callable[[Sequence[str]], DictConfig], loaded: TrainedTagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands, but configs are not composed and the tagger is not loaded each time; training only prepares."""

    def prepare_alone() -> None:
        cfg = composed(sys.argv[1:])
        prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))

    monkeypatch.setattr("ner_lab.cli.train.main", lambda: run_command(prepare_alone))
    monkeypatch.setattr("ner_lab.cli.data.data_section", composed)
    monkeypatch.setattr(importlib.import_module("ner_lab.cli.predict"), "load", lambda folder: loaded)


def assert_refused(outcome: Outcome, case: Case, here: Path) -> None:
    assert outcome.code == 2, outcome.said
    assert "Traceback" not in outcome.said
    message = outcome.said[outcome.said.rindex("error: ") :]
    for part in case.says:
        assert part.format(here=here) in message
    assert re.search(r"[.?;] [A-Za-z`]", message), "a next step"
    assert len(message) < 1500
    assert all(letter.isprintable() or letter == "\n" for letter in message)
    assert {name: (here / name).read_bytes() for name in case.files} == dict(case.files)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_bad_data_is_refused_with_its_place_what_was_found_and_the_next_step(
    case: Case,
    write: Callable[[Case], Path],
    arguments: Callable[[Case, Path], list[str]],
    cli: Callable[..., Outcome],
    quick: None,
) -> None:
    here = write(case)
    assert_refused(cli(*arguments(case, here)), case, here)


FROM_A_SHELL = {COLUMNS[1].name, VECTOR_FILES[0].name, LEXICONS[1].name, PREDICT[0].name}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name_of(case), marks=[pytest.mark.soak] * (case.name not in FROM_A_SHELL))
        for case in CASES
    ],
)
def test_bad_data_is_refused_as_from_a_shell(
    case: Case,
    write: Callable[[Case], Path],
    arguments: Callable[[Case, Path], list[str]],
    cli: Callable[..., Outcome],
    corpus: Path,
) -> None:
    here = write(case)
    good = sums_of(corpus)
    assert_refused(cli(*arguments(case, here)), case, here)
    assert sums_of(corpus) == good


def test_cases_have_names_of_their_own_and_are_many() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 130


@pytest.mark.parametrize("case", [COLUMNS[3], BYTES[6], TAGS[0]], ids=name_of)
def test_scoring_refuses_what_training_refuses(
    case: Case, write: Callable[[Case], Path], run: Path, cli: Callable[..., Outcome]
) -> None:
    here = write(case)
    before = sums_of(run)
    outcome = cli("evaluate", f"run={run}", "data=files", f"data.test={here}/train.conll", f"output={here}/scores")
    assert_refused(outcome, case, here)
    assert sums_of(run) == before
    assert not (here / "scores").exists()


# what is sound, however strange


SOUND_FILES = {
    "no line break at the end": GOOD.rstrip(b"\n"),
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "CRLF": GOOD.replace(b"\n", b"\r\n"),
    "CRLF and LF mixed": GOOD.replace(b"Holm I-PER\n", b"Holm I-PER\r\n"),
    "separators at the end": GOOD.replace(b"-PER\n", b"-PER \t\n"),
    "a form feed between sentences": GOOD.replace(b"\n\n", b"\n\x0c\n"),
    "a word of blanks that are no ASCII": GOOD.replace(b"lives", "\u3000\u200b".encode()),
    "a word of 5,000 letters": GOOD.replace(b"lives", b"l" * 5000),
    "a document mark alone at the end": GOOD + b"-DOCSTART- O\n",
}


@pytest.mark.parametrize("name", SOUND_FILES)
def test_what_changes_no_score_is_read(name: str, tmp_path: Path, cli: Callable[..., Outcome], quick: None) -> None:
    (tmp_path / "train.conll").write_bytes(SOUND_FILES[name])
    outcome = cli(
        "data", "stats", "data=files", f"data.test={tmp_path}/train.conll", f"data.train={tmp_path}/train.conll"
    )
    assert outcome.code == 0, outcome.said
    for part in ("2", "5", "LOC", "PER"):
        assert part in outcome.said


def test_types_that_train_lacks_are_named_once_with_their_line(
    tmp_path: Path, corpus: Path, composed: Callable[[Sequence[str]], DictConfig]
) -> None:
    (tmp_path / "dev.conll").write_bytes(GOOD + b"Monday B-DATE\n\nFriday B-DATE\n")
    cfg = composed(["data=files", f"data.train={corpus}/train.conll", f"data.dev={tmp_path}/dev.conll"])
    warnings = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg)).warnings
    assert warnings[-1].startswith("dev: 1 type that train lacks: DATE; 2 entities")
    assert f"{tmp_path}/dev.conll:8" in warnings[-1]


def test_train_may_be_dev(composed: Callable[[Sequence[str]], DictConfig], corpus: Path) -> None:
    cfg = composed(["data=files", f"data.train={corpus}/train.conll", f"data.dev={corpus}/train.conll"])
    prepared = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))
    assert prepared.counts["train"] == prepared.counts["dev"]


STRANGE_VECTORS = {
    "as it is": VECTORS,
    "CRLF": VECTORS.replace(b"\n", b"\r\n"),
    "tabs": VECTORS.replace(b" ", b"\t"),
    "blanks at the end": VECTORS.replace(b"\n", b" \n"),
    "no line break at the end": VECTORS[:-1],
    "a header": b"3 3\n" + VECTORS,
    "a word with blanks": VECTORS + b". . . 1 2 3\n",
    "a word with a blank that is no ASCII": VECTORS + "a\u00a0b 1 2 3\n".encode(),
    "an empty word": VECTORS + b" 1 2 3\n",
    "a word of digits": VECTORS + b"1998 1 2 3\n",
}


@pytest.mark.parametrize("name", STRANGE_VECTORS)
def test_vectors_that_are_strange_but_sound_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_bytes(STRANGE_VECTORS[name])
    for cache in (None, tmp_path / "cache"):
        words, matrix = read_stored(tmp_path / "vectors.txt", {"anna", "lives"}, cache, any_format=True)
        assert dict(zip(words, matrix.tolist(), strict=True)) == {
            "anna": pytest.approx([0.1, 0.2, 0.3]),
            "lives": pytest.approx([0.7, 0.8, 0.9]),
        }


@pytest.mark.parametrize("cache", [None, "cache"])
@pytest.mark.parametrize(("times", "says"), [(1, "1 line repeats a word"), (3, "3 lines repeat a word")])
def test_words_that_stand_twice_are_said_once_and_the_first_is_taken(
    times: int, says: str, cache: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(VECTORS + b"anna 7 8 9\n" * times)
    for _ in range(2 if cache else 1):
        words, matrix = read_stored(path, None, tmp_path / cache if cache else None, any_format=True)
    assert words == ["anna", "oslo", "lives"]
    assert matrix[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert [record.getMessage() for record in caplog.records if "first vector is used" in record.getMessage()] == [
        f"{path}: {says} of an earlier line; the first vector is used"
    ]


@pytest.mark.parametrize(
    ("name", "content", "written"),
    [
        ("in.jsonl", b"", ""),
        ("in.conll", b"", ""),
        ("in.txt", b"", ""),
        ("in.jsonl", b"\n \n", ""),
        ("in.conll", b"\n\t\n \n", ""),
        ("in.txt", b"\n", ""),
        ("in.jsonl", b'{"tokens": []}\n', ""),
        ("in.unknown", b"\xef\xbb\xbf", ""),
        ("in.jsonl", b'{"tokens": ["zzz yyy", "x\\ny", "\\u0000", "w\\t"]}', "zzz_yyy O\nx_y O\n_ O\nw_ O\n\n"),
        ("in.unknown", b"zzz\n\nyyy", "zzz O\n\nyyy O\n\n"),
    ],
)
def test_inputs_that_are_empty_or_strange_but_sound_are_tagged(
    name: str, content: bytes, written: str, tmp_path: Path, run: Path, cli: Callable[..., Outcome], quick: None
) -> None:
    (tmp_path / name).write_bytes(content)
    outcome = cli("predict", f"run={run}", f"input={tmp_path / name}", "threads=1")
    assert outcome.code == 0, outcome.said
    assert re.sub(r" [BI]-[A-Z]+\n", " O\n", outcome.out) == written


def test_what_stands_before_an_error_is_written_but_never_over_an_earlier_output(
    tmp_path: Path, run: Path, cli: Callable[..., Outcome], quick: None
) -> None:
    (tmp_path / "in.txt").write_bytes(b"Anna Holm lives in Oslo.\n" + b"x " * 5_000_000)
    (tmp_path / "out").write_text("Oslo B-LOC\n\n")
    call = ["predict", f"run={run}", f"input={tmp_path}/in.txt", "threads=1"]
    for target in ("-", f"{tmp_path}/out"):
        outcome = cli(*call, f"output={target}")
        assert outcome.code == 2
        assert "in.txt:2: no line break in 8,388,608 bytes" in outcome.err
        if target == "-":
            words = [line.split(" ")[0] for line in outcome.out.split("\n")]
            assert words == ["Anna", "Holm", "lives", "in", "Oslo", ".", "", ""]
    assert (tmp_path / "out").read_text() == "Oslo B-LOC\n\n"


def test_a_pipe_with_a_name_is_tagged(tmp_path: Path, run: Path, cli: Callable[..., Outcome], quick: None) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"Oslo\n",))
    writer.start()
    outcome = cli("predict", f"run={run}", f"input={tmp_path}/pipe", "threads=1")
    writer.join()
    assert outcome.code == 0
    assert outcome.out.startswith("Oslo ")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    (tmp_path / "train.conll").write_bytes(GOOD)
    (tmp_path / "train.conll").chmod(0)
    outcome = cli("data", "stats", "data=files", f"data.train={tmp_path}/train.conll")
    assert outcome.code == 2
    assert f"{tmp_path}/train.conll: Permission denied" in outcome.said


# downloads


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A web site that has a sound archive, and a page in place of another."""
    held = {
        "/corpus.zip": zipped({"train.txt": GOOD}),
        "/page.zip": PAGE,
        "/locked.zip": locked(zipped({"train.txt": GOOD})),
    }
    held["/corpus.gz"], held["/cut.gz"] = PACKED["gzip"], PACKED["gzip"][:-6]

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = held.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


DOWNLOADS = [
    ("corpus.zip", "sha256:" + "0" * 64, "train.txt", ["its sha256 is", "expected 000000", "The file was deleted"]),
    ("page.zip", "sha256:" + "0" * 64, "train.txt", ["its sha256 is", "expected 000000"]),
    ("page.zip", None, "train.txt", ["page.zip: File is not a zip file", "Delete the file"]),
    ("locked.zip", None, "train.txt", ["locked.zip: ", "password", "Unpack it with another program"]),
    ("corpus.zip", None, "dev.txt", ["no 'dev.txt' in the archive, which has train.txt"]),
    ("cut.gz", None, "train.txt", ["cut.gz: Compressed file ended before the end", "Delete the file"]),
    ("none.zip", None, "train.txt", ["could not be downloaded: Not Found"]),
]


@pytest.mark.parametrize(("name", "checksum", "member", "says"), DOWNLOADS)
def test_a_bad_download_is_refused_and_leaves_nothing_to_be_taken_for_it(
    name: str,
    checksum: str | None,
    member: str,
    says: list[str],
    site: str,
    tmp_path: Path,
    cli: Callable[..., Outcome],
    quick: None,
) -> None:
    item = (
        f"{{url: '{site}/{name}', checksum: {repr(checksum) if checksum else 'null'}, splits: {{train: '{member}'}}}}"
    )
    outcome = cli("data", "stats", "data=files", f"data.cache_dir={tmp_path}", f"data.downloads=[{item}]")
    assert outcome.code == 2, outcome.said
    assert "Traceback" not in outcome.said
    for part in [*says, "Without the network, give data.dir=FOLDER"]:
        assert part in outcome.said
    left = {path.name for path in (tmp_path / "corpora" / "files").iterdir()}
    assert member not in left
    assert checksum is None or left == {f"{name}.lock"}
