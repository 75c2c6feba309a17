"""The config of a stranger's run: what it may name, and what is set back; nothing of it is run before it is checked."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from sample import Outcome

from ner_lab.config.compose import CONF_DIR, compose_config, options_of, register_resolvers
from ner_lab.config.untrusted import check_config, check_server, from_stranger, packages_of, read_config_file
from ner_lab.errors import UserError
from ner_lab.inference.trained_tagger import load

SOURCE = Path("config.yaml")


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
    """Set keys of a run's config."""
    cfg = OmegaConf.load(folder / "config.yaml")
    for key, value in settings:
        OmegaConf.update(cfg, key, value, merge=False, force_add=True)
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
    ("char_encoder", {"_target_": "ner_lab.io.cache.shutil.rmtree", "path": "{mark}"}),
    ("char_encoder", {"_target_": "ner_lab.models.char_encoder.cnn.nn.Linear"}),
    ("char_encoder", {"_target_": "ner_lab.models.char_encoder.cnn.Tensor"}),
    ("char_encoder", {"_target_": "ner_lab.models.char_encoder.cnn.__builtins__.eval"}),
    ("char_encoder", {"_target_": "ner_lab.models.char_encoder.../../evil.Evil"}),
    ("char_encoder", {"_target_": "ner_lab.models.char_encoder.nowhere.Nothing"}),
    ("char_encoder", {"_target_": "ner_lab.models.decoder.crf.CRF"}),
    ("word_embedding", {"_target_": "torch.load", "f": "{mark}"}),
    ("word_embedding", {"_target_": "torch.hub.load", "repo_or_dir": "a/b", "model": "c"}),
    ("data", {"_target_": "ner_lab.cli.predict.load", "run": "{mark}"}),
    ("data", {"_target_": "ner_lab.runs.folder.RunFolder", "path": "{mark}"}),
    ("logger", {"_target_": "ner_lab.training.train.train"}),
    ("trainer", {"_target_": "os.system", "command": "touch {mark}"}),
    ("trainer.callbacks", [{"_target_": "os.system", "command": "touch {mark}"}]),
    ("trainer.plugins", {"_target_": "os.system", "command": "touch {mark}"}),
    ("trainer.strategy", {"_target_": "pytorch_lightning.strategies.DDPStrategy"}),
    ("encoder.hidden_dim", {"_target_": "os.system", "command": "touch {mark}"}),
    ("encoder.layers", [[{"_target_": "os.system", "command": "touch {mark}"}]]),
    ("features.parts.more", {"_target_": "os.system", "command": "touch {mark}"}),
    ("seed", {"_target_": "os.system", "command": "touch {mark}"}),
    ("study.factors.evil", {"_target_": "os.system", "command": "touch {mark}"}),
    ("word_embedding", {"_target_": "ner_lab.models.word_embedding.random"}),
    ("decoder", {"_target_": "ner_lab.models.decoder.chain.linear_chain.torch.load"}),
    ("decoder", {"_target_": "ner_lab.models.decoder.crf.CRF.__init__"}),
    ("features", {"_target_": "ner_lab.models.features.lexicon.files.files_of"}),
    ("logger", {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "{mark}"}),
    ("encoder.hidden_dim", {"_target_": "pytorch_lightning.Trainer", "default_root_dir": "{mark}"}),
    ("trainer.default_root_dir", "{mark}"),
    ("trainer.callbacks", ["{mark}"]),
    ("trainer.plugins", "{mark}"),
    ("trainer.logger", "{mark}"),
    ("trainer.profiler", "evil.Profiler"),
    ("trainer.strategy", "../evil"),
    ("trainer.callbacks", [[1]]),
    ("seed", "../../x"),
    ("seed", [1]),
    ("encoder._recursive_", True),
    ("encoder._partial_", "os.system"),
    ("encoder._convert_", "evil"),
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
        check_config(OmegaConf.create({group: kept}), SOURCE)


PACKAGE = {
    "__init__.py": "",
    "part.py": """
import subprocess
from pathlib import Path
from torch import nn
from ner_lab.models.encoder.recurrent import BiLSTM


class Encoder(nn.Module):
    pass


def encoder():
    return Encoder()
""",
}


@pytest.fixture
def my_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the user's own."""
    for name, text in PACKAGE.items():
        (tmp_path / "src" / "my_lab").mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / "my_lab" / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "src")
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


@pytest.mark.usefixtures("my_lab")
def test_packages_the_user_names_are_taken_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = OmegaConf.create({"encoder": {"_target_": "my_lab.part.Encoder"}})
    with pytest.raises(UserError, match=r"NER_LAB_TRUST=my_lab .*trust=\['my_lab'\]"):
        check_config(cfg, SOURCE)
    assert "my_lab" not in sys.modules, "it was imported before it was trusted"
    check_config(cfg, SOURCE, ["my_lab"])
    monkeypatch.setenv("NER_LAB_TRUST", "other, my_lab")
    check_config(cfg, SOURCE)
    cfg.encoder["_target_"] = "my_labs.part.Encoder"
    with pytest.raises(UserError, match="my_labs"):
        check_config(cfg, SOURCE, ["my_lab"])
    assert packages_of(cfg) == ["my_labs"]


@pytest.mark.usefixtures("my_lab")
@pytest.mark.parametrize(
    "name", ["Path", "subprocess", "subprocess.Popen", "BiLSTM", "nn.Linear", "Nothing", "__file__"]
)
def test_a_trusted_package_stands_for_what_it_defines_alone(name: str) -> None:
    for defined in ("Encoder", "encoder"):
        check_config(OmegaConf.create({"encoder": {"_target_": f"my_lab.part.{defined}"}}), SOURCE, ["my_lab"])
    with pytest.raises(UserError, match=f"my_lab.part.{name}, which my_lab does not define"):
        check_config(OmegaConf.create({"encoder": {"_target_": f"my_lab.part.{name}"}}), SOURCE, ["my_lab"])


def test_who_trusts_us_does_not_trust_all_that_we_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NER_LAB_TRUST", "ner_lab")
    with pytest.raises(UserError, match="shutil"):
        check_config(OmegaConf.create({"encoder": {"_target_": "ner_lab.io.cache.shutil.rmtree"}}), SOURCE)


def test_a_group_without_its_class_is_no_config_of_a_run(strange: Path) -> None:
    for value in ({"hidden_dim": 3}, None, [1], "encoder"):
        spoil(strange, ("encoder", value))
        with pytest.raises(UserError, match="it has no encoder"):
            load(strange)


# references


REFERENCES = ("${oc.env:SECRET}", "x${oc.env:SECRET}y", "${seed}", "${run_name:}", "${oc.decode:'[1]'}", "\\${seed}")


def test_nothing_in_the_environment_is_read(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "canary-83")
    for text in REFERENCES:
        spoil(strange, ("run_name", text))
        with pytest.raises(UserError, match=r"config\.yaml:\d+: .* refers to something else") as raised:
            load(strange)
        assert "canary" not in str(raised.value)


def test_a_reference_is_named_by_its_key_where_there_is_no_line() -> None:
    for place in ("data.columns.word", "run_name", "study.factors"):
        cfg = OmegaConf.create({"seed": 1})
        OmegaConf.update(cfg, place, "${seed}", force_add=True)
        with pytest.raises(UserError, match=rf"config\.yaml: {place}: .* refers to something else"):
            check_config(cfg, SOURCE)
    with pytest.raises(UserError, match=r"tags\.0: .* refers to something else"):
        check_config(OmegaConf.create({"seed": 1, "tags": ["${seed}"]}), SOURCE)


@pytest.mark.parametrize("text", ["$", "$ {x}", "a}", "$HOME", "%(x)s", "{{x}}"])
def test_what_only_looks_like_a_reference_is_text(text: str) -> None:
    cfg = OmegaConf.create({"run_name": "x", "data": {"licence": ""}})
    cfg.data.licence = text
    check_config(cfg, SOURCE)


def test_our_resolvers_evaluate_no_text(mark: Path) -> None:
    """Those that conf/ uses give names: of options, of a study, of a job, of Hydra's own settings, and the time."""
    register_resolvers()
    evil = f"__import__('os').system('touch {mark}')"
    hydra = {"job": {"config_name": "config"}, "overrides": {"task": [f'run_name="{evil}"']}}
    cfg = OmegaConf.create({"study": {"name": evil}, "seed": 1, "hydra": hydra})
    OmegaConf.update(cfg, "names", ["${sweep_name:t}", "${job_name:}", "${run_name:}"])
    assert evil in cfg.names[0]
    assert [str(name) for name in cfg.names]
    assert not mark.exists()
    files = [file.read_text(encoding="utf-8") for file in CONF_DIR.rglob("*.yaml")]
    used = {word for text in files for word in re.findall(r"\$\{([\w.]+):", text)}
    assert used == {"run_name", "sweep_name", "job_name", "now", "hydra"} & used


# what is fetched


GLOVE = {"_target_": "ner_lab.models.word_embedding.glove.Glove"}
EVIL_SUM = "sha256:" + "0" * 64


def fetching(name: str, url: str, checksum: str | None, member: str) -> dict[str, Any]:
    item = {"url": url, "checksum": checksum, "splits": {"train": member}}
    return {"data": {"_target_": "ner_lab.data.options.DataOptions", "name": name, "downloads": [item]}}


@pytest.mark.parametrize(
    "config",
    [
        fetching("../../.ssh", "https://evil.example/x", EVIL_SUM, "x"),
        fetching("/etc", "https://evil.example/x", EVIL_SUM, "x"),
        fetching("..", "https://evil.example/x", EVIL_SUM, "x"),
        fetching("mine", "https://evil.example/x.zip", EVIL_SUM, "../../.bashrc"),
        fetching("mine", "https://evil.example/x.zip", EVIL_SUM, "/etc/passwd"),
        fetching("mine", "https://evil.example/x.zip", EVIL_SUM, ".bashrc"),
        fetching("mine", "https://evil.example/..", EVIL_SUM, "x"),
        fetching("mine", "https://evil.example/.bashrc", EVIL_SUM, "x"),
        fetching("mine", "http://evil.example/x", EVIL_SUM, "x"),
        fetching("mine", "http://127.0.0.1:9/x", EVIL_SUM, "x"),
        fetching("mine", "file:///etc/passwd", EVIL_SUM, "x"),
        fetching("mine", "https://evil.example/x", None, "x"),
        fetching("conll2003", "https://evil.example/conll2003.zip", EVIL_SUM, "train.txt"),
        fetching("conll2003", "https://data.deepai.org/conll2003.zip", EVIL_SUM, "train.txt"),
        fetching("conll2000", "https://evil.example/train.txt.gz", EVIL_SUM, "train.txt"),
        {"word_embedding": {**GLOVE, "url": "https://evil.example/glove.6B.zip", "checksum": EVIL_SUM}},
        {"word_embedding": {**GLOVE, "url": "https://nlp.stanford.edu/data/glove.6B.zip", "checksum": None}},
        {"features": {"parts": {"more": {"lexicons": {"mine": {"url": "https://evil.example/senna-v3.0.tgz"}}}}}},
    ],
)
def test_no_file_that_is_fetched_takes_the_place_of_another(config: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"config\.yaml: .*\.url is .* say so: NER_LAB_TRUST="):
        check_config(OmegaConf.create(config), SOURCE)


def test_a_corpus_of_its_own_may_be_fetched_and_hosts_may_be_trusted() -> None:
    check_config(OmegaConf.create(fetching("mine", "https://some.example/x.zip", EVIL_SUM, "train.txt")), SOURCE)
    mirror = fetching("conll2003", "https://mirror.example/conll2003.zip", None, "train.txt")
    check_config(OmegaConf.create(mirror), SOURCE, ["mirror.example"])
    assert packages_of(OmegaConf.create(mirror)) == ["mirror.example", "ner_lab"]


# what is set back


def test_what_a_stranger_says_of_writing_and_sending_is_not_taken() -> None:
    settings = ["logger=wandb", "logger.base_url=https://evil.example", "logger.entity=evil", "data.cache_dir=/evil"]
    cfg = compose_config([*settings, "features=caps_lexicons", "features.parts.lexicons.cache_dir=/evil"])
    own, reset = from_stranger(cfg)
    assert (own.logger.base_url, own.logger.entity, own.logger.mode) == ("https://api.wandb.ai", None, "offline")
    assert (own.data.cache_dir, own.features.parts.lexicons.cache_dir) == (None, None)
    assert sorted(reset) == [
        *("data.cache_dir", "features.parts.lexicons.cache_dir"),
        *("logger.base_url", "logger.entity", "logger.mode"),
    ]
    assert cfg.data.cache_dir == "/evil", "the given one stays as it is"
    changed = {"logger", "data", "features"}
    assert {key: own[key] for key in own if key not in changed} == {key: cfg[key] for key in cfg if key not in changed}


def test_of_our_own_defaults_nothing_is_set_back() -> None:
    for logger in options_of("logger"):
        cfg = compose_config([f"logger={logger}"])
        own, reset = from_stranger(cfg)
        assert (own, reset) == (cfg, [])


def test_a_key_in_the_environment_goes_to_no_strangers_server(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = compose_config(["logger=wandb", "logger.base_url=https://evil.example"])
    check_server(cfg, SOURCE)  # without a key nothing is sent
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with pytest.raises(UserError, match=r"logger\.base_url is https://evil\.example.*WANDB_BASE_URL=") as raised:
        check_server(cfg, SOURCE)
    assert "kkk" not in str(raised.value)
    monkeypatch.setenv("WANDB_BASE_URL", "https://mine.example")  # goes before the config's
    check_server(cfg, SOURCE)
    monkeypatch.delenv("WANDB_BASE_URL")
    for settings in (["logger=wandb"], ["logger=none"]):
        check_server(compose_config(settings), SOURCE)


def test_training_does_not_go_on_where_a_key_would_go_to_a_strangers_server(
    strange: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Outcome]
) -> None:
    spoil(strange, ("logger", OmegaConf.to_container(compose_config(["logger=wandb"]).logger)))
    spoil(strange, ("logger.base_url", "http://127.0.0.1:9"))
    (strange / "metrics.json").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    outcome = cli("train", f"resume={strange}")
    assert outcome.code == 2
    assert "where your W&B key would be sent" in outcome.err
    assert "WANDB_BASE_URL" not in os.environ


def test_training_once_more_says_what_it_does_not_take_over(
    strange: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    spoil(strange, ("data.cache_dir", str(tmp_path / "evil")), ("trainer.max_epochs", 1))
    outcome = cli("train", "--from", str(strange), f"hydra.run.dir={tmp_path / 'again'}")
    assert outcome.code == 0, outcome.err
    assert f"not taken over from {strange}, which may be anybody's: data.cache_dir" in outcome.said
    assert not (tmp_path / "evil").exists()
    outcome = cli(
        *("train", "--from", str(strange), f"hydra.run.dir={tmp_path / 'third'}"), f"data.cache_dir={tmp_path / 'mine'}"
    )
    assert outcome.code == 0, outcome.err
    assert "not taken over" not in outcome.said
    assert (tmp_path / "mine").is_dir()


def test_a_run_of_ours_is_read_as_it_was_written(run: Path) -> None:
    assert read_config_file(run / "config.yaml") == OmegaConf.load(run / "config.yaml")


def test_a_trusted_package_that_fails_to_import_is_reported_with_the_cause(
    strange: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_lab").mkdir()
    (tmp_path / "failing_lab" / "__init__.py").write_text("import no_such_library\n")
    monkeypatch.chdir(tmp_path)
    spoil(strange, ("encoder", {"_target_": "failing_lab.Encoder"}))
    with pytest.raises(UserError, match="cannot be imported: No module named 'no_such_library'"):
        load(strange, trust=["failing_lab"])
