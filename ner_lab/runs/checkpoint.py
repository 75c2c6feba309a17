"""Writes checkpoints, and reads checkpoints that may be damaged or untrusted without running code from them.

A checkpoint is the zip file that `torch.save` writes, with the SHA-256 of all of it as the file's comment. torch
verifies no checksums, and a zip file's member checksums do not cover the recorded start positions of the members.
"""

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

from ner_lab.errors import UserError
from ner_lab.io.atomic import whole_file

_MARK = b"sha256="
_NO_COMMENT = b"\0\0"
"""The end of a zip file without a comment: its length."""
_AGAIN = "Train the run again: ner-lab train --from DIR."
_ZIP = b"PK\x03\x04"  # magic bytes of torch's zip files; torch treats anything else as an older format
_NUMBERS_AND_TEXT = (str, int, float, bool, type(None))


def write_checkpoint_file(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain data atomically."""
    import torch

    with whole_file(path, "wb") as file:
        target: Any = _Summed(file)
        try:
            torch.save(dict(content), target)
        except RuntimeError as error:  # torch raises this for any file error
            raise (target.error or error) from None
        target.seal()


class _Summed:
    """A writable file that hashes what is written and remembers errors."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None
        self._digest = hashlib.sha256()
        self._end = b""

    def write(self, content: Any) -> int:
        try:
            written = self.file.write(content)
        except OSError as error:
            self.error = error
            raise
        self._digest.update(content)
        self._end = (self._end + bytes(content[-len(_NO_COMMENT) :]))[-len(_NO_COMMENT) :]
        return written

    def flush(self) -> None:
        self.file.flush()

    def seal(self) -> None:
        """Write the checksum as the zip comment, at the end of the file."""
        assert self._end == _NO_COMMENT
        comment = _MARK + self._digest.hexdigest().encode()
        self.file.flush()
        self.file.seek(-len(_NO_COMMENT), os.SEEK_END)
        self.file.write(len(comment).to_bytes(len(_NO_COMMENT), "little") + comment)


def read_checkpoint_file(path: Path) -> dict[str, Any]:
    """Read tensors and plain data from a file that `torch.save` wrote.

    UserError if the file is missing, truncated or changed, or if it holds anything but tensors, numbers, text, and
    lists and dictionaries of them.
    """
    import torch  # reading the folders of a study does not need it

    check_whole(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # any error here is caused by the file
        message = str(error).split("WeightsUnpickler error:")[-1].strip() or type(error).__name__
        raise UserError(
            f"{path}: not a checkpoint, or unreadable; none of its code was run ({message.splitlines()[0]})."
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a checkpoint: it contains {type(content).__name__}, not a dictionary.")
    if strange := _strange_in(content):
        raise UserError(f"{path}: not a checkpoint: it contains {strange}; none of its code was run.")
    return content


def check_whole(path: Path) -> None:
    """Verify a checkpoint's checksum, or, if another program wrote it, the checksums of its members.

    torch stores members uncompressed. A compressed member is not from torch, and may unpack to any size.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            changed = _first_changed(file, size, summed=_has_its_sum(file, size))
    except OSError as error:
        if error.filename is not None:  # missing or not readable
            raise
        raise UserError(f"{path}: cannot be read to its end ({error}).") from None
    except Exception as error:  # zipfile raises many kinds of errors for invalid files
        raise UserError(f"{path}: not a checkpoint, or truncated or damaged ({error}). {_AGAIN}") from None
    if changed is not None:
        raise UserError(f"{path}: damaged: the checksum of {changed} does not match. {_AGAIN}")


def _has_its_sum(file: BinaryIO, size: int) -> bool:
    """Whether a file of `size` bytes ends with a checksum; if so, it must match all bytes before it."""
    length = len(_MARK) + 2 * hashlib.sha256().digest_size
    begin = size - length - len(_NO_COMMENT)
    if begin < 0:
        return False
    file.seek(begin)
    comment = file.read()[len(_NO_COMMENT) :]
    if not comment.startswith(_MARK):
        if _MARK[:4] in comment:
            raise ValueError("its end is missing, or was changed")
        return False
    file.seek(0)
    digest, left = hashlib.sha256(), begin
    while left and (block := file.read(min(left, 1 << 20))):
        digest.update(block)
        left -= len(block)
    digest.update(_NO_COMMENT)
    if comment[len(_MARK) :] != digest.hexdigest().encode():
        raise ValueError("its checksum does not match")
    return True


def _first_changed(file: BinaryIO, size: int, *, summed: bool) -> str | None:
    """The first member of a zip file of `size` bytes whose checksum does not match.

    summed: the checksum of the whole file is already verified.
    """
    file.seek(0)
    if file.read(len(_ZIP)) != _ZIP:
        raise ValueError("not a zip file written by torch")
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in members):
            raise ValueError("a zip file not written by torch: it is compressed")
        if len(archive.NameToInfo) != len(members):  # readers differ in which duplicate they use
            raise ValueError("a zip file not written by torch: two members have the same name")
        if sum(one.file_size for one in members) > size:
            raise ValueError("its members are larger than itself")
        return None if summed else archive.testzip()


def _strange_in(content: dict[Any, Any]) -> str | None:
    """Describe anything that is neither a plain tensor nor plain data, or contains itself; None if all is valid."""
    import torch

    waiting: list[tuple[Any, bool]] = [(content, False)]
    open_now: set[int] = set()  # containers that enclose the current one
    seen: set[int] = set()
    while waiting:
        one, left = waiting.pop()
        if left:
            open_now.discard(id(one))
        elif isinstance(one, _NUMBERS_AND_TEXT):
            continue
        elif isinstance(one, torch.Tensor):
            if fault := _fault_of(one):
                return fault
        elif not isinstance(one, dict | list | tuple | set):
            return f"an object of {type(one).__name__}"
        elif id(one) in open_now:
            return f"a {type(one).__name__} that holds itself"
        elif id(one) not in seen:
            seen.add(id(one))
            open_now.add(id(one))
            waiting.append((one, True))
            inner = [*one, *one.values()] if isinstance(one, dict) else one
            waiting += [(part, False) for part in inner if not isinstance(part, _NUMBERS_AND_TEXT)]
    return None


def _fault_of(tensor: Any) -> str | None:
    """Why a tensor is not a dense tensor with all its numbers in the file; None if it is."""
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout != torch.strided or tensor.is_quantized:
        return "a tensor of another kind"
    if tensor.device.type != "cpu":
        return f"a tensor without numbers ({tensor.device})"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"a tensor of {tensor.numel():,} numbers, more than lie in it"
    return None
