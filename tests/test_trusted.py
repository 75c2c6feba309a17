"""A run folder from a stranger: none of its code is run, nothing outside it is read for a part of it, nothing leaks."""

import ast
import io
import json
import os
import pickle
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from sample import Outcome

import ner_lab
from ner_lab.checkpoint_file import read_checkpoint_file
from ner_lab.compose import CONF_DIR, compose_config, options_of
from ner_lab.errors import UserError
from ner_lab.evaluate import evaluate
from ner_lab.predict import load
from ner_lab.run_folder import RunFolder
from ner_lab.trusted import check_config, from_stranger, packages_of, read_config_file, read_json_file


@pytest.fixture
def strange(run: Path, tmp_path: Path) -> Path:
    """A copy of a run that tests may spoil."""
    folder = tmp_path / "strange"
    shutil.copytree(run, folder)
    return folder


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that appears if a stranger's code is run."""
    return tmp_path / "marked"


def spoil(folder: Path, *settings: tuple[str, Any]) -> None:
    cfg = OmegaConf.load(folder / "config.yaml")
    for key, value in settings:
        OmegaConf.update(cfg, key, value, force_add=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg))


# classes


HOSTILE = [
    ("encoder", {"_target_": "os.system", "_args_": ["touch {mark}"]}),
    ("encoder", {"_target_": "os.system", "command": "touch {mark}"}),
    ("decoder", {"_target_": "subprocess.Popen", "args": ["touch", "{mark}"]}),
    ("decoder", {"_target_": "builtins.eval", "_args_": ["open('{mark}', 'w')"]}),
    ("features", {"_target_": "builtins.exec", "_args_": ["open('{mark}', 'w')"]}),
    ("encoder", {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": ["{mark}"]}}),
    ("optimizer", {"_target_": "hydra.utils.get_method", "path": "os.system"}),
    ("char_encoder", {"_target_": "ner_lab.data.cache.shutil.rmtree", "path": "{mark}"}),
    ("char_encoder", {"_target_": "ner_lab.char_encoder.cnn.nn.Linear"}),
    ("char_encoder", {"_target_": "ner_lab.char_encoder.cnn.Tensor"}),
    ("char_encoder", {"_target_": "ner_lab.char_encoder.cnn.__builtins__.eval"}),
    ("char_encoder", {"_target_": "ner_lab.char_encoder.../../evil.Evil"}),
    ("char_encoder", {"_target_": "ner_lab.char_encoder.nowhere.Nothing"}),
    ("char_encoder", {"_target_": "ner_lab.decoder.crf.CRF"}),
    ("word_embedding", {"_target_": "torch.load", "f": "{mark}"}),
    ("word_embedding", {"_target_": "torch.hub.load", "repo_or_dir": "a/b", "model": "c"}),
    ("data", {"_target_": "ner_lab.predict.load", "run": "{mark}"}),
    ("data", {"_target_": "ner_lab.run_folder.RunFolder", "path": "{mark}"}),
    ("logger", {"_target_": "ner_lab.train.train"}),
    ("trainer", {"_target_": "os.system", "command": "touch {mark}"}),
    ("trainer.callbacks", [{"_target_": "os.system", "command": "touch {mark}"}]),
    ("trainer.plugins", {"_target_": "os.system", "command": "touch {mark}"}),
    ("trainer.strategy", {"_target_": "pytorch_lightning.strategies.DDPStrategy"}),
    ("encoder.hidden_dim", {"_target_": "os.system", "command": "touch {mark}"}),
    ("encoder.layers", [[{"_target_": "os.system", "command": "touch {mark}"}]]),
    ("features.parts.more", {"_target_": "os.system", "command": "touch {mark}"}),
    ("seed", {"_target_": "os.system", "command": "touch {mark}"}),
    ("study.factors.evil", {"_target_": "os.system", "command": "touch {mark}"}),
    ("encoder._recursive_", True),
    ("encoder._args_", [1]),
]


def filled(value: Any, mark: Path) -> Any:
    if isinstance(value, dict):
        return {key: filled(one, mark) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, mark) for one in value]
    return value.format(mark=mark) if isinstance(value, str) else value


@pytest.mark.parametrize(("place", "value"), HOSTILE)
def test_a_class_that_is_not_ours_is_refused_by_name_and_nothing_of_it_is_run(
    place: str, value: Any, strange: Path, mark: Path
) -> None:
    spoil(strange, (place, filled(value, mark)))
    with pytest.raises(UserError, match=rf"config\.yaml: {place.partition('.')[0]}") as raised:
        load(strange)
    assert str(strange) in str(raised.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    "command", [["train", "resume={}"], ["train", "--from", "{}"], ["predict", "run={}"], ["evaluate", "run={}"]]
)
def test_no_command_runs_a_strangers_code(
    command: list[str], strange: Path, mark: Path, cli: Callable[..., Outcome]
) -> None:
    spoil(strange, ("encoder", {"_target_": "os.system", "command": f"touch {mark}"}))
    if "resume={}" in command:
        (strange / "metrics.json").unlink()
    outcome = cli(*(part.format(strange) for part in command))
    assert outcome.code == 2
    assert "encoder._target_ is os.system" in outcome.err
    assert "NER_LAB_TRUST=os" in outcome.err
    assert not mark.exists()


@pytest.mark.parametrize(
    "group",
    ["data", "word_embedding", "char_encoder", "features", "encoder", "decoder", "optimizer", "logger", "trainer"],
)
def test_every_option_of_ours_is_taken(group: str) -> None:
    for option in options_of(group):
        stated: Any = OmegaConf.to_container(OmegaConf.load(CONF_DIR / group / f"{option}.yaml"))
        kept = {key: value for key, value in stated.items() if key != "defaults" and "${" not in str(value)}
        check_config(OmegaConf.create({group: kept}), Path("config.yaml"))


def test_packages_the_user_names_are_taken_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = OmegaConf.create({"encoder": {"_target_": "my_lab.part.Encoder"}})
    with pytest.raises(UserError, match=r"NER_LAB_TRUST=my_lab .*trust=\['my_lab'\]"):
        check_config(cfg, Path("config.yaml"))
    check_config(cfg, Path("config.yaml"), ["my_lab"])
    monkeypatch.setenv("NER_LAB_TRUST", "other,my_lab")
    check_config(cfg, Path("config.yaml"))
    cfg.encoder["_target_"] = "my_labs.part.Encoder"
    with pytest.raises(UserError, match="my_labs"):
        check_config(cfg, Path("config.yaml"), ["my_lab"])
    assert packages_of(cfg) == ["my_labs"]


def test_who_trusts_us_does_not_trust_all_that_we_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NER_LAB_TRUST", "ner_lab")
    with pytest.raises(UserError, match="shutil"):
        check_config(OmegaConf.create({"encoder": {"_target_": "ner_lab.data.cache.shutil.rmtree"}}), Path("c.yaml"))


# references, tags, bombs


def test_nothing_in_the_environment_is_read(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "canary-83")
    for text in ("${oc.env:SECRET}", "x${oc.env:SECRET}y", "${seed}", "${run_name:}", "${oc.decode:'[1]'}"):
        spoil(strange, ("run_name", text))
        with pytest.raises(UserError, match=r"config\.yaml: run_name: .* refers to something else") as raised:
            load(strange)
        assert "canary" not in str(raised.value)
    spoil(strange, ("run_name", "run"), ("data.columns.word", "${seed}"))
    with pytest.raises(UserError, match=r"data\.columns\.word"):
        load(strange)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/new:subprocess.Popen [['touch', '{mark}']]",
        "!!python/name:os.system",
        "!!python/module:antigravity",
        "!!python/tuple [1, 2]",
        "!evil x",
    ],
)
def test_tags_make_no_objects(tag: str, strange: Path, mark: Path) -> None:
    text = (strange / "config.yaml").read_text()
    (strange / "config.yaml").write_text(
        re.sub(r"^seed: .*$", f"seed: {tag.format(mark=mark)}", text, flags=re.MULTILINE)
    )
    with pytest.raises(UserError, match=r"config\.yaml: cannot be read as YAML"):
        load(strange)
    assert not mark.exists()


def test_a_file_of_laughs_ends_at_once(strange: Path) -> None:
    lines = ["a0: &a0 [ha, ha]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (strange / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"config\.yaml:2: .*aliases"):
        load(strange)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: " + b"[" * 5000 + b"]" * 5000, "nested deeper"),
        (b"a: " + b"{b: " * 5000, "nested deeper"),
        (b"\xff\xfe\x00", "cannot be read as YAML"),
        (b"- 1\n- 2\n", "has no keys"),
        (b"just words", "it has no data"),
        (b"", "it has no data"),
        (b"a: 1\na: 2\n", "cannot be read as YAML"),
        (b"x" * 6_000_000, "5,000,000"),
    ],
)
def test_a_config_that_is_none_is_an_error(content: bytes, said: str, strange: Path) -> None:
    (strange / "config.yaml").write_bytes(content)
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        load(strange)
    assert "config.yaml" in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b"[1]", b"nothing", b"\xff", b'{"a": ' * 100_000, b" " * 5_000_001]
)
def test_a_record_that_is_none_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UserError, match=r"run\.json"):
        read_json_file(tmp_path / "run.json")


# checkpoints


class Bomb:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def bombs(mark: Path) -> dict[str, Bomb]:
    return {
        "system": Bomb(os.system, f"touch {mark}"),
        "eval": Bomb(eval, f"open({str(mark)!r}, 'w')"),
        "exec": Bomb(exec, f"open({str(mark)!r}, 'w')"),
        "touch": Bomb(Path.touch, mark),
        "save": Bomb(torch.save, {}, str(mark)),
        "getattr": Bomb(getattr, "text", "upper"),
    }


@pytest.mark.parametrize("kind", bombs(Path()))
@pytest.mark.parametrize("place", ["state_dict", "hyper_parameters", "root"])
def test_a_bomb_in_a_checkpoint_does_not_go_off(kind: str, place: str, strange: Path, mark: Path) -> None:
    file = strange / "checkpoints" / "best.ckpt"
    content: Any = torch.load(file, weights_only=True)
    bomb = bombs(mark)[kind]
    if place == "root":
        content = bomb
    else:
        content[place]["evil"] = bomb
    torch.save(content, file)
    with pytest.raises(UserError, match=r"best\.ckpt: not a checkpoint that can be read; no code of it was run"):
        load(strange)
    assert not mark.exists()


def test_bombs_of_older_formats_do_not_go_off(strange: Path, mark: Path) -> None:
    file = strange / "checkpoints" / "best.ckpt"
    bomb = bombs(mark)["system"]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = len(pickle.dumps(bomb))
            archive.addfile(info, io.BytesIO(pickle.dumps(bomb)))
    legacy = io.BytesIO()
    torch.save({"state_dict": {"a": bomb}}, legacy, _use_new_zipfile_serialization=False)
    for content in (pickle.dumps(bomb), packed.getvalue(), legacy.getvalue()):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"best\.ckpt: not a checkpoint"):
            load(strange)
        assert not mark.exists()


@pytest.mark.parametrize("name", ["state.ckpt", "state-1.ckpt"])
def test_a_bomb_in_a_state_does_not_go_off(name: str, strange: Path, mark: Path, cli: Callable[..., Outcome]) -> None:
    (strange / "metrics.json").unlink()
    torch.save({"place": bombs(mark)["system"]}, strange / "checkpoints" / name)
    assert cli("train", f"resume={strange}").code == 0, "it begins anew"
    assert not mark.exists()


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)
    with pytest.raises(UserError, match="torch did not write"):
        read_checkpoint_file(file)


@pytest.mark.parametrize("every", [37, pytest.param(1, marks=pytest.mark.soak)])
def test_no_changed_bit_of_a_checkpoint_goes_unseen(every: int, tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    content = {
        "state_dict": {f"weight{n}": torch.randn(5, 4) for n in range(4)},
        "epoch": 3,
        "vocabs": {"a": ["x", 1.5]},
    }
    torch.save(content, file)
    good, refused = file.read_bytes(), 0
    for place in range(0, len(good), every):
        for bit in range(8) if every == 1 else [place % 8]:
            file.write_bytes(good[:place] + bytes([good[place] ^ (1 << bit)]) + good[place + 1 :])
            try:
                found = read_checkpoint_file(file)
            except UserError:
                refused += 1
            else:
                assert found.keys() == content.keys()
                assert (found["epoch"], found["vocabs"]) == (content["epoch"], content["vocabs"])
                assert all(torch.equal(found["state_dict"][name], one) for name, one in content["state_dict"].items())
    assert refused > len(range(0, len(good), every)) / 2
    for length in range(0, len(good), max(every, 101)):
        file.write_bytes(good[:length])
        with pytest.raises(UserError, match=r"best\.ckpt"):
            read_checkpoint_file(file)


def test_torch_alone_would_not_see_it(tmp_path: Path) -> None:
    """Why there is a check of our own; where this fails, torch has learnt it."""
    file = tmp_path / "best.ckpt"
    torch.save({"weight": torch.full((50, 50), 1.0)}, file)
    good = file.read_bytes()
    at = good.index(torch.full((9,), 1.0).numpy().tobytes()) + 2
    file.write_bytes(good[:at] + bytes([good[at] ^ 64]) + good[at + 1 :])
    assert not torch.equal(torch.load(file, weights_only=True)["weight"], torch.full((50, 50), 1.0))
    with pytest.raises(UserError, match="does not have the checksum"):
        read_checkpoint_file(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["state_dict"].popitem(),
        lambda content: content["state_dict"].update({"tagger.more": torch.zeros(1)}),
        lambda content: content["state_dict"].update({"tagger.embedder.words.table": torch.zeros(2, 2)}),
        lambda content: content["state_dict"].update({"tagger.embedder.words.table": "text"}),
        lambda content: content.pop("state_dict"),
        lambda content: content.update(state_dict=[1, 2]),
        lambda content: content.pop("hyper_parameters"),
        lambda content: content["hyper_parameters"].pop("vocabs"),
        lambda content: content["hyper_parameters"].update(vocabs=[]),
        lambda content: content["hyper_parameters"]["vocabs"].clear(),
        lambda content: content["hyper_parameters"]["vocabs"].update(words=3),
        lambda content: content["hyper_parameters"]["vocabs"].update(tags={}),
    ],
)
def test_a_checkpoint_of_another_shape_is_an_error_that_names_it(change: Callable[[Any], Any], strange: Path) -> None:
    file = strange / "checkpoints" / "best.ckpt"
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)
    with pytest.raises(UserError, match=r"best\.ckpt"):
        load(strange)


# places


@pytest.mark.parametrize("name", ["config.yaml", "checkpoints/best.ckpt", "checkpoints"])
def test_links_that_lead_out_are_not_followed(name: str, strange: Path, run: Path) -> None:
    place = strange / name
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    place.symlink_to(run / name)
    with pytest.raises(UserError, match="leads out of the run folder"):
        load(strange)


def test_a_link_to_the_whole_folder_is_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    assert load(tmp_path / "link").predict([["Oslo"]])


@pytest.mark.parametrize("name", ["checkpoints", "predictions", "attempts", "config.yaml", "wandb_id"])
def test_nothing_is_written_through_a_link(
    name: str, strange: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for left in ("metrics.json", "checkpoints/best.ckpt"):
        (strange / left).unlink()
    place = strange / name
    if place.exists():
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    target = outside / "file" if "." in name or "_" in name else outside
    if target != outside:
        target.write_text("precious")
    place.symlink_to(target)
    outcome = cli("train", f"resume={strange}")
    assert outcome.code == (0 if name == "wandb_id" else 2), outcome.err
    assert name == "wandb_id" or "leads out of the run folder" in outcome.err
    assert [path for path in outside.rglob("*") if path != target] == []
    assert target == outside or target.read_text() == "precious"


def test_what_a_stranger_says_of_writing_and_sending_is_not_taken() -> None:
    settings = ["logger=wandb", "logger.base_url=https://evil.example", "logger.entity=evil", "data.cache_dir=/evil"]
    cfg = compose_config(settings)
    own = from_stranger(cfg)
    assert (own.logger.base_url, own.logger.entity, own.data.cache_dir) == ("https://api.wandb.ai", None, None)
    assert cfg.data.cache_dir == "/evil"
    assert {key: own[key] for key in own if key not in ("logger", "data")} == {
        key: cfg[key] for key in cfg if key not in ("logger", "data")
    }


def test_a_run_of_ours_is_read_as_it_was_written(run: Path) -> None:
    cfg = read_config_file(run / "config.yaml")
    assert cfg == OmegaConf.load(run / "config.yaml")
    assert json.loads((run / "run.json").read_text()) == RunFolder(run).read_record()
    assert evaluate(run)["dev"].scores == json.loads((run / "metrics.json").read_text())["dev"]


# our own sources


def test_our_sources_unpickle_and_evaluate_nothing() -> None:
    root = Path(ner_lab.__file__).parent
    for file in [*root.rglob("*.py"), *(root.parent / "hydra_plugins").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}, file
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "os.system", "yaml.unsafe_load", "yaml.full_load"), file
            stated = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called == "torch.load":
                assert stated.get("weights_only") == "True", file
            if called in ("np.load", "numpy.load"):
                assert stated.get("allow_pickle", "False") == "False", file
            if called == "yaml.load":
                loader = stated.get("Loader", "none")
                assert "Safe" in loader or loader == "_YAML", file
            assert stated.get("shell", "False") == "False", file


def test_the_loaders_of_yaml_are_safe_ones() -> None:
    from ner_lab.report import records

    assert issubclass(records._YAML, yaml.SafeLoader | yaml.CSafeLoader)
