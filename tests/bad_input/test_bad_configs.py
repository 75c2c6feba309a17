"""Configs and command lines that cannot be: each with its words, exit code 2, no traceback, nothing lost or left."""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from sample import Outcome
from torch import nn

from ner_lab.cli.app import mistake_behind
from ner_lab.config.compose import CONF_DIR, compose_config, options_of
from ner_lab.config.instantiate import check_part, data_options_of
from ner_lab.config.trainer_checks import check_precision, check_settings, note_on_precision
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.errors import UserError
from ner_lab.models.build import build_tagger, feature_set_of, word_embedding_of
from ner_lab.training.train import check_parts, check_values


class Case(NamedTuple):
    """A command line without its command, blanks parting its words, and what the answer must say."""

    name: str
    call: str
    says: tuple[str, ...]


def ids(cases: Sequence[Case]) -> list[str]:
    return [case.name for case in cases]


LONG = {  # each composes an experiment, as its neighbours do that are tried every time
    *("a key forced in", "a misspelt key of a part", "an empty value", "a misspelt key of Hydra's", "a list"),
    *("an unknown launcher", "a flag of no kind", "a bracket left open", "nothing", "no class"),
    *("a class of a package that is not there", "a default that is not there", "a paper with a key of no part"),
}


def some_in_soak(cases: Sequence[Case]) -> list[Any]:
    return [pytest.param(case, id=case.name, marks=[pytest.mark.soak] if case.name in LONG else []) for case in cases]


def refused(outcome: Outcome, says: Sequence[str]) -> None:
    assert outcome.code == 2, outcome.said
    assert "Traceback" not in outcome.said
    for part in says:
        assert part in outcome.said, outcome.said


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """All files and folders below, files by size and time, but for the time of a lock."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    plain = {name for name, path in found.items() if path.is_dir() or path.name == ".lock"}
    return {
        name: (0, 0) if name in plain else (path.stat().st_size, path.stat().st_mtime_ns)
        for name, path in found.items()
    }


# values of settings, each through the check that training begins with


VALUES = [
    Case("training of no epoch", "trainer.max_epochs=0", ("trainer.max_epochs must be", "from 1 to 1,000,000")),
    Case("training without an end", "trainer.max_epochs=-1", ("trainer.max_epochs must be", "early_stopping.patience")),
    Case("a billion epochs", "trainer.max_epochs=1000000000", ("trainer.max_epochs must be", "1,000,000")),
    Case("no step at all", "trainer.max_steps=0", ("trainer.max_steps must be", "-1 for no limit")),
    Case("no process", "trainer.devices=0", ("trainer.devices must be", "from 1, -1 or auto")),
    Case("fewer than no processes", "trainer.devices=-3", ("trainer.devices must be", "from 1, -1 or auto")),
    Case("devices by a word", "trainer.devices=many", ("trainer.devices must be", "a list of them, [0,1]")),
    Case("a list of no devices", "trainer.devices=[]", ("trainer.devices must be", "[0,1]")),
    Case("far more processes than cores", "trainer.devices=9999", ("trainer.devices must be", "cores")),
    Case("an accelerator of no kind", "trainer.accelerator=abacus", ("trainer.accelerator must be", "cpu, gpu")),
    Case("an accelerator we know nothing of", "trainer.accelerator=tpu", ("trainer.accelerator must be", "cpu, gpu")),
    *(
        Case(f"strategy {name}", f"trainer.strategy={name}", (f"trainer.strategy is {name}, which", "ddp"))
        for name in ("ddp_fork", "ddp_spawn", "ddp_notebook", "ddp_fork_find_unused_parameters_true", "fsdp")
    ),
    Case("an unknown strategy", "trainer.strategy=dpp", ("trainer.strategy is dpp", "Did you mean 'ddp'?")),
    Case(
        "a precision that needs a GPU", "trainer.precision=16-mixed", ("trainer.precision is 16-mixed", "needs a GPU")
    ),
    Case("a precision of no kind", "trainer.precision=17", ("trainer.precision must be", "32-true", "bf16-mixed")),
    Case("a precision by a word", "trainer.precision=high", ("trainer.precision must be", "32-true")),
    Case("no batch of an epoch", "trainer.limit_train_batches=0", ("trainer.limit_train_batches must be", "from 1")),
    Case("a negative number of batches", "trainer.limit_train_batches=-1", ("trainer.limit_train_batches must be",)),
    Case("a share above one", "trainer.limit_train_batches=2.5", ("limit_train_batches must be", "a share of them")),
    Case(
        "steps of no batch", "trainer.accumulate_grad_batches=0", ("trainer.accumulate_grad_batches must be", "from 1")
    ),
    Case(
        "dev scored never", "trainer.check_val_every_n_epoch=0", ("trainer.check_val_every_n_epoch must be", "from 1")
    ),
    Case("dev scored after the end", "trainer.check_val_every_n_epoch=99", ("never be scored", "Take at most")),
    Case("a time by a word", "trainer.max_time=tomorrow", ("trainer.max_time must be", "00:02:30:00")),
    Case("hours by a word", "trainer.max_time={hours: x}", ("trainer.max_time must be", "{hours: 2}")),
    Case("an unknown profiler", "trainer.profiler=spy", ("trainer.profiler must be", "simple, advanced, pytorch")),
    Case("several machines alone", "trainer.num_nodes=2", ("trainer.num_nodes is 2", "NODE_RANK and MASTER_ADDR")),
    Case("no machine", "trainer.num_nodes=0", ("trainer.num_nodes must be", "from 1")),
    Case("half deterministic", "trainer.deterministic=perhaps", ("trainer.deterministic must be", "or warn")),
    Case("a negative seed", "seed=-1", ("seed must be", "from 0 to 4294967295")),
    Case("a seed beyond the generators", "seed=1099511627776", ("seed must be", "4294967295")),
    Case("a switch for a seed", "seed=true", ("seed must be", "a whole number")),
    Case("an F1 above all", "min_dev_score=101", ("min_dev_score must be", "0 to 100, or null")),
    Case("an F1 by a word", "min_dev_score=high", ("min_dev_score must be", "0 to 100, or null")),
    Case("nothing must be", "max_loss=null", ("max_loss must be", "above 0")),
    Case("all must be", "max_loss=0", ("max_loss must be", "above 0")),
    Case("no patience", "early_stopping.patience=0", ("early_stopping.patience must be", "at least 1 epoch, or null")),
    Case("half an epoch of patience", "early_stopping.patience=1.5", ("early_stopping.patience must be", "or null")),
    Case("stopping by luck", "early_stopping.rule=luck", ("early_stopping.rule must be", "f1 or loss_and_accuracy")),
    Case("factors that are no names", "study.factors=3", ("study.factors must be", "{KEY: VALUE, ...}")),
    Case("batches of nothing", "data.batch_size=0", ("data.batch_size must be", "at least 1")),
    Case("batches of half a sentence", "data.batch_size=2.5", ("data.batch_size must be", "a whole number")),
    Case("batches of no token", "data.batch_tokens=0", ("data.batch_tokens must be", "or null for no limit")),
    Case("a file whose name is a number", "data.train=2024", ("data.train must be", "a word or null")),
    Case("a variable of the shell that is unset", "data.dir=''", ("data.dir is empty", "data.dir=PATH")),
    Case("training on dev alone", "data.train_on=[dev]", ("data.train_on must be", "[train], or [train,dev]")),
    Case("training on test", "data.train_on=[train,test]", ("data.train_on must be", "With test in train")),
    Case("training on a word", "data.train_on=all", ("data.train_on must be", "a list")),
    Case("downloads that are no addresses", "data.downloads=[3]", ("data.downloads must be", "keys and values")),
    Case("names of a split that are none", "data.local={train: 3}", ("data.local.train must be", "a list of names")),
    Case("counts that are none", "data.counts={train: 3}", ("data.counts.train must be", "mapping of names to counts")),
    Case("a column by a word", "data.columns={word: a, tag: 1}", ("data.columns must be", "column numbers")),
    Case(
        "every word is hidden twice",
        "data.singleton_unk=2",
        ("data.singleton_unk must be", "a probability, from 0 to 1"),
    ),
    Case("all of train is dev", "data.dev_share=1", ("data.dev_share must be", "between 0 and 1")),
    Case("a scheme of no kind", "data.scheme=IOX", ("'IOX' is not a tag scheme", "IOB2, IOBES")),
    Case("a tag of the tracker that is no list", "logger.tags=one", ("logger.tags must be", "a list, each a word")),
    Case("tags that are numbers", "logger.tags=[1,2]", ("logger.tags must be", "a list, each a word")),
    Case("waiting for less than nothing", "logger.init_timeout=-1", ("logger.init_timeout must be", "at least 0")),
    Case("an unknown mode", "logger.mode=loud", ("logger.mode must be", "auto, online, offline, disabled")),
    Case("no project", "logger.project=null", ("logger.project must be", "a word")),
    Case("no number of threads", "threads=0", ("threads must be", "at least 1")),
    Case("threads beyond any machine", "threads=1000000000", ("threads must be at most 1,024", "1000000000")),
]


@pytest.fixture(scope="module")
def usual(small: list[str]) -> DictConfig:
    return compose_config([*(one for one in small if not one.startswith("logger")), "logger=wandb"])


def setting(cfg: DictConfig, text: str) -> DictConfig:
    """A copy of a config with KEY=VALUE in it, as YAML reads the value."""
    changed = cfg.copy()
    key, _, value = text.partition("=")
    OmegaConf.update(changed, key, OmegaConf.create(f"it: {value}").it, merge=False)
    return changed


@pytest.mark.parametrize("case", VALUES, ids=ids(VALUES))
def test_a_value_that_cannot_be_is_refused_before_anything_is_written(
    case: Case, usual: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ner_lab.training.train import train

    monkeypatch.chdir(tmp_path)
    with pytest.raises((UserError, HydraException)) as raised:
        train(setting(usual, case.call), tmp_path / "run")
    said = mistake_behind(raised.value)
    assert said is not None, repr(raised.value)
    for part in case.says:
        assert part in said, said
    assert not listing(tmp_path)


@pytest.mark.parametrize("devices", ["2", "[0,1]", "'0,1'"])
def test_one_device_is_not_given_several(devices: str, usual: DictConfig) -> None:
    cfg = setting(setting(usual, "trainer.strategy=single_device"), f"trainer.devices={devices}")
    with pytest.raises(UserError, match=r"trainer\.devices is .*: all but one would be idle"):
        check_settings(cfg)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("trainer.max_epochs=6", r"max_epochs is 6.* would count each sentence again"),
        ("optimizer.lr=2", r"lr=2, clip=none, loss=sum.* Set optimizer=sgd_counts"),
        ("optimizer.clip=value", "clip=value"),
        ("optimizer.loss=token_mean", "loss=token_mean"),
    ],
)
@pytest.mark.parametrize("paper", ["hmm", "naive_bayes"])
def test_a_model_that_counts_is_trained_in_one_epoch_by_steps_of_one(paper: str, setting: str, said: str) -> None:
    check_values(compose_config([f"paper={paper}", "data=builtin"]))
    with pytest.raises(UserError, match=said):
        check_values(compose_config([f"paper={paper}", "data=builtin", setting]))


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "bf16-mixed", "16", "64-true", "32-true", 32])
def test_it_is_noted_where_dev_is_scored_in_another_precision_than_metrics(precision: object) -> None:
    note = note_on_precision(precision)
    assert (note is not None) == ("16" in str(precision))
    assert note is None or ("32-true" in note and "\n" not in note)


@pytest.mark.parametrize("can", [True, False])
def test_an_lstm_in_half_precision_on_a_cpu_needs_a_processor_that_has_it(
    can: bool, usual: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ner_lab.config.trainer_checks.has_half_precision_lstm", lambda: can)
    trainer = setting(usual, "trainer.precision=bf16-mixed").trainer
    check_precision(trainer, nn.Linear(1, 1))
    check_precision(trainer, nn.Sequential(nn.RNN(1, 1), nn.GRU(1, 1)))
    check_precision(usual.trainer, nn.LSTM(1, 1))
    check_precision(
        setting(setting(usual, "trainer.precision=bf16-mixed"), "trainer.accelerator=mps").trainer, nn.LSTM(1, 1)
    )
    if can:
        check_precision(trainer, nn.LSTM(1, 1))
    else:
        with pytest.raises(UserError, match=r"no LSTM in bf16 for this processor.* trainer\.precision=32-true"):
            check_precision(trainer, nn.LSTM(1, 1))


def test_what_may_be_passes(usual: DictConfig) -> None:
    for text in (
        "trainer.max_time=00:00:10:00",
        "trainer.max_time={hours: 2}",
        "trainer.limit_train_batches=0.5",
        "trainer.limit_train_batches=1",
        "trainer.devices=auto",
        "trainer.devices=[0]",
        "trainer.precision=bf16-mixed",
        "trainer.strategy=ddp",
        "trainer.profiler=simple",
        "trainer.max_steps=-1",
        "trainer.deterministic=warn",
        "min_dev_score=0",
        "data.train_on=[dev,train]",
    ):
        cfg = setting(usual, text)
        check_settings(cfg)
        check_parts(cfg)
    check_values(usual)


def test_several_machines_are_believed_where_something_started_them(
    usual: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    check_settings(setting(usual, "trainer.num_nodes=2"))


# every number of every part


FEW = (0, math.nan, 10**12)
MANY = (-1, math.inf, 1e30, -(10**12), 0.5, "word", True, [1], None)


def numbers() -> Iterator[tuple[str, str, str]]:
    """Group, option and key of every number, once for each class."""
    for group in ("char_encoder", "encoder", "decoder", "word_embedding", "features", "optimizer"):
        seen = set()
        for option in options_of(group):
            section = OmegaConf.load(CONF_DIR / group / f"{option}.yaml")
            assert isinstance(section, DictConfig)
            for key in map(str, section):
                place = (section.get("_target_"), key)
                if None not in place and type(section._get_node(key)._value()) in (int, float) and place not in seen:
                    seen.add(place)
                    yield group, option, key


NUMBERS = list(numbers())


@pytest.fixture(scope="module")
def prepared(usual: DictConfig) -> Prepared:
    return prepare(data_options_of(usual), feature_set_of(usual), word_embedding_of(usual))


@pytest.fixture(scope="module")
def sections() -> dict[tuple[str, str], DictConfig]:
    """The options that hold a number, composed as few times as can be."""
    found = {}
    wanted = {(group, option) for group, option, _ in NUMBERS}
    while wanted:
        chosen = dict(sorted(wanted))
        cfg = compose_config([f"{group}={option}" for group, option in chosen.items()])
        found.update({pair: cfg[pair[0]] for pair in chosen.items()})
        wanted -= set(chosen.items())
    return found


def why_not(cfg: DictConfig, prepared: Prepared, group: str) -> Exception | None:
    """What is raised where the parts are built; None where they are."""
    try:
        check_part(cfg, group)
        if group not in ("word_embedding", "features"):  # which the data are prepared for
            build_tagger(cfg, prepared.vocabs)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("values", [FEW, pytest.param(MANY, marks=pytest.mark.soak)], ids=["few", "many"])
@pytest.mark.parametrize(("group", "option", "key"), NUMBERS)
def test_a_number_of_a_part_builds_or_is_refused_by_its_name(
    group: str,
    option: str,
    key: str,
    values: Sequence[Any],
    usual: DictConfig,
    prepared: Prepared,
    sections: dict[tuple[str, str], DictConfig],
) -> None:
    refusals = 0
    for value in values:
        cfg = usual.copy()
        cfg[group] = sections[group, option].copy()
        for missing in [name for name in map(str, cfg[group]) if OmegaConf.is_missing(cfg[group], name)]:
            cfg[group][missing] = "a_file"
        cfg[group][key] = value
        if (error := why_not(cfg, prepared, group)) is None:
            continue
        said = mistake_behind(error)
        assert said is not None, f"{group}.{key}={value}: {error!r}"
        assert key in said, said
        assert str(value) in said or "GB" in said or isinstance(value, bool | list | None), said
        refusals += 1
    assert refusals >= (1 if values is FEW else 4)  # nan; infinity, a word, a switch and a list: no number of any part


@pytest.mark.parametrize("size", [10**5, 10**6, 10**9])
def test_sizes_beyond_memory_are_refused_before_it_is_taken(size: int, usual: DictConfig, prepared: Prepared) -> None:
    cfg = setting(usual, f"encoder.hidden_dim={size}")
    with pytest.raises(Exception, match=f"encoder.hidden_dim(=| must be .* got ){size}"):
        build_tagger(cfg, prepared.vocabs)


# overrides


OVERRIDES = [
    Case("an unknown group", "decodr=crf", ("unknown config key 'decodr'. Did you mean 'decoder'?",)),
    Case("a group without an option", "decoder=", ("decoder=: a group takes one option", "softmax")),
    Case("a group set to null", "char_encoder=null", ("char_encoder=null: a group takes one", "char_encoder=none.")),
    Case("two options in a list", "decoder=[crf,softmax]", ("decoder=[crf,softmax]: a group takes one option",)),
    Case("several directions", "hydra.sweeper.direction=[maximize,minimize]", ("a search has one direction",)),
    Case("a group added twice", "+decoder=crf", ("decoder appears more than once",)),
    Case("a key forced in", "++x=1", ("unknown config key 'x'",)),
    Case("a misspelt key of a part", "decoder.constraint=1", ("Did you mean 'decoder.constraints'?",)),
    Case(
        "a key that other options have",
        "char_encoder.hidden_dim=3",
        ("'char_encoder' does not take 'hidden_dim'", "do: bilstm, bilstm_stock, bilstm_yang."),
    ),
    Case("a key without a value", "seed", ("'seed': expected KEY=VALUE", "seed=2")),
    Case("a value without a key", "=3", ("'=3': expected KEY=VALUE",)),
    Case("an empty value", "seed=", ("seed is ''", "a whole number, such as 1")),
    Case("a bracket left open", "data.train_on=[train", ("'data.train_on=[train' cannot be read", "in quotes")),
    Case("a reference to nothing", "data.train=${nowhere}", ("data.train", "'nowhere' not found")),
    Case("a misspelt key of Hydra's", "hydra.run.dirr=x", ("unknown config key 'hydra.run.dirr'",)),
    Case("an unknown launcher", "hydra/launcher=rocket", ("hydra/launcher has no option 'rocket'",)),
    Case("a folder of configs that is none", "--config-dir nowhere", ("--config-dir nowhere: no such folder",)),
    Case("a flag of no kind", "--fast", ("unrecognized arguments: --fast",)),
    Case("a folder that is a file", "hydra.run.dir=a_file", ("a_file", "Move it away")),
    Case("the folder of a finished run", "hydra.run.dir=good", ("good holds a finished run", "hydra.run.dir")),
]


@pytest.fixture(scope="module")
def here(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good run, and with broken ones."""
    folder = tmp_path_factory.mktemp("here")
    good = folder / "good"
    shutil.copytree(run, good)
    (folder / "a_file").write_text("Anna lives in Oslo .\n")
    (folder / "empty").mkdir()

    def broken(name: str, file: str, content: str | None) -> None:
        shutil.copytree(good, folder / name)
        if content is None:
            (folder / name / file).unlink()
        else:
            (folder / name / file).write_text(content)

    metrics = (good / "metrics.json").read_text(encoding="utf-8")
    other = "Oslo B-LOC B-LOC\n\n"
    broken("no_config", "config.yaml", None)
    broken("no_checkpoint", "checkpoints/best.ckpt", None)
    broken("no_metrics", "metrics.json", None)
    broken("no_predictions", "predictions/test.conll", None)
    broken("bad_yaml", "config.yaml", "a: [1\n\tb")
    broken("a_list", "config.yaml", "- 1\n- 2\n")
    broken("cut_checkpoint", "checkpoints/best.ckpt", "PK")
    broken("cut_metrics", "metrics.json", metrics[: len(metrics) // 2])
    broken("other_metrics", "metrics.json", '{"status": "ok", "dev": 3}')
    broken("other_sentences", "predictions/test.conll", other)
    config = (good / "config.yaml").read_text(encoding="utf-8")
    broken("another_tagger", "config.yaml", config.replace("hidden_dim: 12", "hidden_dim: 14"))
    for name, text in STUDIES.items():
        (folder / f"{name}.yaml").write_bytes(text)
    (folder / "bad_record").mkdir()
    (folder / "bad_record" / "study.yaml").write_text("a: [")
    return folder


@pytest.mark.parametrize("case", some_in_soak(OVERRIDES))
def test_an_override_that_cannot_be_is_refused(
    case: Case,
    small: list[str],
    here: Path,
    tmp_path: Path,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(here)
    before = listing(here)
    folder = [] if "hydra.run.dir=" in case.call else [f"hydra.run.dir={tmp_path / 'run'}"]
    refused(cli("train", *small, *folder, *case.call.split()), case.says)
    assert listing(here) == before
    assert not listing(tmp_path)


def test_a_reference_to_another_key_is_no_mistake(
    small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    outcome = cli(
        "train", *small, f"hydra.run.dir={tmp_path / 'run'}", "trainer.max_epochs=1", "min_dev_score=${threads}"
    )
    assert "Interpolation" not in outcome.said
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_what_is_given_twice_is_named_with_both_values(
    small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    outcome = cli(
        "train", *small, f"hydra.run.dir={tmp_path}", "decoder=crf", "seed=3", "decoder=softmax", "trainer.max_epochs=0"
    )
    refused(outcome, ["decoder is given as crf, then softmax: the last one counts", "trainer.max_epochs must be"])
    assert "seed is given" not in outcome.said


# config files of one's own


def own(name: str, content: str | bytes, *says: str, group: str = "encoder") -> Any:
    text = content.encode() if isinstance(content, str) else content
    return pytest.param(group, text, says, id=name, marks=[pytest.mark.soak] if name in LONG else [])


FILES = [
    own("a tab", "_target_: x.Y\n\tdim: 3\n", "mine.yaml:2", "cannot be read as YAML"),
    own("a bracket left open", "_target_: x.Y\ndims: [1, 2\n", "mine.yaml:", "cannot be read as YAML"),
    own("a key twice", "_target_: x.Y\ndim: 1\ndim: 2\n", "mine.yaml:3", "duplicate key dim"),
    own("bytes of another encoding", b"# caf\xe9\n_target_: x.Y\n", "mine.yaml:1: byte 0xe9 is not UTF-8", "UTF-8."),
    own("nothing", "", "encoder has no _target_", "PACKAGE.CLASS"),
    own("a list", "- 1\n- 2\n", "encoder has no _target_"),
    own("no class", "dim: 3\n", "encoder has no _target_"),
    own("a class of a package that is not there", "_target_: nowhere.at.All\n", "nowhere.at.All cannot be imported"),
    own("a class that is not there", "_target_: ner_lab.models.encoder.recurrent.BiLTSM\n", "Did you mean 'BiLSTM'?"),
    own(
        "a module in place of a class",
        "_target_: ner_lab.models.encoder.recurrent\n",
        "ner_lab.models.encoder.recurrent is no class",
    ),
    own(
        "a key that the class does not take",
        "defaults: [none, _self_]\ninput_droput: 3\n",
        "does not take 'input_droput'",
        "Did you mean 'input_dropout'?",
    ),
    own("a default that is not there", "defaults: [bilstmm, _self_]\n", "encoder has no option 'bilstmm'"),
    own("a paper with a key of no part", "# @package _global_\nsede: 3\n", "unknown config key 'sede'", group="paper"),
    own(
        "a paper with another value for a part",
        "# @package _global_\ndefaults:\n  - override /decodr: crf\n",
        "decodr",
        group="paper",
    ),
]


@pytest.mark.parametrize(("group", "content", "says"), FILES)
def test_a_config_file_that_cannot_be_is_refused(
    group: str, content: bytes, says: Sequence[str], small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "own" / group).mkdir(parents=True)
    (tmp_path / "own" / group / "mine.yaml").write_bytes(content)
    settings = [one for one in small if not one.startswith(f"{group}.")]
    outcome = cli(
        "train", *settings, f"{group}=mine", "--config-dir", str(tmp_path / "own"), f"hydra.run.dir={tmp_path / 'run'}"
    )
    refused(outcome, says)
    assert set(listing(tmp_path)) == {"own", f"own/{group}", f"own/{group}/mine.yaml"}


def test_a_class_of_ones_own_says_what_its_values_may_be(
    usual: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "classes_of_mine.py").write_text(
        "class Picky:\n    def __init__(self, *, dim):\n        raise ValueError(f'dim {dim} is odd')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cfg = usual.copy()
    cfg.features = OmegaConf.create({"_target_": "classes_of_mine.Picky", "dim": 3})
    with pytest.raises(Exception, match=r"features: classes_of_mine.Picky does not take its values: dim 3 is odd"):
        check_parts(cfg)


# commands


STUDIES = {
    "open": b"defaults: [config, _self_\nstudy: {",
    "tabs": b"defaults: [config, _self_]\nstudy:\n\tname: x\n",
    "latin": b"# caf\xe9\ndefaults: [config, _self_]\n",
    "nothing": b"",
    "listed": b"- 1\n- 2\n",
    "factors": b"defaults: [config, _self_]\nstudy: {factors: 3}\n",
    "no_study": b"defaults: [config, _self_]\nstudy: [1]\n",
    "params": b"defaults: [config, _self_]\nhydra: {sweeper: {params: 3}}\n",
    "a_study": b"defaults: [config, _self_]\nhydra: {sweeper: {params: {seed: '1,2'}}}\n",
    "no_group": b"defaults: [config, _self_]\nhydra: {sweeper: {params: {decodr: 'crf,softmax'}}}\n",
}
COMMANDS = [
    Case("evaluate nothing", "evaluate", ("which run? Give its folder.",)),
    Case("evaluate a run without a name", "evaluate run=", ("which run? Give its folder.",)),
    Case("evaluate two runs", "evaluate run=good run=other", ("run is given twice, run=good and run=other",)),
    Case("evaluate a file", "evaluate run=a_file", ("a_file: no such folder", "outputs/")),
    Case("evaluate an empty folder", "evaluate run=empty", ("config.yaml is missing. Did the run finish?",)),
    Case("evaluate without a checkpoint", "evaluate run=no_checkpoint", ("checkpoints/best.ckpt is missing",)),
    Case("evaluate broken YAML", "evaluate run=bad_yaml", ("bad_yaml/config.yaml", "cannot be read as YAML")),
    Case("evaluate a config that is a list", "evaluate run=a_list", ("a_list/config.yaml", "has no keys")),
    Case("evaluate half a checkpoint", "evaluate run=cut_checkpoint", ("cut_checkpoint/checkpoints/best.ckpt",)),
    Case("evaluate another tagger's", "evaluate run=another_tagger", ("does not belong to another_tagger/config",)),
    Case("evaluate an unknown split", "evaluate run=good splits=tst", ("splits=tst: this corpus has train, dev",)),
    Case("evaluate with an unknown key", "evaluate run=good rum=x", ("unknown key 'rum'. Did you mean 'run'?",)),
    Case("evaluate a bracket left open", "evaluate run=good data.train_on=[a", ("data.train_on=[a", "in quotes")),
    Case("evaluate data that is null", "evaluate run=good data=null", ("data=null: a group takes one option",)),
    Case("evaluate with options from nowhere", "evaluate run=good --config-dir x", ("--config-dir x: no such folder",)),
    Case("predict without a name", "predict run= input=a_file", ("which run? Give its folder.",)),
    Case("predict with no threads", "predict run=good threads=0 input=a_file", ("threads must be", "at least 1")),
    Case("predict with threads by a word", "predict run=good threads=x input=a_file", ("threads must be", "got 'x'")),
    Case("predict on more cores than there are", "predict run=good threads=1000000 input=a_file", ("at most 1,024",)),
    Case(
        "predict in an unknown format", "predict run=good format=xml input=a_file", ("format must be", "conll, jsonl")
    ),
    Case("predict a folder", "predict run=good input=empty", ("input=empty: is a folder",)),
    Case("predict into nowhere", "predict run=good input=a_file output=x/y", ("output=x/y: there is no folder x",)),
    Case("predict into the input", "predict run=good input=a_file output=a_file", ("is the input itself",)),
    Case("compare nothing", "compare", ("Give two folders of runs; a and b missing",)),
    Case("compare one run", "compare good", ("b missing",)),
    Case("compare three runs", "compare good good good", ("a and b given already",)),
    Case("compare with nowhere", "compare good nowhere", ("nowhere: no such folder",)),
    Case("compare with an unfinished run", "compare good no_metrics", ("no_metrics is not a finished run",)),
    Case("compare with half its metrics", "compare good cut_metrics", ("cut_metrics", "cannot be read as JSON")),
    Case("compare with other metrics", "compare good other_metrics", ("other_metrics", "no number for dev.f1")),
    Case("compare without predictions", "compare good no_predictions", ("no predictions/test.conll",)),
    Case("compare other sentences", "compare good other_sentences", ("different sentences", "the same test file")),
    Case("compare in no round", "compare good good rounds=0", ("rounds must be a whole number of at least 1",)),
    Case("compare into a format of no kind", "compare good good output=x.pdf", ("output must be", ".html, .md, .json")),
    Case("report on nothing", "report", ("which folder?",)),
    Case("report on an empty folder", "report empty", ("empty: nothing to report", "ner-lab sweep NAME")),
    Case("report on a file", "report a_file", ("a_file: no such folder",)),
    Case("report on an unknown split", "report good split=train", ("split=train", "test or dev")),
    Case("report against nothing", "report good baseline=x", ("baseline=x: no such configuration", "There are:")),
    Case("report in rounds by a word", "report good rounds=x", ("rounds must be a whole number",)),
    Case("sweep of an unknown name", "sweep chars_by_decodr", ("Did you mean 'chars_by_decoder'?",)),
    Case("sweep without a name", "sweep seed=1,2", ("the study's name comes first",)),
    Case("sweep of a bracket left open", "sweep open.yaml", ("open.yaml:", "cannot be read as YAML")),
    Case("sweep with tabs", "sweep tabs.yaml", ("tabs.yaml:3", "cannot be read as YAML")),
    Case("sweep in another encoding", "sweep latin.yaml", ("latin.yaml:1: byte 0xe9 is not UTF-8",)),
    Case("sweep of nothing", "sweep nothing.yaml", ("nothing.yaml: nothing in it", "defaults:")),
    Case("sweep of a list", "sweep listed.yaml", ("listed.yaml: a list", "defaults:")),
    Case("sweep with factors that are none", "sweep factors.yaml", ("study.factors is '3'", "KEY: VALUE")),
    Case("sweep whose study is a list", "sweep no_study.yaml", ("study is '[1]'", "factors")),
    Case("sweep over a number", "sweep params.yaml", ("hydra.sweeper.params is '3'", "KEY: VALUE")),
    Case("sweep over an unknown group", "sweep no_group.yaml", ("unknown config key 'decodr'", "'decoder'")),
    Case(
        "sweep in no job", "sweep a_study.yaml hydra.launcher.n_jobs=0", ("hydra.launcher.n_jobs must be", "at least 1")
    ),
    Case(
        "sweep on a GPU that is no list", "sweep a_study.yaml hydra.launcher.gpus=3", ("launcher.gpus must be", "[0,1]")
    ),
    Case("sweep with unsure skipping", "sweep a_study.yaml hydra.launcher.on_config_change=x", ("refuse, keep, redo",)),
    Case("status of a broken record", "sweep bad_record --status", ("bad_record/study.yaml", "start the study again")),
    Case("status of a broken study", "sweep tabs.yaml --status", ("tabs.yaml:3",)),
    Case("dashboard of nothing", "dashboard", ("which study? Give its name.",)),
    Case("dashboard of a broken study", "dashboard tabs.yaml", ("tabs.yaml:3",)),
    Case("data and an unknown action", "data stat", ("no action 'stat'. Did you mean 'stats'?",)),
    Case("data from an unset variable", "data stats data=conll2003 data.dir=", ("data.dir is empty",)),
    Case("data of two corpora", "data stats data=[files,builtin]", ("data=[files,builtin]: a group takes one",)),
    Case("data that is null", "data stats data=null", ("data=null: a group takes one option, data=builtin",)),
    Case("data exported to nowhere", "data export output=", ("where to? Give output=DIR.",)),
    Case("a lexicon of nothing", "data lexicon input= output=x", ("Give --input FILE and --output FILE.",)),
    Case("going on with nothing", "train resume=", ("--resume : no such folder",)),
    Case("going on with other settings", "train resume=good seed=2", ("takes no other arguments", "--from good")),
    Case("repeating nothing", "train --from", ("no such folder", "outputs/")),
    Case("repeating with a key alone", "train --from good seed", ("'seed': expected KEY=VALUE",)),
    Case("repeating with a bracket left open", "train --from good trainer.max_epochs=[1", ("in quotes",)),
    Case("repeating without an option", "train --from good encoder=", ("encoder=: a group takes one option",)),
    Case("repeating with an unknown option", "train --from good decoder=crff", ("Did you mean 'crf'?",)),
    Case("repeating onto itself", "train --from good hydra.run.dir=good", ("holds a finished run",)),
]


@pytest.mark.parametrize("case", COMMANDS, ids=ids(COMMANDS))
def test_a_command_that_cannot_be_is_refused(
    case: Case, here: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    before = listing(here)
    refused(cli(*case.call.split()), case.says)
    assert listing(here) == before


def test_data_options_of_ones_own_are_scored_and_counted(
    run: Path, corpus: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "data").mkdir()
    files = "".join(f"{split}: {corpus / split}.conll\n" for split in ("train", "dev", "test"))
    (tmp_path / "data" / "mine.yaml").write_text(f"defaults: [base, _self_]\nname: mine\n{files}")
    for command in (["evaluate", f"run={run}"], ["data", "stats"]):
        outcome = cli(*command, "data=mine", "--config-dir", str(tmp_path))
        assert outcome.code == 0, outcome.said
        assert "test" in outcome.out
