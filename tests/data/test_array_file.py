"""Arrays in files: the format is that of safetensors, in both directions."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ner_lab.io.array_file import map_arrays, write_arrays

DTYPES = ["int8", "int16", "int32", "int64", "uint8", "uint64", "float16", "float32", "bool"]


def arrays_of(dtype: str) -> dict[str, np.ndarray]:
    arrays = {"odd": np.arange(7).astype(dtype), "deep": np.arange(24).reshape(2, 3, 4).astype(dtype)}
    arrays |= {"none": np.zeros((3, 0), dtype), "scalar": np.array(1, dtype), "across": arrays["deep"].T}
    return {**arrays, "byte": np.array([1], dtype="int8")}


def written(arrays: dict[str, np.ndarray], file: Path) -> Path:
    with file.open("wb") as out:
        write_arrays(out, arrays)
    return file


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_mapping_gives_what_safetensors_reads(tmp_path: Path, dtype: str) -> None:
    file = tmp_path / "arrays.safetensors"
    save_file({name: np.ascontiguousarray(array) for name, array in arrays_of(dtype).items()}, file)
    same(map_arrays(file), load_file(file))


@pytest.mark.parametrize("dtype", DTYPES)
def test_safetensors_and_mapping_read_what_is_written(tmp_path: Path, dtype: str) -> None:
    file = written(arrays_of(dtype), tmp_path / "arrays.safetensors")
    same(load_file(file), arrays_of(dtype))
    same(map_arrays(file), arrays_of(dtype))
    assert all(array.flags.aligned for array in map_arrays(file).values())


def test_numbers_of_another_byte_order_are_written_in_ours(tmp_path: Path) -> None:
    file = written({"a": np.array([1, 258], dtype=">i4")}, tmp_path / "arrays.safetensors")
    same(map_arrays(file), {"a": np.array([1, 258], dtype="<i4")})


def test_nothing_at_all_can_be_written_and_read(tmp_path: Path) -> None:
    file = written({}, tmp_path / "arrays.safetensors")
    assert map_arrays(file) == load_file(file) == {}


def test_arrays_are_mapped_and_what_a_run_writes_into_them_is_its_own(tmp_path: Path) -> None:
    file = written({"starts": np.array([0, 3, 7]), "none": np.zeros((0, 4))}, tmp_path / "arrays.safetensors")
    content = file.read_bytes()
    first, second = map_arrays(file), map_arrays(file)
    assert not first["starts"].flags.owndata
    first["starts"][1] = -7
    assert second["starts"].tolist() == [0, 3, 7]
    assert file.read_bytes() == content


def test_a_file_that_is_cut_short_is_not_whole(tmp_path: Path) -> None:
    file = written({"a": np.arange(9)}, tmp_path / "arrays.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"arrays\.safetensors is not whole"):
        map_arrays(file)
