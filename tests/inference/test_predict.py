"""Tagging new text with a run: in Python, and from file to file."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from sample import DEV, TEST, TRAIN, Outcome, marked, read_columns, write_corpus

import ner_lab
from ner_lab.data.tags import spans_of
from ner_lab.errors import UserError
from ner_lab.inference import chunks
from ner_lab.inference.trained_tagger import Entity, TrainedTagger, load

WORDS = [sentence.words for sentence in marked(TRAIN)]
TEXT = """Anna Holm lives in Oslo.
Jonas Vik of Nordbank met Anna Holm in 1997. It rained.

Ida Berg was born in Bergen.
"""


@pytest.fixture(scope="module")
def tagger(run: Path) -> TrainedTagger:
    return load(run)


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Puts bytes on standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))

    return put


def unmarked(text: str) -> str:
    return re.sub(r"\[[A-Z]+ ([^]]*)\]", r"\1", text)


def test_the_package_loads_a_run(run: Path, tagger: TrainedTagger) -> None:
    assert ner_lab.load(run).predict(WORDS) == tagger.predict(WORDS)
    assert ner_lab.load(str(run)).predict([["Oslo"]]) == tagger.predict([["Oslo"]])


@pytest.mark.parametrize(("split", "text"), [("dev", DEV), ("test", TEST)])
def test_predictions_are_those_the_training_run_wrote(run: Path, tagger: TrainedTagger, split: str, text: str) -> None:
    written = [[row[2] for row in rows] for rows in read_columns(run / "predictions" / f"{split}.conll")]
    assert tagger.predict([sentence.words for sentence in marked(text)]) == written


def test_what_was_learned_by_heart_is_found(tagger: TrainedTagger) -> None:
    found = tagger.predict(WORDS)
    right = sum(tags == sentence.tags() for tags, sentence in zip(found, marked(TRAIN), strict=True))
    assert right >= len(WORDS) - 2


def test_tags_do_not_depend_on_the_company_of_a_sentence(tagger: TrainedTagger) -> None:
    together = tagger.predict(WORDS)
    assert [tagger.predict([words])[0] for words in WORDS] == together
    assert tagger.predict(WORDS[::-1]) == together[::-1]


def test_sentences_without_words_get_no_tags(tagger: TrainedTagger) -> None:
    assert tagger.predict([]) == []
    assert tagger.predict([[], ["Oslo"], []]) == [[], tagger.predict([["Oslo"]])[0], []]
    assert tagger.predict([[], []]) == [[], []]


@pytest.mark.parametrize(
    ("sentences", "complaint"),
    [
        ("Anna left.", "is no list of sentences"),
        (None, "is no list of sentences"),
        (["Anna left."], "sentence 0 is 'Anna left.', no list of words"),
        ([["Anna"], None], "sentence 1 is None"),
        ([["Anna", None]], "sentence 0, word 1 is None"),
        ([["Anna", ""]], "sentence 0, word 1 is ''"),
        (7, "7 is no list of sentences"),
        ([{"tokens": ["Anna"]}], "sentence 0 is .*, no list of words"),
        ([{"Anna", "Holm"}], "sentence 0 is .*, no list of words"),
        (iter([["Anna"]]), "is no list of sentences"),
    ],
)
def test_text_where_words_are_expected_is_refused(sentences: Any, complaint: str, tagger: TrainedTagger) -> None:
    with pytest.raises(UserError, match=complaint + r".*for text use \.entities\(text\)\."):
        tagger.predict(sentences)


@pytest.mark.parametrize("text", [None, ["Anna", "left"], b"Anna left"])
def test_entities_are_those_of_a_text(text: Any, tagger: TrainedTagger) -> None:
    with pytest.raises(UserError, match=r"is no text: .* for words use \.predict\."):
        tagger.entities(text)


def test_letters_and_words_never_seen_are_tagged_all_the_same(tagger: TrainedTagger) -> None:
    words = ["\u5317\u4eac", "\U0001f600", "\u0416\u0443\u043a", "a" * 300, "\u0301", "\x07"]
    tags = tagger.predict([words])[0]
    assert len(tags) == len(words)
    assert all(re.fullmatch(r"O|[BI]-(LOC|ORG|PER)", tag) for tag in tags)


def test_a_very_long_sentence_is_tagged(tagger: TrainedTagger) -> None:
    assert len(tagger.predict([["Oslo", "rained"] * 3000])[0]) == 6000


def test_entities_have_their_places_in_the_text(tagger: TrainedTagger) -> None:
    text = "  Anna Holm lives in Oslo.\r\n\nIda Berg   was born in Bergen."
    found = tagger.entities(text)
    assert {(entity.type, entity.text) for entity in found} >= {("PER", "Anna Holm"), ("LOC", "Oslo")}
    assert found[0] == Entity("PER", 2, 11, "Anna Holm")


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.sampled_from(
            ["Anna Holm", "Oslo", "Nordbank", "Ida Berg", "lives in", ".", "\n\n", "\u00e9\U0001f600", "'s"]
        ),
        max_size=12,
    ).map(" ".join)
    | st.text(max_size=40)
)
def test_an_entity_is_the_text_between_its_offsets(run: Path, tagger: TrainedTagger, text: str) -> None:
    found = tagger.entities(text)
    for entity in found:
        assert text[entity.start : entity.end] == entity.text
        assert entity.text.strip() == entity.text != ""
    assert all(before.end <= after.start for before, after in pairwise(found))


# From file to file. Each input holds the same sentences; the tags must be the same whatever the formats.

INPUTS = {
    "tokens": "".join(" ".join(words) + "\n" for words in WORDS),
    "conll": "".join("".join(f"{word} X O\n" for word in words) + "\n" for words in WORDS),
    "jsonl": "".join(json.dumps({"tokens": words}) + "\n" for words in WORDS),
}


def read_output(form: str, text: str) -> list[tuple[list[str], list[tuple[str, int, int]]]]:
    """Sentences as words and (type, first word, behind the last word), from any output format."""
    if form == "conll":
        blocks = [[line.split(" ") for line in block.split("\n")] for block in text.split("\n\n") if block]
        return [([row[0] for row in rows], [tuple(s) for s in spans_of([row[1] for row in rows])]) for rows in blocks]
    if form == "jsonl":
        found = []
        for item in map(json.loads, text.splitlines()):
            spans = [tuple(span) for span in spans_of(item["tags"])]
            assert [(e["type"], e["start"], e["end"]) for e in item["entities"]] == spans
            for entity in item["entities"]:
                assert entity["text"] == " ".join(item["tokens"][entity["start"] : entity["end"]])
            found.append((item["tokens"], spans))
        return found
    return [(line.words, [tuple(span) for span in line.spans]) for line in marked(text)]


@pytest.mark.parametrize("output", ["conll", "jsonl", "text"])
@pytest.mark.parametrize("source", list(INPUTS))
def test_every_input_format_goes_into_every_output_format(
    source: str, output: str, run: Path, tagger: TrainedTagger, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "in").write_text(INPUTS[source], encoding="utf-8")
    files = [f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}"]
    outcome = cli("predict", f"run={run}", f"input_format={source}", f"format={output}", *files)
    assert (outcome.code, outcome.out) == (0, "")
    expected = [
        (words, [tuple(span) for span in spans_of(tags)])
        for words, tags in zip(WORDS, tagger.predict(WORDS), strict=True)
    ]
    assert read_output(output, (tmp_path / "out").read_text(encoding="utf-8")) == expected


@pytest.mark.parametrize("output", ["conll", "jsonl", "text"])
def test_running_text_goes_into_every_output_format(
    output: str, run: Path, tagger: TrainedTagger, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "in.txt").write_text(TEXT, encoding="utf-8")
    outcome = cli("predict", f"run={run}", f"input={tmp_path / 'in.txt'}", "input_format=text", f"format={output}")
    assert outcome.code == 0
    entities = [entity.text for entity in tagger.entities(TEXT)]
    assert {"Anna Holm", "Oslo"} <= set(entities)
    if output == "text":
        assert unmarked(outcome.out) == TEXT
        assert [text for _, text in re.findall(r"\[([A-Z]+) ([^]]*)\]", outcome.out)] == entities
    else:
        found = [
            " ".join(words[start:end]) for words, spans in read_output(output, outcome.out) for _, start, end in spans
        ]
        assert found == entities
        assert len(read_output(output, outcome.out)) == 4


@pytest.mark.parametrize("source", list(INPUTS))
def test_the_format_is_recognised_where_it_is_not_stated(
    source: str, run: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    name = {"tokens": "in.tok", "conll": "in", "jsonl": "in"}[source]
    (tmp_path / name).write_text(INPUTS[source], encoding="utf-8")
    outcome = cli("predict", f"run={run}", f"input={tmp_path / name}")
    assert [words for words, _ in read_output("conll", outcome.out)] == WORDS
    guessed = "" if source == "tokens" else rf"\S*/in: read as input_format={source} \(.*\); .*: text, .*\n"
    assert re.fullmatch(guessed, outcome.err)


def test_columns_are_read_as_the_runs_own_unless_others_are_given(
    run: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    config = OmegaConf.load(run / "config.yaml")
    config.data.columns = {"word": 1, "tag": 2}
    other = shutil.copytree(run, tmp_path / "run")
    OmegaConf.save(config, other / "config.yaml")
    (tmp_path / "in.tsv").write_text("1\tAnna\tO\n2\tHolm\tO\n\n", encoding="utf-8")
    call = ["predict", f"run={other}", f"input={tmp_path / 'in.tsv'}"]
    assert [words for words, _ in read_output("conll", cli(*call).out)] == [["Anna", "Holm"]]
    assert "column 2 holds tags" in cli(*call, "data.columns.word=2").err
    assert "data.columns, data.separator, data.docstart" in cli(*call, "data.test=x").err


def test_standard_input_is_read_as_utf8_whatever_the_terminal_says(
    run: Path, cli: Callable[..., Outcome], feed: Callable[[bytes], None]
) -> None:
    feed("\ufeffAnna Holm lives in \u00c5lesund .\n".encode())
    outcome = cli("predict", f"run={run}", "input_format=tokens")
    assert [words for words, _ in read_output("conll", outcome.out)] == [
        ["Anna", "Holm", "lives", "in", "\u00c5lesund", "."]
    ]


@pytest.mark.parametrize("form", ["text", "tokens", "conll", "jsonl", "auto"])
@pytest.mark.parametrize("output", ["conll", "jsonl", "text"])
def test_an_empty_input_gives_an_empty_output(
    form: str, output: str, run: Path, cli: Callable[..., Outcome], feed: Callable[[bytes], None]
) -> None:
    feed(b"")
    outcome = cli("predict", f"run={run}", f"input_format={form}", f"format={output}")
    assert outcome == Outcome(0, "", "")


@pytest.mark.parametrize("form", ["text", "tokens", "conll", "jsonl"])
def test_windows_line_ends_and_empty_lines_change_nothing(
    form: str, run: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    content = INPUTS.get(form, TEXT)
    usual, windows = tmp_path / "usual", tmp_path / "windows"
    usual.write_bytes(content.encode())
    windows.write_bytes(b"\r\n\r\n" + content.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    said = [cli("predict", f"run={run}", f"input={file}", f"input_format={form}").out for file in (usual, windows)]
    assert said[0] == said[1] != ""


def test_running_text_keeps_its_empty_lines(run: Path, tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    (tmp_path / "in").write_text("\n\n  Anna Holm  lives in Oslo .  \n\n\nIt rained .", encoding="utf-8")
    outcome = cli("predict", f"run={run}", f"input={tmp_path / 'in'}", "input_format=text", "format=text")
    assert unmarked(outcome.out) == "\n\n  Anna Holm  lives in Oslo .  \n\n\nIt rained .\n"
    assert "[PER Anna Holm]" in outcome.out


def test_a_run_is_used_from_any_folder(
    run: Path, tagger: TrainedTagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(os.path.relpath(run)).predict(WORDS) == tagger.predict(WORDS)


def test_a_gold_file_can_be_tagged_as_it_stands(
    run: Path, tagger: TrainedTagger, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    file = write_corpus(tmp_path / "gold.conll", marked(TEST), columns=("word", "pos", "tag"))
    outcome = cli("predict", f"run={run}", f"input={file}", "threads=1")
    words = [sentence.words for sentence in marked(TEST)]
    found = [[line.split(" ")[1] for line in block.split("\n")] for block in outcome.out.split("\n\n") if block]
    assert found == tagger.predict(words)


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few sentences, and several processes for every input."""
    for name, size in (("_SMALLEST", 200), ("_LARGEST", 200), ("_LONG", 1)):
        monkeypatch.setattr(chunks, name, size)


@pytest.mark.usefixtures("short_chunks")
@pytest.mark.parametrize(
    ("source", "output"), [("conll", "jsonl"), ("jsonl", "conll"), ("tokens", "text"), ("text", "text")]
)
def test_several_processes_write_what_one_writes(
    source: str, output: str, run: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "in").write_text(INPUTS.get(source, TEXT) * 8, encoding="utf-8")
    said = [
        cli("predict", f"run={run}", f"input={tmp_path / 'in'}", f"input_format={source}", f"format={output}", threads)
        for threads in ("threads=1", "threads=3")
    ]
    assert said[0] == said[1]
    assert said[0].code == 0
    assert len(said[0].out) > 1000


@pytest.mark.usefixtures("short_chunks")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("source", "content", "bad", "complaint"),
    [
        ("conll", "Anna O\nwon O\n\n", "Oslo\n\n", r"in:901: 1 column, line 1 has 2\."),
        ("jsonl", '{"tokens": ["Anna", "won"]}\n', "{\n", r"in:301: not JSON"),
        ("tokens", "Anna won\n", "\xff\n", r"in:301: byte 0xff is not UTF-8\..*iconv"),
        ("text", "Anna won\n", "Anna \xff\n", r"in:301: byte 0xff is not UTF-8\..*iconv"),
    ],
)
def test_what_stands_before_a_mistake_is_written(
    threads: int,
    source: str,
    content: str,
    bad: str,
    complaint: str,
    run: Path,
    tmp_path: Path,
    cli: Callable[..., Outcome],
) -> None:
    (tmp_path / "in").write_bytes((content * 300 + bad + content * 300).encode("latin-1"))
    files = [f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}"]
    outcome = cli("predict", f"run={run}", f"input_format={source}", f"threads={threads}", *files)
    assert outcome.code == 2
    assert re.search(complaint, outcome.err)
    assert f"What was tagged so far is in {tmp_path / 'out.part'}." in outcome.err
    assert not (tmp_path / "out").exists()
    written = read_output("conll", (tmp_path / "out.part").read_text())
    assert [words for words, _ in written] == [["Anna", "won"]] * 300


def test_what_is_written_bit_by_bit_is_tagged_as_it_comes(run: Path) -> None:
    command = [Path(sys.executable).with_name("ner-lab"), "predict", f"run={run}", "input_format=tokens"]
    with subprocess.Popen([*command, "format=text"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in (b"Anna Holm won .\n", b"It rained .\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert unmarked(process.stdout.readline().decode()).encode() == line
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_ctrl_c_ends_all_processes_with_a_word(run: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(INPUTS["tokens"] * 2000, encoding="utf-8")
    command = [Path(sys.executable).with_name("ner-lab"), "predict", f"run={run}", f"input={tmp_path / 'text'}"]
    with subprocess.Popen(
        [*command, "input_format=tokens", "threads=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == b"interrupted\n"  # also: nobody is left who could write more
        assert process.wait(timeout=60) == 130


def test_a_reader_that_has_enough_ends_the_command_in_silence(run: Path, tmp_path: Path) -> None:
    """`ner-lab predict run=... < text | head -1`, processes and all."""
    (tmp_path / "text").write_text(INPUTS["tokens"] * 400, encoding="utf-8")
    command = [Path(sys.executable).with_name("ner-lab"), "predict", f"run={run}", "input_format=tokens"]
    with (
        (tmp_path / "text").open("rb") as text,
        (tmp_path / "said").open("w+b") as said,
        subprocess.Popen(command, stdin=text, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Anna ")
        process.stdout.close()
        assert process.wait(timeout=120) == 141
        assert said.seek(0) == 0
        assert said.read() == b""
