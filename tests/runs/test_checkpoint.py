"""Checkpoint files that are damaged or hostile: recognised and named, and nothing in them is run."""

import io
import os
import pickle
import posix
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ner_lab.errors import UserError
from ner_lab.runs.checkpoint import read_checkpoint_file, write_checkpoint_file

CONTENT = {
    "state_dict": {f"weight{number}": torch.arange(20.0).reshape(5, 4) + number for number in range(4)},
    "hyper_parameters": {"vocabs": {"a": ["x", 1.5], "none": None, "yes": True}},
    "epoch": 3,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good checkpoint."""
    path = tmp_path / "best.ckpt"
    write_checkpoint_file(path, CONTENT)
    return path


@pytest.fixture
def unsummed(tmp_path: Path) -> Path:
    """A good one that torch alone wrote, without a sum of the whole."""
    path = tmp_path / "best.ckpt"
    torch.save(CONTENT, path)
    return path


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that appears if something in a checkpoint is run."""
    return tmp_path / "marked"


def same(found: dict[str, Any]) -> bool:
    """Whether this is `CONTENT`, bit by bit."""
    weights, own = found["state_dict"], CONTENT["state_dict"]
    assert isinstance(own, dict)
    return (
        found.keys() == CONTENT.keys()
        and (found["epoch"], found["hyper_parameters"]) == (CONTENT["epoch"], CONTENT["hyper_parameters"])
        and weights.keys() == own.keys()
        and all(torch.equal(weights[name], one) for name, one in own.items())
    )


def test_what_was_written_is_read(file: Path) -> None:
    assert same(read_checkpoint_file(file))


def test_torch_reads_it_as_well(file: Path) -> None:
    assert same(torch.load(file, weights_only=True))


def test_what_torch_alone_wrote_is_held_against_the_sums_of_its_members(tmp_path: Path) -> None:
    path = tmp_path / "other.ckpt"
    torch.save(CONTENT, path)
    assert same(read_checkpoint_file(path))
    good = path.read_bytes()
    at = good.index(torch.arange(20.0).numpy().tobytes()) + 5
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    with pytest.raises(UserError, match=r"checksum .*does not match"):
        read_checkpoint_file(path)


# damage


@pytest.mark.parametrize("every", [37, pytest.param(1, marks=pytest.mark.soak)])
def test_a_changed_bit_is_seen_or_changes_nothing(every: int, file: Path) -> None:
    """Some bits say nothing: times, attributes, the space between members."""
    good, refused = file.read_bytes(), 0
    for place in range(0, len(good), every):
        for bit in range(8) if every == 1 else [place % 8]:
            file.write_bytes(good[:place] + bytes([good[place] ^ (1 << bit)]) + good[place + 1 :])
            try:
                found = read_checkpoint_file(file)
            except UserError:
                refused += 1
            else:
                assert same(found), (place, bit)
    assert refused > len(range(0, len(good), every)) / 2


@pytest.mark.parametrize("every", [101, pytest.param(1, marks=pytest.mark.soak)])
def test_a_file_cut_short_anywhere_is_refused(every: int, file: Path) -> None:
    good = file.read_bytes()
    for length in range(0, len(good), every):
        file.write_bytes(good[:length])
        with pytest.raises(UserError, match=r"best\.ckpt: not a checkpoint, or truncated"):
            read_checkpoint_file(file)


def test_torch_alone_would_not_see_a_changed_weight(tmp_path: Path) -> None:
    """Why there is a check of our own; where this fails, torch has learnt it."""
    file = tmp_path / "best.ckpt"
    torch.save({"weight": torch.full((50, 50), 1.0)}, file)
    good = file.read_bytes()
    at = good.index(torch.full((9,), 1.0).numpy().tobytes()) + 2
    file.write_bytes(good[:at] + bytes([good[at] ^ 64]) + good[at + 1 :])
    assert not torch.equal(torch.load(file, weights_only=True)["weight"], torch.full((50, 50), 1.0))
    with pytest.raises(UserError, match=r"checksum .*does not match"):
        read_checkpoint_file(file)


def test_a_file_that_is_not_there_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        read_checkpoint_file(tmp_path / "none.ckpt")


# archives that are not torch's


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused_unopened(tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 5_000_000)
    assert file.stat().st_size < 50_000
    with pytest.raises(UserError, match="not written by torch: it is compressed"):
        read_checkpoint_file(file)


def test_an_archive_whose_members_lie_over_each_other_is_refused(unsummed: Path) -> None:
    """A bomb without compression: many entries in the list of members, one and the same place in the file."""
    with zipfile.ZipFile(unsummed, "a") as archive:
        largest = max(archive.infolist(), key=lambda one: one.file_size)
        for number in range(200):
            twin = zipfile.ZipInfo(f"best/data/more{number}")
            twin.header_offset, twin.CRC = largest.header_offset, largest.CRC
            twin.file_size = twin.compress_size = largest.file_size
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="its members are larger than itself"):
        read_checkpoint_file(unsummed)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(unsummed: Path) -> None:
    with zipfile.ZipFile(unsummed, "a") as archive:
        pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        archive.writestr(pickled, b"\x80\x02}.")
    with pytest.raises(UserError, match="two members have the same name"):
        read_checkpoint_file(unsummed)


def test_a_zip_file_behind_an_older_format_is_refused(unsummed: Path, mark: Path) -> None:
    """A reader of zip files finds the archive at the end, torch the pickle at the beginning."""
    unsummed.write_bytes(pickle.dumps(Bomb(os.system, f"touch {mark}"), protocol=2) + unsummed.read_bytes())
    assert zipfile.is_zipfile(unsummed)
    with pytest.raises(UserError, match="not a zip file written by torch"):
        read_checkpoint_file(unsummed)
    assert not mark.exists()


# bombs


class Bomb:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def bombs(mark: Path) -> dict[str, Bomb]:
    """Ways to make the file `mark`, and functions of torch's own that are put to another use."""
    return {
        "system": Bomb(os.system, f"touch {mark}"),
        "eval": Bomb(eval, f"open({str(mark)!r}, 'w')"),
        "exec": Bomb(exec, f"open({str(mark)!r}, 'w')"),
        "touch": Bomb(Path.touch, mark),
        "save": Bomb(torch.save, {}, str(mark)),
        "load": Bomb(torch.load, str(mark)),
        "numbers to file": Bomb(torch.Tensor.share_memory_, torch.zeros(1)),
        "getattr": Bomb(getattr, "text", "upper"),
        "import": Bomb(__import__, "antigravity"),
        "storage of a file": Bomb(torch.UntypedStorage.from_file, str(mark), True, 8),
        "hub": Bomb(torch.hub.load, "a/b", "c"),
    }


BOMBS = sorted(bombs(Path()))


@pytest.mark.parametrize("kind", ["system", "eval", "exec", "touch", "save", "storage of a file"])
def test_these_bombs_go_off_where_nothing_is_checked(kind: str, mark: Path) -> None:
    pickle.loads(pickle.dumps(bombs(mark)[kind]))
    assert mark.exists()


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("place", ["root", "state_dict", "hyper_parameters", "key", "deep"])
def test_a_bomb_does_not_go_off(kind: str, place: str, tmp_path: Path, mark: Path) -> None:
    bomb = bombs(mark)[kind]
    content = {
        "root": bomb,
        "state_dict": {"state_dict": {"weight": torch.zeros(2), "evil": bomb}},
        "hyper_parameters": {"state_dict": {}, "hyper_parameters": {"vocabs": bomb}},
        "key": {"state_dict": {(1, bomb): 1}},
        "deep": {"a": [({"b": [bomb]},)]},
    }[place]
    file = tmp_path / "best.ckpt"
    torch.save(content, file)
    with pytest.raises(UserError, match=r"best\.ckpt: not a checkpoint, or unreadable; none of its code was run"):
        read_checkpoint_file(file)
    assert not mark.exists()


def older_formats(bomb: Bomb) -> Iterator[bytes]:
    """A bomb as torch wrote it before it took to zip files, and as others write it."""
    yield pickle.dumps(bomb)
    legacy = io.BytesIO()
    torch.save({"state_dict": {"a": bomb}}, legacy, _use_new_zipfile_serialization=False)
    yield legacy.getvalue()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = len(pickle.dumps(bomb))
            archive.addfile(info, io.BytesIO(pickle.dumps(bomb)))
    yield packed.getvalue()
    yield zlib.compress(pickle.dumps(bomb))


def test_bombs_of_older_formats_do_not_go_off(tmp_path: Path, mark: Path) -> None:
    file = tmp_path / "best.ckpt"
    for content in older_formats(bombs(mark)["system"]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"best\.ckpt: not a checkpoint"):
            read_checkpoint_file(file)
        assert not mark.exists()


def written_by_hand(path: Path, pickled: bytes, **others: bytes) -> None:
    """An archive as torch writes it, with a pickle of one's own making."""
    members = {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n", **others}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"best/{name}", content)


def call(function: str, arguments: bytes) -> bytes:
    """A pickle that calls `module name` with a tuple."""
    module, name = function.split(" ")
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + arguments + b"R."


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "pickled",
    [
        call("posix system", b"(X\x04\x00\x00\x00truet"),
        call("builtins eval", b"(X\x03\x00\x00\x001+1t"),
        call("torch._utils _rebuild_tensor_v2", b"(K\x01K\x01K\x01K\x01K\x01K\x01t"),
        call("torch._utils _rebuild_parameter", b"(X\x01\x00\x00\x00aK\x01K\x01t"),
        call("torch._tensor _rebuild_from_type_v2", b"(cposix\nsystem\nK\x01)}t"),
        call("torch.serialization _get_layout", b"(X\x01\x00\x00\x00at"),
        call("_codecs encode", b"(X\x01\x00\x00\x00aX\x06\x00\x00\x00latin1t"),
        call("collections OrderedDict", b"(K\x01t"),
        b"\x80\x02}(cposix\nsystem\n\x85b.",  # BUILD on what is no object
        b"\x80\x02(iposix\nsystem\n.",  # INST
        b"\x80\x02]K\x01K\x02s.",  # an item of a list, set as that of a dictionary
        b"\x80\x02" + b"]" * 100_000 + b".",
        b"\x80\x02}X\x01\x00\x00\x00a" + b"(" * 100_000 + b".",
        b"\x80\x05\x95",
        b"",
        b".",
    ],
)
def test_a_pickle_made_by_hand_calls_nothing_and_is_an_error(
    pickled: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(posix, "system", called.append)
    file = tmp_path / "best.ckpt"
    written_by_hand(file, pickled)
    with pytest.raises(UserError, match=r"best\.ckpt: not a checkpoint"):
        read_checkpoint_file(file)
    assert not called


@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file")
def test_an_archive_that_holds_a_script_is_refused(file: Path) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("best/constants.pkl", b"\x80\x02).")
        archive.writestr("best/code/__torch__.py", b"import os\nos.system('true')\n")
    with pytest.raises(UserError, match=r"best\.ckpt: not a checkpoint"):
        read_checkpoint_file(file)


# content of another kind


def holding_itself() -> dict[str, Any]:
    content: dict[str, Any] = {"a": []}
    content["a"].append(content["a"])
    return content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "it contains list, not a dictionary"),
        (torch.zeros(2), "it contains Tensor, not a dictionary"),
        (holding_itself(), "a list that holds itself"),
        ({"a": torch.zeros(2, device="meta")}, "without numbers"),
        ({"a": torch.zeros(1).expand(1_000_000_000_000)}, "1,000,000,000,000 numbers, more than lie in it"),
        ({"a": torch.eye(3).to_sparse()}, "a tensor of another kind"),
        ({"a": torch.device("cpu")}, "an object of device"),
        ({"a": torch.float32}, "an object of dtype"),
        ({"a": bytearray(b"x")}, "an object of bytearray"),
    ],
)
def test_what_is_no_plain_data_is_named(content: Any, said: str, tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    torch.save(content, file)
    with pytest.raises(UserError, match=rf"best\.ckpt: not a checkpoint.*{said}"):
        read_checkpoint_file(file)


def test_what_trainings_keep_is_plain_data(tmp_path: Path) -> None:
    part = ["x"]
    content = {
        "random": torch.get_rng_state(),
        "ordered": OrderedDict(a=torch.nn.Parameter(torch.zeros(2))),
        "shared": [part, part, (part, {1, 2})],
        "turned": torch.zeros(3, 5).T,
        "half": torch.zeros(8)[2:4],
        "empty": torch.zeros(0),
        "numbers": [1, -2.5, float("inf"), None, True],
    }
    file = tmp_path / "state.ckpt"
    torch.save(content, file)
    found = read_checkpoint_file(file)
    assert found.keys() == content.keys()
    assert (found["shared"], found["numbers"]) == (content["shared"], content["numbers"])
    assert torch.equal(found["random"], content["random"])  # type: ignore[arg-type]
