"""The commands as a person meets them: what they print, how they end, what a mistake is answered with."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from finished import same_weights, without_times
from preloaded import Preloaded
from sample import TEST, TRAIN, Outcome, marked, metrics_of, read_columns, write_corpus

import ner_lab
from ner_lab.config.compose import compose_config
from ner_lab.data.corpora import locate, read_corpus
from ner_lab.data.options import DataOptions
from ner_lab.data.readers.conll import ColumnFormat, read_split
from ner_lab.data.tags import spans_of
from ner_lab.inference.evaluate import evaluate
from ner_lab.training import train as train_module


@pytest.fixture
def train_command(small: list[str], tmp_path: Path, cli: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """`ner-lab train` on the small corpus, further arguments behind."""

    def call(*arguments: str) -> Outcome:
        return cli("train", *small, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path / 'run'}", *arguments)

    return call


def assert_refused(outcome: Outcome, *messages: str) -> None:
    assert outcome.code == 2, outcome.said
    assert "Traceback" not in outcome.said
    assert "Error executing job" not in outcome.said
    assert outcome.said.count("error: ") == 1
    for message in messages:
        assert message in outcome.said


# what a person sees


def test_without_a_command_the_commands_are_listed(subprocess_cli: Callable[..., Outcome]) -> None:
    outcome = subprocess_cli()
    assert (outcome.code, outcome.err) == (2, "")
    for command in ("train", "evaluate", "predict", "data"):
        assert f"  {command} " in outcome.out
    assert subprocess_cli("--help") == Outcome(0, outcome.out, "")


def test_an_unknown_command_is_answered_with_the_nearest(subprocess_cli: Callable[..., Outcome]) -> None:
    outcome = subprocess_cli("trian", "seed=1")
    assert outcome.code == 2
    assert outcome.err.startswith("error: no command 'trian'. Did you mean 'train'?\n")


def test_the_version_is_that_of_the_package(cli: Callable[..., Outcome]) -> None:
    assert cli("--version").out == f"{ner_lab.__version__}\n"


@pytest.mark.parametrize("command", ["evaluate", "predict", "data"])
def test_every_command_says_what_it_takes(command: str, cli: Callable[..., Outcome]) -> None:
    outcome = cli(command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"usage: ner-lab {command} ")


def test_the_help_of_train_is_that_of_hydra(subprocess_cli: Callable[..., Outcome]) -> None:
    said = subprocess_cli("train", "--help").out
    hydra = subprocess_cli("train", "--help", "seed=1").out
    assert said.split() == [word for word in hydra.split() if word != "base,"]  # no option, but a part of some


def test_the_help_of_train_names_every_group_and_option(cli: Callable[..., Outcome]) -> None:
    outcome = cli("train", "--help")
    assert outcome.code == 0
    for word in ("char_encoder", "cnn_chiu", "paper", "ma_hovy2016", "ner-lab train"):
        assert word in outcome.out


def test_training_shows_corpus_sizes_epochs_and_scores(console_run: tuple[Path, Outcome]) -> None:
    folder, outcome = console_run
    assert outcome.code == 0, outcome.said
    metrics = metrics_of(folder)
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["train", "-", "12", "97", "20", "8", "6", "6", "IOB2", "11"] in rows
    assert [row[1] for row in rows if row[:1] == ["epoch"]] == [f"{epoch}/12" for epoch in range(1, 13)]
    for split in ("dev", "test"):
        row = next(row for row in rows if row[:1] == ["all"] and row[3:4] == [f"{metrics[split]['f1']:.2f}"])
        assert row[4] == str(metrics[split]["gold"])
    assert f"best epoch {metrics['best_epoch']} of 12" in outcome.out
    assert f"ner-lab predict {folder.name} " in outcome.out
    assert outcome.err.splitlines() == metrics["warnings"]  # those of the data alone, once


def test_another_process_repeats_a_run_to_the_last_bit(run: Path, console_run: tuple[Path, Outcome]) -> None:
    folder, _ = console_run
    assert same_weights(run, folder)
    assert without_times(metrics_of(run)) == without_times(metrics_of(folder))
    for split in ("dev", "test"):
        path = Path("predictions") / f"{split}.conll"
        assert (run / path).read_bytes() == (folder / path).read_bytes()


def test_what_is_doubtful_about_the_data_is_said_once_at_each_start_and_kept(
    run: Path, console_run: tuple[Path, Outcome]
) -> None:
    folder, outcome = console_run  # which found the data prepared by the other
    warnings = metrics_of(folder)["warnings"]
    assert warnings == metrics_of(run)["warnings"]
    assert [line.split(":")[0] for line in warnings] == ["dev", "train"]  # few entities, and vectors from few words
    assert outcome.err.splitlines() == warnings


def test_the_log_of_a_run_holds_what_was_shown(console_run: tuple[Path, Outcome]) -> None:
    folder, outcome = console_run
    log = (folder / "train.log").read_text(encoding="utf-8")
    for line in outcome.out.splitlines():
        assert line in log


def test_the_run_folder_is_named_after_the_choices(
    small: list[str], tmp_path: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("train", *small, "decoder=softmax", "seed=3", "trainer.max_epochs=1").code == 0
    (metrics,) = tmp_path.rglob("metrics.json")
    *choices, _ = metrics.parent.relative_to(tmp_path).parts
    assert choices == ["outputs", "files", "random-cnn-caps-bilstm-softmax", "seed=3"]


def test_a_multirun_trains_one_tagger_for_each_value(
    small: list[str],
    tmp_path: Path,
    preloaded: Preloaded,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", str(preloaded.python))  # of the jobs
    outcome = cli("train", "-m", *small, "trainer.max_epochs=1", "seed=1,2", f"hydra.sweep.dir={tmp_path}")
    assert outcome.code == 0, outcome.said
    runs = sorted(metrics.parent for metrics in tmp_path.rglob("metrics.json"))
    assert [metrics_of(run)["seed"] for run in runs] == [1, 2]
    assert len({metrics_of(run)["history"][0]["train_loss"] for run in runs}) == 2


# mistakes of the user's: code 2, a message, no traceback


def test_a_mistake_ends_the_process_with_code_2_and_the_nearest_key(
    small: list[str], tmp_path: Path, subprocess_cli: Callable[..., Outcome]
) -> None:
    outcome = subprocess_cli("train", *small, "trainer.max_epoch=3", f"hydra.run.dir={tmp_path / 'run'}")
    assert_refused(outcome, "unknown config key 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'?")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("decoder=crff", "decoder has no option 'crff'. Did you mean 'crf'?"),
        ("sede=3", "unknown config key 'sede'. Did you mean 'seed'?"),
        ("+new.key=1", "unknown config key 'new'"),
        ("+encoder.hiden_dim=1", "unknown config key 'encoder.hiden_dim'. Did you mean 'hidden_dim'?"),
        ("logger.project=mine", "the chosen option of 'logger' does not take 'project'"),
        ("~decoder", "decoder needs one option: decoder=crf|crf_chiu|"),
        ("data.scheme=IOX", "'IOX' is not a tag scheme; use one of IO, IOB1, IOB2, IOBES, BILOU"),
        ("data.digits=drop", "data.digits must be one of keep, zero, zero_run; got 'drop'."),
        ("optimizer.clip=hard", "optimizer.clip must be one of none, norm, value; got 'hard'."),
        ("optimizer.lr=fast", "optimizer.lr must be a number, such as 0.003; got 'fast'."),
        ("decoder.constraints=some", "decoder.constraints must be one of none, decode, always; got 'some'."),
        ("encoder.input_dropout=1.5", "encoder.input_dropout must be a probability, from 0 to 1; got 1.5."),
        ("encoder.hidden_dim=0", "encoder.hidden_dim must be a whole number from 1"),
        ("encoder.hidden_dim=2.5", "encoder.hidden_dim must be a whole number, such as 200; got 2.5."),
        ("trainer.accelerator=abacus", "abacus"),
        ("early_stopping=null", "early_stopping is 'None', but it has keys of its own: patience, rule."),
        ("threads=0", "threads must be a whole number of at least 1; got 0"),
        ("data.train=null", "data=files needs data.train=FILE"),
        ("data.train=nowhere.conll", "nowhere.conll: there is no such file"),
        ("hydra.run.dir=/dev/null/none", "/dev/null/none"),
    ],
)
def test_a_wrong_argument_is_refused_in_words(
    argument: str, message: str, train_command: Callable[..., Outcome]
) -> None:
    assert_refused(train_command(argument), message)


def test_an_option_that_needs_a_file_asks_for_it(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = cli("train", "word_embedding=file", "logger=none", f"hydra.run.dir={tmp_path}")
    assert_refused(outcome, "word_embedding.path has no default. Give word_embedding.path=...")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("data: {batch_sise: 3}", "unknown config key 'data.batch_sise'. Did you mean 'batch_size'?"),
        ("trainer: {max_epoch: 3}", "unknown config key 'trainer.max_epoch'. Did you mean 'max_epochs'?"),
        ("early_stop: {patience: 3}", "unknown config key 'early_stop'. Did you mean 'early_stopping'?"),
        ("data: {min_count: many}", "data.min_count must be a whole number"),
        ("early_stopping: null", "early_stopping is 'None', but it has keys of its own: patience, rule."),
    ],
)
def test_a_mistake_in_a_paper_file_of_ones_own_is_found(
    lines: str, message: str, tmp_path: Path, train_command: Callable[..., Outcome]
) -> None:
    (tmp_path / "own" / "paper").mkdir(parents=True)
    (tmp_path / "own" / "paper" / "mine.yaml").write_text(f"# @package _global_\n{lines}\n")
    assert_refused(train_command("paper=mine", "--config-dir", str(tmp_path / "own")), message)


def test_a_paper_file_of_ones_own_is_used(tmp_path: Path, train_command: Callable[..., Outcome]) -> None:
    (tmp_path / "own" / "paper").mkdir(parents=True)
    (tmp_path / "own" / "paper" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /decoder: softmax\nearly_stopping: {patience: 3}\n"
    )
    assert train_command("paper=mine", "--config-dir", str(tmp_path / "own")).code == 0
    kept = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    assert "ner_lab.models.decoder.softmax.Softmax" in kept
    assert "patience: 3" in kept


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("Anna B-PER\nHolm\n", ":2: 1 column, line 1 has 2"),
        ("Anna B-PER\nleft X\n", ":2: 'X' is not a tag"),
        ("Anna\nleft\n", ":1: 1 column"),
        ("\n", "no sentences"),
        ("Anna O\n", "no entities"),
    ],
)
def test_a_bad_line_of_data_is_named_with_file_and_line(
    lines: str, message: str, tmp_path: Path, train_command: Callable[..., Outcome]
) -> None:
    (tmp_path / "bad.conll").write_text(lines)
    assert_refused(train_command(f"data.train={tmp_path / 'bad.conll'}"), str(tmp_path / "bad.conll"), message)


def test_bytes_that_are_not_utf8_are_named_with_file_and_line(
    tmp_path: Path, train_command: Callable[..., Outcome]
) -> None:
    (tmp_path / "latin").write_bytes(b"Anna B-PER\n\nr\xf8d O\n")
    assert_refused(train_command(f"data.train={tmp_path / 'latin'}"), "latin:3: byte 0xf8 is not UTF-8", "iconv")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_wrong_run_folder_is_refused(command: str, tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    assert_refused(cli(command), "which run? Give its folder.")
    assert_refused(cli(command, f"run={tmp_path / 'nowhere'}"), "no such folder")
    assert_refused(cli(command, f"run={tmp_path}"), "config.yaml is missing. Did the run finish?")
    assert_refused(cli(command, "rum=x"), "unknown key 'rum'. Did you mean 'run'?")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["splits=tset"], "splits=tset: this corpus has train, dev, test."),
        (["data=fils"], "data has no option 'fils'. Did you mean 'files'?"),
        (["data=files"], "nothing to score: give data.test=FILE"),
        (["data=files", "data.test=nowhere"], "nowhere: there is no such file"),
        (["data=files", "data.tset=x"], "unknown config key 'data.tset'. Did you mean 'data.test'?"),
        (["data.tset=x"], "unknown config key 'data.tset'. Did you mean 'data.test'?"),
        (["output=/dev/null/none"], "/dev/null/none"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    arguments: list[str], message: str, run: Path, cli: Callable[..., Outcome]
) -> None:
    assert_refused(cli("evaluate", f"run={run}", *arguments), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["input=nowhere"], "input=nowhere: there is no such file"),
        (["input=."], "input=.: is a folder"),
        (["input=here", "output=none/there"], "output=none/there: there is no folder none."),
        (["input=here", "output=."], "output=.: is a folder"),
        (["input=here", "output=./here"], "output=./here is the input itself"),
        (["format=jsnl"], "format must be one of conll, jsonl, text; got 'jsnl'. Did you mean 'jsonl'?"),
        (["input_format=words"], "input_format must be one of auto, text, tokens, conll, jsonl; got 'words'."),
        (["threads=many"], "threads must be a whole number of at least 1; got 'many'."),
        (["data=files"], "'data=files': predict takes --input FILE and, of data"),
        (["input=bad.jsonl"], "bad.jsonl:1: not JSON"),
    ],
)
def test_what_cannot_be_tagged_is_refused(
    arguments: list[str],
    message: str,
    run: Path,
    tmp_path: Path,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").write_text("Anna left .\n")
    (tmp_path / "bad.jsonl").write_text("Anna left .\n")
    assert_refused(cli("predict", f"run={run}", *arguments), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stat"], "no action 'stat'. Did you mean 'stats'?"),
        (["stats", "data=fils"], "data has no option 'fils'. Did you mean 'files'?"),
        (["stats", "data=files"], "data=files needs data.train=FILE"),
        (["stats", "output=x"], "--output: `ner-lab data stats` does not take it"),
        (["stats", "data.columns.lemma=1"], "'data.columns.lemma' is a new name there: add it with a plus sign"),
        (["stats", "data=conll2003", "data.dir=nowhere"], "data.dir=nowhere: no such folder"),
        (["export"], "where to? Give output=DIR."),
        (["lexicon", "output=x"], "Give --input FILE and --output FILE."),
        (["lexicon", "input=/nowhere/names.txt", "output=x"], "input=/nowhere/names.txt: there is no such file"),
        (["lexicon", "data=conll2003"], "'data=conll2003': a lexicon takes --input FILE,FILE and --output FILE only."),
        (["export", "output=x", "scheme=IOX"], "'IOX' is not a tag scheme; use one of IO, IOB1, IOB2, IOBES, BILOU"),
        (["export", "output=/dev/null"], "/dev/null"),
    ],
)
def test_what_cannot_be_done_with_data_is_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    cli: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(cli("data", *arguments), message)
    assert not (tmp_path / "x").exists()


def test_data_without_an_action_says_what_there_is(cli: Callable[..., Outcome]) -> None:
    outcome = cli("data")
    assert outcome.code == 2
    for action in ("stats", "download", "export", "lexicon"):
        assert action in outcome.err


# faults of ours: a traceback, code 1


def test_a_fault_of_ours_is_not_worded_as_the_users(
    train_command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **settings: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(train_module, "prepare", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train_command()


def test_a_fault_of_ours_ends_the_process_with_code_1_and_a_traceback() -> None:
    code = "from ner_lab.cli.app import run_command; run_command(lambda: [][1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "IndexError" in done.stderr


# looking at corpora


def test_stats_count_what_the_files_hold(corpus: Path, cli: Callable[..., Outcome]) -> None:
    files = [f"data.{name}={corpus / name}.conll" for name in ("train", "dev", "test")]
    outcome = cli("data", "stats", "data=files", *files)
    assert outcome.code == 0
    rows = [line.split() for line in outcome.out.splitlines()]
    for name, text in (("train", TRAIN), ("test", TEST)):
        sentences = marked(text)
        spans = [span.type for sentence in sentences for span in sentence.spans]
        tokens, longest = sum(len(s.words) for s in sentences), max(len(s.words) for s in sentences)
        numbers = [len(sentences), tokens, len(spans), *(spans.count(kind) for kind in ("LOC", "ORG", "PER"))]
        assert [name, "-", *map(str, numbers), "IOB2", str(longest)] in rows


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IOBES", "BILOU"])
def test_an_exported_corpus_reads_back_as_it_was(scheme: str, tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    outcome = cli("data", "export", "data=builtin", f"output={tmp_path / 'out'}", f"scheme={scheme}")
    assert outcome.code == 0, outcome.said
    options = DataOptions(**{k: v for k, v in compose_config(["data=builtin"]).data.items() if not k.startswith("_")})
    for name, split in read_corpus(options, locate(options)).items():
        columns = ColumnFormat(others={"pos": 1, "chunk": 2})
        again = read_split(name, tmp_path / "out" / f"{name}.conll", columns)
        assert again.scheme == scheme
        assert [s.words for s in again.sentences] == [s.words for s in split.sentences]
        assert [spans_of(s.tags) for s in again.sentences] == [spans_of(s.tags) for s in split.sentences]
        assert [s.document for s in again.sentences] == [s.document for s in split.sentences]
        assert [s.columns for s in again.sentences] == [s.columns for s in split.sentences]


def test_an_export_keeps_further_columns_and_makes_no_documents(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    file = write_corpus(tmp_path / "in", marked(TEST), columns=("tag", "chunk", "word"), scheme="BILOU")
    settings = ["data=files", f"data.train={file}", f"data.dev={file}"]
    columns = ["data.columns.word=2", "data.columns.tag=0", "+data.columns.chunk=1"]
    assert cli("data", "export", *settings, *columns, f"output={tmp_path / 'out'}").code == 0
    expected = [
        [[word, "_", "X", tag] for word, tag in zip(sentence.words, sentence.tags("IOB2"), strict=True)]
        for sentence in marked(TEST)
    ]
    assert read_columns(tmp_path / "out" / "train.conll") == expected
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dev.conll", "train.conll"]


@pytest.mark.parametrize("docstart", ["drop", "keep"])
def test_marks_of_documents_are_exported_once(docstart: str, tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    content = (
        "-DOCSTART- -X- -X- O\n\nAnna NNP I-NP B-PER\nwon VBD I-VP O\n\n-DOCSTART- -X- -X- O\n\nOslo NNP I-NP B-LOC\n\n"
    )
    (tmp_path / "in").write_text(content)
    columns = ["data.columns.tag=3", "+data.columns.pos=1", "+data.columns.chunk=2", f"data.docstart={docstart}"]
    files = ["data=files", f"data.train={tmp_path / 'in'}", f"data.dev={tmp_path / 'in'}"]
    assert cli("data", "export", *files, *columns, f"output={tmp_path / 'out'}").code == 0
    assert (tmp_path / "out" / "train.conll").read_text() == content


def test_an_exported_corpus_is_scored_as_the_original(
    run: Path, corpus: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    files = [f"data.{name}={corpus / name}.conll" for name in ("train", "dev", "test")]
    assert cli("data", "export", "data=files", *files, f"output={tmp_path}", "scheme=bioes").code == 0
    scored = evaluate(run, ["data=files", f"data.test={tmp_path / 'test.conll'}"])
    assert scored["test"].scores == metrics_of(run)["test"]


def test_what_lies_at_hand_needs_no_download(corpus: Path, cli: Callable[..., Outcome]) -> None:
    outcome = cli("data", "download", "data=files", f"data.train={corpus / 'train.conll'}")
    assert outcome.code == 0
    assert outcome.out == f"train  {corpus / 'train.conll'}\n"


def test_without_the_network_a_download_says_how_to_do_without(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    with socket.socket() as nobody:  # bound, but it does not listen
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/train.txt.gz"
        downloads = f"data.downloads=[{{url:'{address}',splits:{{train:train.txt}}}}]"
        outcome = cli("data", "download", "data=conll2000", downloads, f"data.cache_dir={tmp_path}")
    assert_refused(outcome, f"{address} could not be downloaded", "data.dir=FOLDER with the files of conll2000")


def test_a_lexicon_is_built_from_lists_of_names(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    (tmp_path / "a.txt").write_text("Port Elm (harbour)\nElm & Sons, Inc.\n")
    (tmp_path / "b.txt").write_text("Port Elm.\nVale?\n")
    outcome = cli(
        "data", "lexicon", f"input={tmp_path / 'a.txt'},{tmp_path / 'b.txt'}", f"output={tmp_path / 'out.lst'}"
    )
    assert outcome.code == 0
    assert "3 entries" in outcome.said
    assert (tmp_path / "out.lst").read_text().splitlines() == ["Port Elm", "Elm & Sons , Inc", "Vale"]
