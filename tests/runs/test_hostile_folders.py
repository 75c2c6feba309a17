"""A whole run folder from a stranger: no command runs code of it, follows its links, or falls over what it holds."""

import ast
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from sample import Outcome

import ner_lab
from ner_lab.cli.report import report
from ner_lab.errors import UserError, user_error_behind
from ner_lab.inference.evaluate import evaluate
from ner_lab.inference.trained_tagger import TrainedTagger, load
from ner_lab.io.safe_read import read_yaml
from ner_lab.reporting.analysis import find
from ner_lab.reporting.compare.run_pairs import read_pair
from ner_lab.reporting.exports import latex
from ner_lab.reporting.render_html import page
from ner_lab.reporting.render_markdown import markdown
from ner_lab.reporting.sections import report_document
from ner_lab.reporting.study_runs import collect
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.records import BROKEN
from ner_lab.runs.state import state_of
from ner_lab.studies.status import read_status


@pytest.fixture
def strange(run: Path, tmp_path: Path) -> Path:
    """A copy of a run that tests may spoil."""
    folder = tmp_path / "study" / "decoder=crf" / "seed=1"
    shutil.copytree(run, folder)
    return folder


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that appears if a stranger's code is run."""
    return tmp_path / "marked"


def put_link(place: Path, target: Path) -> None:
    """A link in place of whatever is there."""
    if place.exists():
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


COMMANDS = {
    "resume": ["train", "resume={run}"],
    "from": ["train", "--from", "{run}"],
    "predict": ["predict", "run={run}", "input={run}/config.yaml", "output=/dev/null"],
    "evaluate": ["evaluate", "run={run}"],
}


def called(cli: Callable[..., Outcome], command: str, run: Path) -> Outcome:
    return cli(*(word.format(run=run) for word in COMMANDS[command]))


# code


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "hydra.utils.get_method"])
def test_no_command_builds_a_strangers_class(
    command: str, target: str, strange: Path, mark: Path, cli: Callable[..., Outcome]
) -> None:
    cfg = OmegaConf.load(strange / "config.yaml")
    cfg.optimizer = {"_target_": target, "_args_": [f"open('{mark}', 'w')"]}
    cfg.encoder = {"_target_": target, "command": f"touch {mark}"}
    (strange / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    if command == "resume":
        (strange / "metrics.json").unlink()
    outcome = called(cli, command, strange)
    assert outcome.code == 2
    assert "config.yaml: " in outcome.err
    assert "Traceback" not in outcome.err
    assert not mark.exists()


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_no_command_unpickles_a_strangers_object(
    command: str, strange: Path, mark: Path, cli: Callable[..., Outcome]
) -> None:
    torch.save({"state_dict": {"a": Bomb(mark)}}, strange / "checkpoints" / "best.ckpt")
    outcome = called(cli, command, strange)
    assert outcome.code == 2
    assert "best.ckpt: not a checkpoint, or unreadable; none of its code was run" in outcome.err
    assert not mark.exists()


@pytest.mark.parametrize("name", ["state.ckpt", "state-1.ckpt"])
def test_a_bomb_in_a_state_does_not_go_off(name: str, strange: Path, mark: Path, cli: Callable[..., Outcome]) -> None:
    (strange / "metrics.json").unlink()
    torch.save({"place": Bomb(mark)}, strange / "checkpoints" / name)
    assert cli("train", f"resume={strange}").code == 0, "it begins anew"
    assert not mark.exists()


def test_python_files_in_a_run_folder_are_never_imported(
    strange: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Outcome]
) -> None:
    for name in ("encoder.py", "torch.py", "sitecustomize.py", "ner_lab/__init__.py", "ner_lab/encoder/evil.py"):
        (strange / name).parent.mkdir(parents=True, exist_ok=True)
        (strange / name).write_text(f"open({str(mark)!r}, 'w')\n")
    monkeypatch.chdir(strange)
    for target in ("encoder.Evil", "ner_lab.models.encoder.evil.Evil"):
        cfg = OmegaConf.load(strange / "config.yaml")
        cfg.encoder["_target_"] = target
        (strange / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
        assert called(cli, "predict", strange).code == 2
    assert not mark.exists()


# a checkpoint that does not belong to the config


def emptied(content: Any) -> None:
    next(iter(content["state_dict"].values())).fill_(float("nan"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content["state_dict"].popitem(), "does not belong to"),
        (lambda content: content["state_dict"].update({"tagger.more": torch.zeros(1)}), "does not belong to"),
        (lambda content: content["state_dict"].update({"tagger.embedder.words.table": torch.zeros(2, 2)}), "belong"),
        (lambda content: content["state_dict"].update({"tagger.embedder.words.table": "text"}), "belong"),
        (lambda content: content["state_dict"].clear(), "does not belong to"),
        (emptied, r"are no numbers \(NaN\)"),
        (lambda content: content.pop("state_dict"), "lacks its weights"),
        (lambda content: content.update(state_dict=[1, 2]), "lacks its weights"),
        (lambda content: content.pop("hyper_parameters"), "lacks its weights or vocabularies"),
        (lambda content: content["hyper_parameters"].pop("vocabs"), "lacks its vocabularies"),
        (lambda content: content["hyper_parameters"].update(vocabs=[]), "lacks its vocabularies"),
        (lambda content: content["hyper_parameters"]["vocabs"].clear(), "vocabularies are not those"),
        (lambda content: content["hyper_parameters"]["vocabs"].update(words=3), "vocabularies are not those"),
        (lambda content: content["hyper_parameters"]["vocabs"].update(tags={}), "vocabularies are not those"),
        (lambda content: content["hyper_parameters"]["vocabs"].update(chars=[["a"]]), "vocabularies are not those"),
        (lambda content: content["hyper_parameters"]["vocabs"]["chars"].append("more"), "does not belong to"),
    ],
)
def test_a_checkpoint_of_another_shape_is_an_error_that_names_it(
    change: Callable[[Any], Any], said: str, strange: Path
) -> None:
    file = strange / "checkpoints" / "best.ckpt"
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)
    with pytest.raises(UserError, match=rf"best\.ckpt: .*{said}"):
        load(strange)


VALUES = ["x", "", -1, 0, 10**12, float("nan"), None, True, [1], [], {"a": 1}, {}]


def leaves(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all that stands in plain data, containers too."""
    if place:
        yield place
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield from leaves(node[key], (*place, key))


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place."""
    content = deepcopy(content)
    node = content
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return content


@pytest.mark.parametrize("cases", [40, pytest.param(3000, marks=pytest.mark.soak)])
def test_a_config_with_any_value_anywhere_gives_a_tagger_or_an_error(cases: int, strange: Path) -> None:
    config = OmegaConf.to_container(OmegaConf.load(strange / "config.yaml"))
    places = list(leaves(config))

    @given(place=st.sampled_from(places), value=st.sampled_from(VALUES))
    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck))
    def check(place: tuple[Any, ...], value: Any) -> None:
        (strange / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(changed(config, place, value))))
        with suppress(UserError):
            assert isinstance(load(strange), TrainedTagger)

    check()


def test_an_error_that_stands_behind_itself_comes_to_an_end(strange: Path, cli: Callable[..., Outcome]) -> None:
    """As Hydra's does for this value, in some versions."""
    config = OmegaConf.load(strange / "config.yaml")
    config.data["columns"] = 0
    (strange / "config.yaml").write_text(OmegaConf.to_yaml(config))
    with pytest.raises(UserError, match=r"config\.yaml: no tagger can be built from it"):
        load(strange)
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert user_error_behind(first) is None


# records


@pytest.mark.parametrize(
    ("key", "value"),
    [("choices", [1]), ("choices", None), ("overrides", {"a": 1}), ("versions", "2.1"), ("code", 3), ("git", "abc")],
)
def test_a_record_of_another_shape_is_an_error(
    key: str, value: Any, strange: Path, cli: Callable[..., Outcome]
) -> None:
    record = json.loads((strange / "run.json").read_text())
    (strange / "run.json").write_text(json.dumps({**record, key: value}))
    outcome = called(cli, "from", strange)
    assert outcome.code == 2
    assert f"run.json: not the record of a run: {key} is missing" in outcome.err


@pytest.mark.parametrize("name", ["run_name", "seed"])
def test_a_new_run_lies_where_it_should_whatever_a_strangers_config_is_called(
    name: str, strange: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Outcome]
) -> None:
    here = tmp_path / "deep" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    config = OmegaConf.load(strange / "config.yaml")
    for value in ("../../x", "/tmp/x", "a/../../../x", "..") if name == "run_name" else ("../../../x", "/x", 1.5):
        (strange / "config.yaml").write_text(OmegaConf.to_yaml({**config, name: value}))
        outcome = called(cli, "from", strange)
        assert outcome.code == 2, outcome.said
        assert f"{name} must be " in outcome.err
    assert not list((tmp_path / "deep").rglob("x"))
    assert list(here.iterdir()) == []


METRICS = [
    *(b"", b"[" * 200_000, b'{"a": ' * 100_000, b"[1]", b"NaN", b"\xff\xfe", b'{"status": "ok", "dev": {"f1": NaN}}'),
    *(
        b'{"status": "ok", "dev": {"f1": "x"}}',
        b'{"status": "ok", "dev": {}}',
        b'{"status": "ok", "test": {"f1": 1}, "dev": []}',
    ),
    *(b'{"status": [], "dev": 3}', b'{"status": "ok", "dev": {"f1": 1e999}}', b'{"status": "ok", "history": {}}'),
]


@pytest.mark.parametrize("content", METRICS)
def test_a_report_names_a_run_that_cannot_be_read_and_goes_on(content: bytes, strange: Path, run: Path) -> None:
    shutil.copytree(run, strange.with_name("seed=2"))
    metrics = json.loads((run / "metrics.json").read_text())
    (strange.with_name("seed=2") / "metrics.json").write_text(json.dumps({**metrics, "seed": 2}))
    (strange / "metrics.json").write_bytes(content)
    study = strange.parent.parent
    runs = {one.seed: one for one in collect(study).runs}
    assert runs[1].state == BROKEN
    assert runs[1].reason.startswith("metrics.json ")
    assert runs[2].reason == ""
    assert state_of(RunFolder(strange)) in ("unfinished", "failed", "done")
    job = {"folder": "decoder=crf/seed=1", "configuration": "decoder=crf", "label": None, "choices": {}, "seed": 1}
    (status,) = read_status(study, [job])
    assert status.dev is None or isinstance(status.dev, float)
    assert isinstance(RunFolder(strange).is_finished(), bool)


HOSTILE_YAML = [
    b"a: " + b"[" * 300_000,
    b"a: &a [1]\nb: [*a, *a]",
    b"!!python/name:os.system",
    b"\xff",
    b"- " * 100_000,
]


@pytest.mark.parametrize("content", HOSTILE_YAML)
def test_a_report_is_written_and_runs_are_compared_whatever_their_configs_hold(
    content: bytes, strange: Path, run: Path
) -> None:
    """The C library's reader of YAML crashes Python at some thousand levels."""
    other = strange.parent.with_name("decoder=softmax") / "seed=1"
    shutil.copytree(run, other)
    (strange / "config.yaml").write_bytes(content)
    pair = read_pair(strange, other, "dev")
    assert pair.a.settings == {}
    assert pair.b.settings != {}
    with pytest.raises(UserError, match=r"config\.yaml"):
        read_yaml(strange / "config.yaml")


def test_a_report_is_written_with_a_hostile_run_in_it(strange: Path, run: Path, tmp_path: Path) -> None:
    other = strange.parent.with_name("decoder=softmax") / "seed=1"
    shutil.copytree(run, other)
    (strange / "config.yaml").write_bytes(HOSTILE_YAML[0])
    (strange / "run.json").write_text(json.dumps({"code": [1], "git": {"commit": 3}, "versions": {"torch": [1]}}))
    findings = find(collect(strange.parent.parent), rounds=2)
    assert [len(configuration.finished) for configuration in findings.study.configurations] == [1, 1]
    document = report_document(findings)
    for text in (markdown(document, tmp_path), latex(findings), page(document)):
        assert "softmax" in text


@pytest.mark.parametrize("place", ["../outside", "/etc", "a/../../b", 3, None])
def test_a_study_names_jobs_within_its_folder_alone(place: Any, strange: Path) -> None:
    study = strange.parent.parent
    job = {"folder": place, "configuration": "a", "label": None, "choices": {}, "seed": 1}
    (study / "study.yaml").write_text(yaml.safe_dump({"jobs": [job]}))
    with pytest.raises(UserError, match=r"study\.yaml: the folder of a job must be inside the study's folder"):
        collect(study)


# links


@pytest.mark.parametrize("name", ["config.yaml", "checkpoints/best.ckpt", "checkpoints"])
def test_links_that_lead_out_are_not_followed(name: str, strange: Path, run: Path) -> None:
    put_link(strange / name, run / name)
    with pytest.raises(UserError, match="outside the run folder"):
        load(strange)


def test_a_link_to_the_whole_folder_is_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    assert load(tmp_path / "link").predict([["Oslo"]])
    assert evaluate(tmp_path / "link")["dev"].scores == json.loads((run / "metrics.json").read_text())["dev"]


@pytest.mark.parametrize("name", ["metrics.json", "predictions", "predictions/dev.conll"])
def test_reports_and_comparisons_follow_no_link_that_leads_out(
    name: str, strange: Path, run: Path, tmp_path: Path
) -> None:
    put_link(strange / name, run / name)
    (found,) = collect(strange).runs
    if name == "metrics.json":
        assert found.state == BROKEN
        assert "outside the run folder" in found.reason
    else:
        assert found.predictions("dev") is None
        assert "outside the run folder" in found.faults["dev"]
    shutil.copytree(run, tmp_path / "other")
    with pytest.raises(UserError, match="outside the run folder"):
        read_pair(strange, tmp_path / "other", "dev")


@pytest.mark.parametrize("name", ["report", "report/plots"])
def test_a_report_is_not_written_through_a_link(name: str, strange: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    put_link(strange / name, tmp_path / "outside")
    with pytest.raises(UserError, match="outside the run folder"):
        report(strange, rounds=2)
    assert list((tmp_path / "outside").iterdir()) == []


FILES = [
    "config.yaml",
    "run.json",
    "progress.json",
    "wandb_id",
    "train.log",
    ".lock",
    "csv/metrics.csv",
    "csv/a/b",
]


@pytest.mark.parametrize("name", ["checkpoints", "predictions", "attempts", "csv", "wandb", "wandb/run-1/logs", *FILES])
def test_nothing_is_written_through_a_link(
    name: str, strange: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = outside / "precious" if name in FILES else outside
    if target != outside:
        target.write_text("precious")
    (strange / "metrics.json").unlink()
    (strange / "checkpoints" / "best.ckpt").unlink()
    put_link(strange / name, target)
    outcome = cli("train", f"resume={strange}")
    assert outcome.code == 2
    assert "outside the run folder" in outcome.err
    assert [path for path in outside.rglob("*") if path != target] == []
    assert target == outside or target.read_text() == "precious"


@pytest.mark.parametrize("name", [".lock", "config.yaml", "run.json", "metrics.json", "checkpoints/best.ckpt"])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(name: str, strange: Path, cli: Callable[..., Outcome]) -> None:
    (strange / name).unlink(missing_ok=True)
    os.mkfifo(strange / name)
    assert isinstance(state_of(RunFolder(strange)), str)
    assert collect(strange).runs
    if name != "metrics.json":
        (strange / "metrics.json").unlink()
    command = {".lock": "resume", "run.json": "from"}.get(name, "predict")
    outcome = called(cli, command, strange)
    assert outcome.code == (0 if name == "metrics.json" else 2), outcome.err


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
    from ner_lab.io import safe_read as plain_files
    from ner_lab.runs import records

    for loader in (records._YAML, plain_files._LOADER):
        assert issubclass(loader, yaml.SafeLoader | yaml.CSafeLoader)
