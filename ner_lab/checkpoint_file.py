"""Reads a checkpoint that may be damaged, or a stranger's: no code of it is run, and no changed bit goes unseen."""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from ner_lab.errors import UserError


def read_checkpoint_file(path: Path) -> dict[str, Any]:
    """Tensors and plain data of a file that `torch.save` wrote.

    UserError where there is no such file, where it was cut short or changed, and where it holds anything
    but tensors, numbers, text, lists and dictionaries of them.
    """
    import torch  # the folders of a study are looked through without it

    check_whole(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is wrong with it, it is the file's fault
        reason = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        raise UserError(f"{path}: not a checkpoint that can be read; no code of it was run ({reason}).") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a checkpoint: it holds {type(content).__name__}, not a dictionary.")
    return content


def check_whole(path: Path) -> None:
    """Compare all that a checkpoint holds with the checksums beside it; torch's own reader does not.

    torch writes a zip file whose members are stored as they are, each with its CRC-32. One that is
    compressed is none of torch's, and may unpack to any size.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            changed = _first_changed(file, size)
    except OSError as error:
        if error.filename is not None:  # it is not there, or may not be read
            raise
        raise UserError(f"{path}: cannot be read to its end ({error}).") from None
    except Exception as error:  # zipfile's answers to what is no zip file are many
        raise UserError(
            f"{path}: not a checkpoint, or one that was cut short or damaged ({error}). Train the run again: "
            "ner-lab train --from DIR."
        ) from None
    if changed is not None:
        raise UserError(
            f"{path}: damaged: {changed} does not have the checksum that was written with it. Train the run again: "
            "ner-lab train --from DIR."
        )


def _first_changed(file: BinaryIO, size: int) -> str | None:
    """The first member of a zip file of `size` bytes without the checksum it should have."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in members):
            raise ValueError("a zip file that torch did not write: it is compressed")
        if sum(one.file_size for one in members) > size:
            raise ValueError("its members are larger than itself")
        return archive.testzip()
