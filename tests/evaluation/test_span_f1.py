"""SpanF1 counts as conlleval does: against its rules spelt out, against seqeval, and by hand."""

import random
import re
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranks import on_ranks
from torch import Tensor

from ner_lab.evaluation.span_f1 import SpanF1

TYPES = ("LOC", "ORG", "PER")
LETTERS = {"IOB2": "BI", "IOBES": "BIES", "BILOU": "BILU"}
LABELS = {
    scheme: ["O", *(f"{letter}-{kind}" for kind in TYPES for letter in letters)] for scheme, letters in LETTERS.items()
}
SINGLE_AND_LAST = {"IOB2": "BI", "IOBES": "SE", "BILOU": "UL"}
TO_IOB = {"O": "O", "B": "B", "I": "I", "S": "B", "U": "B", "E": "I", "L": "I"}

Tags = list[list[str]]


# The Perl script of the CoNLL shared tasks, by its own rules, for tags with the letters B, I and O.


def ends_chunk(before: str, after: str, type_before: str, type_after: str) -> bool:
    if (before, after) in {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")}:
        return True
    return before != "O" and type_before != type_after


def starts_chunk(before: str, after: str, type_before: str, type_after: str) -> bool:
    if (before, after) in {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")}:
        return True
    return after != "O" and type_before != type_after


def conlleval(gold: Tags, predicted: Tags) -> dict[str, dict[str, int] | int]:
    """Runs through the tokens and the blank lines between sentences with the script's one state."""
    lines: list[tuple[str, str] | None] = []
    for truth, guess in zip(gold, predicted, strict=True):
        lines.extend(zip(truth, guess, strict=True))
        lines.append(None)
    correct, found, there = (dict.fromkeys(TYPES, 0) for _ in range(3))
    tokens = correct_tags = 0
    in_correct = False
    last_gold = last_guess = ("O", "")
    for line in lines:
        truth, guess = (tuple(tag.partition("-")[::2]) for tag in line or ("O", "O"))
        gold_pair = (last_gold[0], truth[0], last_gold[1], truth[1])
        guess_pair = (last_guess[0], guess[0], last_guess[1], guess[1])
        if in_correct:
            if ends_chunk(*gold_pair) and ends_chunk(*guess_pair) and last_gold[1] == last_guess[1]:
                in_correct = False
                correct[last_gold[1]] += 1
            elif ends_chunk(*gold_pair) != ends_chunk(*guess_pair) or truth[1] != guess[1]:
                in_correct = False
        if starts_chunk(*gold_pair) and starts_chunk(*guess_pair) and truth[1] == guess[1]:
            in_correct = True
        if starts_chunk(*gold_pair):
            there[truth[1]] += 1
        if starts_chunk(*guess_pair):
            found[guess[1]] += 1
        if line is not None:
            tokens += 1
            correct_tags += truth == guess
        last_gold, last_guess = truth, guess
    return {"correct": correct, "predicted": found, "gold": there, "tokens": tokens, "correct_tags": correct_tags}


def letter_by_letter(sentences: Tags) -> Tags:
    return [[TO_IOB[tag[0]] + tag[1:] for tag in sentence] for sentence in sentences]


def proper_sentence(rng: random.Random, scheme: str) -> list[str]:
    single, last = SINGLE_AND_LAST[scheme]
    tags: list[str] = []
    for _ in range(rng.randint(1, 6)):
        kind, length = rng.choice(TYPES), rng.choice((0, 0, 1, 1, 2, 3, 4))
        letters = single if length == 1 else "B" + "I" * (length - 2) + last
        tags.extend([f"{letter}-{kind}" for letter in letters] if length else ["O"])
    return tags


def corpus(seed: int, scheme: str, proper: bool, size: int = 400) -> tuple[Tags, Tags]:
    """Gold and predicted tags which agree often enough for every count to move."""
    rng = random.Random(seed)
    gold: Tags = []
    predicted: Tags = []
    for _ in range(size):
        truth = proper_sentence(rng, scheme)
        if proper:
            other = proper_sentence(rng, scheme)
            shorter = min(len(truth), len(other))
            truth, guess = (truth, list(truth)) if rng.random() < 0.4 else (truth[:shorter], other[:shorter])
            truth, guess = (mended(tags, scheme) for tags in (truth, guess))
        else:
            truth = [rng.choice(LABELS[scheme]) if rng.random() < 0.15 else tag for tag in truth]
            guess = [rng.choice(LABELS[scheme]) if rng.random() < 0.25 else tag for tag in truth]
        gold.append(truth)
        predicted.append(guess)
    return gold, predicted


def mended(tags: list[str], scheme: str) -> list[str]:
    """A sentence that was cut off within an entity loses what is left of that entity."""
    if scheme == "IOB2" or tags[-1][0] not in "BI":
        return tags
    begin = max(place for place, tag in enumerate(tags) if tag[0] == "B")
    return tags[:begin] + ["O"] * (len(tags) - begin)


def padded(sentences: Tags, labels: list[str], width: int, rng: random.Random | None = None) -> Tensor:
    """Label numbers; padding is 0, or anything at all where `rng` is given."""
    number = {tag: index for index, tag in enumerate(labels)}
    rows = []
    for sentence in sentences:
        behind = [rng.randrange(len(labels)) if rng else 0 for _ in range(width - len(sentence))]
        rows.append([number[tag] for tag in sentence] + behind)
    return torch.tensor(rows, dtype=torch.long)


def add(
    metric: SpanF1,
    gold: Tags,
    predicted: Tags,
    labels: list[str],
    extra: int = 0,
    rng: random.Random | None = None,
) -> None:
    width = max(map(len, gold)) + extra
    mask = torch.tensor([[True] * len(tags) + [False] * (width - len(tags)) for tags in gold])
    metric.update(padded(predicted, labels, width, rng), padded(gold, labels, width, rng), mask)


def span_f1(gold: Tags, predicted: Tags, scheme: str) -> dict:
    metric = SpanF1(LABELS[scheme], scheme)
    add(metric, gold, predicted, LABELS[scheme])
    return metric.compute()


def is_proper(tags: list[str], scheme: str) -> bool:
    grammar = {
        "IOB2": r"(?:O |B-(\w+) (?:I-\1 )*)*",
        "IOBES": r"(?:O |S-\w+ |B-(\w+) (?:I-\1 )*E-\1 )*",
        "BILOU": r"(?:O |U-\w+ |B-(\w+) (?:I-\1 )*L-\1 )*",
    }
    return re.fullmatch(grammar[scheme], "".join(f"{tag} " for tag in tags)) is not None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("proper", [True, False], ids=["proper", "improper"])
@pytest.mark.parametrize("scheme", LETTERS)
def test_counts_and_scores_are_conllevals_on_random_tags(scheme: str, proper: bool, seed: int) -> None:
    gold, predicted = corpus(seed, scheme, proper)
    assert any(not is_proper(tags, scheme) for tags in predicted) != proper
    expected = conlleval(letter_by_letter(gold), letter_by_letter(predicted))
    scores = span_f1(gold, predicted, scheme)
    for count in ("correct", "predicted", "gold"):
        assert {kind: row[count] for kind, row in scores["per_type"].items()} == expected[count]
        assert scores[count] == sum(expected[count].values()) > 50
    assert scores["tokens"] == expected["tokens"]
    assert scores["sentences"] == len(gold)
    assert scores["accuracy"] == 100 * expected["correct_tags"] / expected["tokens"]
    for row in [scores, *scores["per_type"].values()]:
        precision = 100 * row["correct"] / row["predicted"]
        recall = 100 * row["correct"] / row["gold"]
        assert row["precision"] == pytest.approx(precision, rel=1e-12)
        assert row["recall"] == pytest.approx(recall, rel=1e-12)
        assert row["f1"] == pytest.approx(2 * precision * recall / (precision + recall), rel=1e-12)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_short_tag_sequence_is_counted_otherwise_than_by_conlleval(data: st.DataObject) -> None:
    scheme = data.draw(st.sampled_from(list(LETTERS)))
    tag = st.sampled_from(LABELS[scheme])
    pairs = data.draw(st.lists(st.lists(st.tuples(tag, tag), min_size=1, max_size=6), min_size=1, max_size=3))
    gold, predicted = ([[pair[side] for pair in sentence] for sentence in pairs] for side in (0, 1))
    expected = conlleval(letter_by_letter(gold), letter_by_letter(predicted))
    scores = span_f1(gold, predicted, scheme)
    for count in ("correct", "predicted", "gold"):
        assert {kind: row[count] for kind, row in scores["per_type"].items()} == expected[count]
    assert scores["accuracy"] == 100 * expected["correct_tags"] / expected["tokens"]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("scheme", LETTERS)
def test_scores_are_seqevals_strict_ones_on_proper_tags(scheme: str, seed: int) -> None:
    import seqeval.scheme  # here, since the processes below import this file and need no scikit-learn
    from seqeval.metrics import classification_report

    gold, predicted = corpus(seed, scheme, proper=True)
    reading = getattr(seqeval.scheme, scheme)
    report = classification_report(gold, predicted, mode="strict", scheme=reading, output_dict=True)
    scores = span_f1(gold, predicted, scheme)
    for name, row in [("micro avg", scores), *scores["per_type"].items()]:
        assert row["gold"] == report[name]["support"]
        for ours, theirs in {"precision": "precision", "recall": "recall", "f1": "f1-score"}.items():
            assert row[ours] == pytest.approx(100 * report[name][theirs], rel=1e-12)


# scheme, gold, predicted (a bar parts sentences), then spans correct, predicted and in gold;
# transitions as in Lignos & Kamyab 2020, "If You Build Your Own NER Scorer, Non-replicable Results Will Come"
BY_HAND = {
    "I opens an entity behind O": ("IOB2", "O B-PER", "O I-PER", 1, 1, 1),
    "I opens an entity at the start of a sentence": ("IOB2", "B-PER I-PER O", "I-PER I-PER O", 1, 1, 1),
    "I of another type opens an entity behind B": ("IOB2", "B-LOC B-PER", "B-LOC I-PER", 2, 2, 2),
    "I of another type opens an entity behind I": ("IOB2", "B-LOC I-LOC B-PER", "B-LOC I-LOC I-PER", 2, 2, 2),
    "I of another type ends the entity before": ("IOB2", "B-LOC I-LOC", "B-LOC I-PER", 0, 2, 1),
    "I of another type runs on": ("IOB2", "O B-LOC I-LOC", "B-PER I-LOC I-LOC", 1, 2, 1),
    "types to and fro are three entities": ("IOB2", "B-PER I-PER I-PER", "B-PER I-LOC I-PER", 0, 3, 1),
    "I behind I of one type continues, however it began": ("IOB2", "O B-PER I-PER O", "O I-PER I-PER O", 1, 1, 1),
    "entities side by side are two": ("IOB2", "B-PER B-PER", "B-PER B-PER", 2, 2, 2),
    "entities side by side are not one": ("IOB2", "B-PER B-PER", "B-PER I-PER", 0, 1, 2),
    "an entity at the very end": ("IOB2", "O B-PER I-PER", "O B-PER I-PER", 1, 1, 1),
    "an entity cut short at the end": ("IOB2", "O B-PER I-PER", "O B-PER O", 0, 1, 1),
    "an entity that goes on too long": ("IOB2", "B-PER O", "B-PER I-PER", 0, 1, 1),
    "the right words but the wrong type": ("IOB2", "B-PER I-PER", "B-LOC I-LOC", 0, 1, 1),
    "no entity runs across a blank line": ("IOB2", "O B-PER|B-PER O", "O B-PER|I-PER O", 2, 2, 2),
    "nothing predicted": ("IOB2", "B-PER O B-LOC", "O O O", 0, 0, 2),
    "nothing to be found": ("IOB2", "O O O", "B-PER O I-LOC", 0, 2, 0),
    "no entity anywhere": ("IOB2", "O O|O", "O O|O", 0, 0, 0),
    "E alone is an entity": ("IOBES", "O S-PER O", "O E-PER O", 1, 1, 1),
    "B without an E is an entity": ("IOBES", "B-PER E-PER O", "B-PER I-PER O", 1, 1, 1),
    "an E continues behind S": ("IOBES", "B-PER E-PER", "S-PER E-PER", 1, 1, 1),
    "an S behind B is an entity of its own": ("IOBES", "S-PER S-PER", "B-PER S-PER", 2, 2, 2),
    "an I goes on behind E": ("IOBES", "B-PER E-PER O", "B-PER E-PER I-PER", 0, 1, 1),
    "E behind E goes on": ("IOBES", "B-PER I-PER E-PER", "B-PER E-PER E-PER", 1, 1, 1),
    "E of another type is an entity of its own": ("IOBES", "S-LOC S-PER", "B-LOC E-PER", 2, 2, 2),
    "L alone is an entity": ("BILOU", "O U-PER O", "O L-PER O", 1, 1, 1),
    "an L continues behind U": ("BILOU", "B-PER L-PER", "U-PER L-PER", 1, 1, 1),
    "a U behind I is an entity of its own": ("BILOU", "B-PER L-PER U-PER", "B-PER I-PER U-PER", 2, 2, 2),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_improper_and_bordering_entities_are_counted_as_worked_out_by_hand(case: str) -> None:
    scheme, truth, guess, correct, found, there = BY_HAND[case]
    gold, predicted = ([sentence.split() for sentence in tags.split("|")] for tags in (truth, guess))
    scores = span_f1(gold, predicted, scheme)
    assert (scores["correct"], scores["predicted"], scores["gold"]) == (correct, found, there)
    assert scores["precision"] == (100 * correct / found if found else 0)
    assert scores["recall"] == (100 * correct / there if there else 0)
    assert scores["f1"] == pytest.approx(200 * correct / (found + there) if correct else 0)


def test_scores_per_type_are_as_worked_out_by_hand() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "O"], ["B-LOC", "O"]]
    predicted = [["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O"], ["B-LOC", "B-PER"]]
    scores = span_f1(gold, predicted, "IOB2")["per_type"]
    assert list(scores) == ["LOC", "ORG", "PER"]
    third = 100 / 3
    assert scores["LOC"] == pytest.approx(
        {"precision": 50, "recall": third, "f1": 40, "correct": 1, "predicted": 2, "gold": 3}
    )
    assert scores["PER"] == pytest.approx(
        {"precision": 50, "recall": 100, "f1": 2 * third, "correct": 1, "predicted": 2, "gold": 1}
    )
    assert scores["ORG"] == {"precision": 0, "recall": 0, "f1": 0, "correct": 0, "predicted": 0, "gold": 0}


def test_all_scores_are_zero_and_not_nan_before_a_single_sentence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics: compute before update
        scores = SpanF1(LABELS["IOBES"], "IOBES").compute()
    per_type = scores.pop("per_type")
    assert set(scores.values()) == {0}
    assert all(set(row.values()) == {0} for row in per_type.values())


def test_a_batch_of_no_sentences_counts_for_nothing() -> None:
    gold, predicted = corpus(0, "IOBES", proper=False, size=20)
    metric = SpanF1(LABELS["IOBES"], "IOBES")
    add(metric, gold, predicted, LABELS["IOBES"])
    before = metric.compute()
    nothing = torch.zeros((0, 7), dtype=torch.long)
    metric.update(nothing, nothing, nothing.bool())
    assert metric.compute() == before


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), batch_size=st.integers(1, 30), extra=st.integers(0, 4))
def test_order_batching_and_padding_never_change_the_result(seed: int, batch_size: int, extra: int) -> None:
    rng = random.Random(seed)
    scheme = rng.choice(list(LETTERS))
    labels = LABELS[scheme]
    gold, predicted = corpus(seed, scheme, proper=False, size=30)
    at_once = span_f1(gold, predicted, scheme)
    pairs = list(zip(gold, predicted, strict=True))
    rng.shuffle(pairs)
    metric = SpanF1(labels, scheme)
    for begin in range(0, len(pairs), batch_size):
        some_gold, some_predicted = zip(*pairs[begin : begin + batch_size], strict=True)
        add(metric, list(some_gold), list(some_predicted), labels, extra, rng)
    assert metric.compute() == at_once


def test_reset_forgets_all_counts() -> None:
    labels = LABELS["IOB2"]
    metric = SpanF1(labels, "IOB2")
    add(metric, *corpus(1, "IOB2", proper=False), labels)
    metric.reset()
    gold, predicted = corpus(2, "IOB2", proper=False)
    add(metric, gold, predicted, labels)
    assert metric.compute() == span_f1(gold, predicted, "IOB2")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scheme", LETTERS)
def test_sentences_that_break_the_scheme_are_counted_as_a_grammar_of_it_counts_them(scheme: str, seed: int) -> None:
    gold, predicted = corpus(seed, scheme, proper=False)
    scores = span_f1(gold, predicted, scheme)
    broken = sum(not is_proper(tags, scheme) for tags in predicted)
    broken_iob2 = sum(not is_proper(tags, "IOB2") for tags in letter_by_letter(predicted))
    assert 0 < scores["improper_sequences"] == broken < len(gold)
    assert 0 < scores["improper_sequences_iob2"] == broken_iob2 <= broken


@pytest.mark.parametrize("scheme", LETTERS)
def test_improper_gold_tags_are_not_counted_as_improper_predictions(scheme: str) -> None:
    gold, _ = corpus(0, scheme, proper=False)
    scores = span_f1(gold, [["O"] * len(tags) for tags in gold], scheme)
    assert scores["improper_sequences"] == scores["improper_sequences_iob2"] == 0


def test_accuracy_compares_tags_as_a_file_has_them() -> None:
    # E and I are both written I, B and S both B; B and I are different tags
    scores = span_f1([["S-PER", "E-PER", "I-PER", "O"]], [["B-PER", "I-PER", "B-PER", "O"]], "IOBES")
    assert scores["accuracy"] == 75


def test_a_type_that_is_never_predicted_counts_as_missed() -> None:
    labels = [*LABELS["IOBES"], "S-EVENT"]
    metric = SpanF1(labels, "IOBES")
    add(metric, [["S-EVENT", "O", "S-PER"]], [["O", "O", "S-PER"]], labels)
    scores = metric.compute()
    assert (scores["precision"], scores["recall"]) == (100, 50)
    assert scores["per_type"]["EVENT"]["gold"] == 1
    assert scores["per_type"]["EVENT"]["f1"] == 0


# Two processes. The second gets one sentence, then none at all.
SHARES = {"uneven": (0, 22, 23), "one idle": (0, 23, 23)}


def score_a_share(gold: Tags, predicted: Tags) -> dict[str, dict[str, object]]:
    rank = torch.distributed.get_rank()
    metric = SpanF1(LABELS["IOBES"], "IOBES")
    results = {}
    for name, borders in SHARES.items():
        metric.reset()
        for number in range(borders[rank], borders[rank + 1]):
            add(metric, [gold[number]], [predicted[number]], LABELS["IOBES"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchmetrics: compute before update
            results[name] = metric.compute()
    return results


def test_two_processes_with_uneven_shares_count_exactly_as_one(tmp_path: Path) -> None:
    gold, predicted = corpus(5, "IOBES", proper=False, size=23)
    expected = span_f1(gold, predicted, "IOBES")
    for found in on_ranks(2, tmp_path, score_a_share, gold, predicted):
        assert found == {"uneven": expected, "one idle": expected}
