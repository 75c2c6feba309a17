"""Arrays in a file, laid out as safetensors lays them out: written as they come, mapped when they are read."""

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

_DTYPES = {
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    "BOOL": "|b1",
}
"""Kinds of numbers, as safetensors and as numpy name them."""
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_ALIGNED = 8


def write_arrays(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Write eight bytes of the header's length, the header, the numbers; nothing is copied that lies in order."""
    ordered = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))  # each begins at a multiple of its size
    header, end = {}, 0
    for name, array in ordered.items():
        begin, end = end, end + array.nbytes
        kind = _NAMES[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    file.write(len(text).to_bytes(8, "little") + text)
    for array in ordered.values():
        file.write(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, mapped: the runs on a machine share the pages, and a run loads those it touches.

    They may be written to; that changes neither the file nor what others see. ValueError where the file is
    not whole.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header.pop("__metadata__", None)
    arrays = {}
    for name, array in header.items():
        start, end = (begin + offset for offset in array["data_offsets"])
        dtype, shape = np.dtype(_DTYPES[array["dtype"]]), array["shape"]
        number = math.prod(shape)
        if end - start != number * dtype.itemsize or end > len(content):
            raise ValueError(f"{path.name} is not whole")
        # an array without numbers may begin where the file ends
        flat = np.frombuffer(content, dtype, number, start) if number else np.empty(0, dtype)
        arrays[name] = flat.reshape(shape)
    return arrays
