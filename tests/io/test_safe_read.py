"""YAML and JSON that anybody may have written: read as plain data, or refused with the file's name, in little time."""

import json
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ner_lab.errors import UserError
from ner_lab.io.safe_read import LARGEST, read_json_file, read_text, read_yaml, resolve_inside


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_plain_yaml_is_read(file: Path) -> None:
    file.write_text("a: {b: [1, 2.5, null, true, ö]}\n", encoding="utf-8")
    assert OmegaConf.to_container(read_yaml(file)) == {"a": {"b": [1, 2.5, None, True, "ö"]}}


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/new:subprocess.Popen [['touch', '{mark}']]",
        "!!python/object:pathlib.Path {{}}",
        "!!python/name:os.system",
        "!!python/module:antigravity",
        "!!python/tuple [1, 2]",
        "!evil x",
        "!include /etc/passwd",
    ],
)
def test_tags_make_no_objects(tag: str, file: Path, tmp_path: Path) -> None:
    mark = tmp_path / "marked"
    file.write_text(f"seed: {tag.format(mark=mark)}\n")
    with pytest.raises(UserError, match=r"config\.yaml: cannot be read as YAML"):
        read_yaml(file)
    assert not mark.exists()


def test_aliases_are_refused_before_they_are_followed(file: Path) -> None:
    """Else 12 lines would be a list of 200,000,000,000."""
    lines = ["a0: &a0 [ha, ha]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    file.write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"config\.yaml:2: aliases .*not allowed"):
        read_yaml(file)
    file.write_text("a: &a {b: *a}\n")
    with pytest.raises(UserError, match=r"config\.yaml:1: aliases .*not allowed"):
        read_yaml(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: " + b"[" * 5000 + b"]" * 5000, "nested deeper than 40"),
        (b"[" * 1_000_000, "nested deeper than 40"),
        (b"a: " + b"{b: " * 5000, "nested deeper than 40"),
        (b"- " * 100_000, "nested deeper than 40"),
        (b"a: ${b}", r"'\$\{b\}' refers to something else"),
        (b"a: 'x${oc.env:HOME}'", "'x.* refers to something else"),
        (b"a:\n- ${b: 1}", "'.*' refers to something else"),
        (b'a: "' + b"${" * 1_000_000 + b'"', r"'.*' \(cut: 2,000,000 in all\) refers to something else"),
        (b"a: '${oc.env:" + b"[" * 5000 + b"]" * 5000 + b"}'", "'.* refers to something else"),
        (b"\xff\xfe\x00", r"not UTF-8 \(byte 1\)"),
        (b"a: \x00", "cannot be read as YAML"),
        (b"a: 1\na: 2\n", "cannot be read as YAML"),
        (b"a: [1", "cannot be read as YAML"),
        (b"a: " + b"9" * 10_000, "cannot be read as YAML"),
        (b"%YAML 9.9\n---\na: 1\n", "cannot be read as YAML"),
        (b"--- a\n--- b\n", "cannot be read as YAML"),
        (b"x" * (LARGEST + 1), "5,000,001 bytes; the limit is 5,000,000"),
    ],
)
def test_yaml_that_is_none_is_an_error(content: bytes, said: str, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"config\.yaml(:\d+)?: {said}"):
        read_yaml(file)


@pytest.mark.parametrize(
    "content",
    [
        *(b"[" * 200_000, b'{"a": ' * 100_000, b"[1]", b"3", b"null", b"nothing", b"", b"\xff", b"{'a': 1}"),
        *(b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": ' + b"9" * 5000 + b"}", b" " * (LARGEST + 1)),
    ],
)
def test_json_that_is_no_record_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UserError, match=r"run\.json: "):
        read_json_file(tmp_path / "run.json")


def test_a_record_is_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"a": [1, {"b": "ö"}]}))
    assert read_json_file(tmp_path / "run.json") == {"a": [1, {"b": "ö"}]}


def test_pipes_and_folders_are_not_read(tmp_path: Path) -> None:
    """A pipe that nobody writes to would never end."""
    os.mkfifo(tmp_path / "run.json")
    (tmp_path / "config.yaml").mkdir()
    for read in (read_text, read_json_file, read_yaml):
        for name in ("run.json", "config.yaml"):
            with pytest.raises(UserError, match=f"{name}: not a file"):
                read(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")


def test_a_place_is_within_its_folder_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "deep").mkdir(parents=True)
    for name in ("deep", "deep/none.txt", "none"):
        assert resolve_inside(folder / name, folder) == folder / name
    (folder / "near").symlink_to("deep")
    assert resolve_inside(folder / "near" / "x", folder) == folder / "near" / "x"
    for name, target in {"out": "..", "far": "/etc", "gone": tmp_path / "none", "beside": "../run2"}.items():
        (folder / name).symlink_to(target)
        with pytest.raises(UserError, match=f"{name}: links to /"):
            resolve_inside(folder / name, folder)
    (folder / "self").symlink_to("self")
    with pytest.raises(UserError, match="self: broken link"):
        resolve_inside(folder / "self", folder)
    os.mkfifo(folder / "pipe")
    with pytest.raises(UserError, match="pipe: neither a file nor a folder"):
        resolve_inside(folder / "pipe", folder)


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    (tmp_path / "link").symlink_to("run")
    resolve_inside(tmp_path / "link" / "config.yaml", tmp_path / "link")
