"""`ner-lab score`: files of any system against conlleval and seqeval, and against each other."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conlleval import conlleval
from sample import Outcome, metrics_of
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from ner_lab.cli.score import compare_files, score_file
from ner_lab.data.tags import SCHEMES, Span, convert, tags_of
from ner_lab.evaluation.conlleval import schemes_of

CASE = "Anna NNP B-PER B-PER\nHolm NNP I-PER O\nsaw VBD O O\nOslo NNP B-LOC B-LOC\n\n"


def random_file(path: Path, seed: int, *, scheme: str = "IOB2", separator: str = " ", sentences: int = 60) -> Path:
    """Gold in a scheme, and predictions that are wrong here and there, and improper."""
    draw = random.Random(seed)
    lines = ["-DOCSTART- -X- O O", ""]
    for number in range(sentences):
        length = draw.randint(1, 9)
        spans, start = list[Span](), 0
        while start < length:
            end = min(length, start + draw.randint(1, 3))
            if draw.random() < 0.5:
                spans.append(Span(draw.choice(["PER", "LOC"]), start, end))
            start = end
        gold = tags_of(spans, length, scheme)
        known = sorted({*gold, "O"})
        predicted = [tag if draw.random() < 0.8 else draw.choice(known) for tag in gold]
        lines += [
            separator.join((f"w{number}.{place}", "X", *pair))
            for place, pair in enumerate(zip(gold, predicted, strict=True))
        ]
        lines.append("")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_conlleval_and_strict_is_seqevals(seed: int, separator: str, tmp_path: Path) -> None:
    path = random_file(tmp_path / "a.conll", seed, separator=separator)
    file = score_file(path)
    lines = [line.replace("\t", " ") for line in path.read_text().splitlines() if "DOCSTART" not in line]
    report = conlleval(lines)
    figures = [*report.figures("LOC", "PER"), report.accuracy]
    assert [f"{file.scores[name]:.2f}" for name in ("precision", "recall", "f1", "accuracy")] == figures
    assert file.scores["f1_strict"] == pytest.approx(
        100 * f1_score(file.gold, file.predicted, mode="strict", scheme=IOB2), abs=1e-9
    )
    assert file.scores["improper_sequences"] > 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_recognised_and_a_perfect_file_is_perfect(scheme: str, tmp_path: Path) -> None:
    path = random_file(tmp_path / "a.conll", 3, scheme=scheme)
    rows = [line.split(" ") for line in path.read_text().split("\n")]
    path.write_text("\n".join(" ".join([*row[:-1], row[-2]] if len(row) > 2 else row) for row in rows))
    scores = score_file(path).scores
    assert (scores["f1"], scores["accuracy"], scores["improper_sequences"]) == (100, 100, 0)
    assert scores["schemes"] == {"gold": scheme, "predicted": scheme}


@pytest.mark.parametrize(
    ("gold", "predicted", "schemes"),
    [
        ("B-A I-A O B-B", "B-A O O I-B", ("IOB2", "IOB2")),  # improper, but of the gold's scheme
        ("B-A I-A O B-B", "O I-A O I-B", ("IOB2", "IO")),
        ("I-A B-A O I-B", "B-A B-A O B-B", ("IOB1", "IOB2")),
        ("I-A B-A O I-B", "I-A I-A O I-B", ("IOB1", "IOB1")),
        ("B-A E-A O S-B", "B-A I-A O B-B", ("IOBES", "IOB2")),
        ("B-A E-A O S-B", "O I-B O O", ("IOBES", "IO")),
        ("B-A E-A O S-B", "O O O O", ("IOBES", "IOBES")),
        ("O O O O", "U-A O O O", ("BILOU", "BILOU")),
    ],
)
def test_predictions_have_the_golds_scheme_unless_they_obey_another(
    gold: str, predicted: str, schemes: tuple[str, str]
) -> None:
    assert schemes_of([gold.split()], [predicted.split()]) == schemes


@pytest.mark.parametrize("schemes", [("IOB1", "IOB1"), ("BILOU", "IOB2"), ("IOB2", "IOBES"), ("IOBES", "IOB1")])
def test_scores_are_the_same_in_whatever_schemes_gold_and_predictions_are(
    schemes: tuple[str, str], tmp_path: Path
) -> None:
    gold = ["B-PER", "I-PER", "B-PER", "I-PER", "O", "B-LOC", "I-LOC", "I-LOC"]
    guess = ["B-PER", "I-PER", "B-PER", "O", "O", "B-LOC", "I-LOC", "I-LOC"]
    files = []
    for name, (of_gold, of_guess) in (("a", ("IOB2", "IOB2")), ("b", schemes)):
        rows = zip(convert(gold, of_gold), convert(guess, of_guess), strict=True)
        (tmp_path / name).write_text("".join(f"w {one} {two}\n" for one, two in rows))
        files.append(score_file(tmp_path / name))
    assert tuple(files[1].scores.pop("schemes").values()) == schemes
    assert files[1].scores.items() <= files[0].scores.items()
    assert compare_files(files, rounds=10)[0]["difference"] == 0  # in whatever scheme the gold tags are


def test_a_run_of_ours_is_scored_as_its_metrics_say(run: Path) -> None:
    scores = score_file(run / "predictions" / "test.conll").scores
    expected = metrics_of(run)["test"]
    for name in ("precision", "recall", "f1", "f1_strict", "accuracy", "tokens", "sentences"):
        assert scores[name] == expected[name], name


def test_chunks_taken_for_gold_tags_are_doubtful(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    (tmp_path / "a.conll").write_text("EU NNP B-NP B-ORG\nran VBD B-VP O\n")
    outcome = cli("score", str(tmp_path / "a.conll"))
    assert "no type of the gold tags (NP, VP) is one of the predicted ones (ORG)" in outcome.said


def test_one_of_two_entities_is_half(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    (tmp_path / "a.conll").write_text(CASE)
    outcome = cli("score", str(tmp_path / "a.conll"), "--json")
    assert outcome.code == 0, outcome.said
    (figures,) = json.loads(outcome.out)["files"]
    assert [figures[name] for name in ("precision", "recall", "f1", "accuracy")] == [50, 50, 50, 75]
    assert {name: row["correct"] for name, row in figures["per_type"].items()} == {"LOC": 1, "PER": 0}


def test_several_files_are_compared_with_the_first(tmp_path: Path, cli: Callable[..., Outcome]) -> None:
    first = random_file(tmp_path / "a.conll", 1)
    rows = [line.split(" ") for line in first.read_text().split("\n")]
    better = [" ".join([*row[:-1], row[-2]] if len(row) > 2 else row) for row in rows]
    (tmp_path / "b.conll").write_text("\n".join(better))
    tests = compare_files([score_file(tmp_path / name) for name in ("a.conll", "b.conll", "a.conll")], rounds=500)
    assert tests[0]["difference"] == pytest.approx(100 - score_file(first).scores["f1"])
    assert tests[0]["p"] < 0.01 < tests[1]["p"]
    assert tests[1]["difference"] == 0
    assert tests[0]["p_holm"] == pytest.approx(2 * tests[0]["p"])
    outcome = cli("score", str(first), str(tmp_path / "b.conll"))
    assert outcome.code == 0, outcome.said
    assert "p (Holm)" in outcome.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CASE.replace("Oslo NNP", "Bergen NNP"), "b.conll:4: not the sentence of"),
        (CASE.replace("B-LOC B-LOC", "B-PER B-LOC"), "b.conll:4: the gold entities of this sentence are not those of"),
        (CASE + CASE, "2 sentences, and"),
        ("Anna B-PER\n", "b.conll:1: 2 columns, expected at least 3"),
        ("Anna X B-PER NNP\n", "b.conll:1: 'NNP' is not a tag"),
        ("\n", "no sentence in it"),
    ],
)
def test_files_that_cannot_be_scored_or_compared_are_refused(
    text: str, said: str, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    (tmp_path / "a.conll").write_text(CASE)
    (tmp_path / "b.conll").write_text(text)
    outcome = cli("score", str(tmp_path / "a.conll"), str(tmp_path / "b.conll"))
    assert outcome.code == 2
    assert said in outcome.err
