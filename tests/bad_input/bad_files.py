"""Makers of damaged files, and a case: what is written, what is called, what must be said."""

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GOOD = b"Anna B-PER\nHolm I-PER\nlives O\n\nOslo B-LOC\nwon O\n\n"
PAGE = b'<!DOCTYPE html>\n<html lang="en">\n<body>Please log in</body>\n</html>\n'
VECTORS = b"anna 0.1 0.2 0.3\noslo 0.4 0.5 0.6\nlives 0.7 0.8 0.9\n"


@dataclass(frozen=True)
class Case:
    """`name` is a sentence; in `says` and `call`, `{here}` stands for the folder of the files."""

    name: str
    files: Mapping[str, bytes]
    call: Sequence[str]
    says: Sequence[str]
    make: Sequence[str] = field(default=())
    """Shell-like lines for what no bytes can be: `folder NAME`, `pipe NAME`, `link NAME TARGET`"""


def zipped(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def locked(archive: bytes) -> bytes:
    """A zip file whose first member is said to be encrypted."""
    content = bytearray(archive)
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    return bytes(content)


def binary(words: int, dim: int, vectors: Mapping[bytes, Sequence[float]]) -> bytes:
    rows = [word + b" " + struct.pack(f"<{len(row)}f", *row) + b"\n" for word, row in vectors.items()]
    return f"{words} {dim}\n".encode() + b"".join(rows)


def tarred(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def turned(content: bytes, place: int) -> bytes:
    """One byte is another."""
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


FOREIGN = {
    "parquet": ("a Parquet file", b"PAR1\x15\x04\x15" + bytes(90), "load_dataset('parquet'"),
    "feather": ("an Arrow file", b"ARROW1\0\0\xff\xff\xff\xff" + bytes(90), "Dataset.from_file"),
    "arrow": ("an Arrow stream", b"\xff\xff\xff\xff\x98\1\0\0\x10" + bytes(90), "Dataset.from_file"),
    "spacy": ("a compressed spaCy file", zlib.compress(GOOD * 9), "Write its documents as columns"),
    "fasttext": ("a model of fastText", b"\xba\x16\x4f\x2f\x0c\0\0\0" + bytes(90), "the .vec file"),
    "npy": ("a NumPy array", b"\x93NUMPY\1\0v\0{'descr': '<f4'}\n" + bytes(90), "vectors as text"),
    "safetensors": ("a safetensors file", struct.pack("<Q", 60) + b'{"weight":{"dtype":"F32"}}' + bytes(90), "as text"),
    "torch": ("a file of torch.save", zipped({"archive/data.pkl": b"\x80\2}"}), "Export it as a text file"),
    "gensim": ("a Python pickle", pickle.dumps({"vectors": [1.5]}, 4), "Export it as a text file"),
    "magnitude": ("an SQLite database", b"SQLite format 3\0\x10\0" + bytes(90), "vectors as text"),
    "tar": ("a tar archive", tarred({"train.conll": GOOD}), "tar -xf train.conll"),
}
"""Formats of others: what each is called, its first bytes, and the next step"""
PACKED = {
    "gzip": gzip.compress(GOOD),
    "bzip2": bz2.compress(GOOD),
    "xz": lzma.compress(GOOD),
    "zip": zipped({"train.conll": GOOD}),
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
}
