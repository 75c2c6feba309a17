"""Scoring a split: the order of the file, conlleval's F1 and seqeval's strict one, the file that is written."""

import warnings
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch
from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2
from torch import Tensor, nn

from ner_lab.data.batching.batch import Batch
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import Prepared, prepare
from ner_lab.data.tags import SCHEMES
from ner_lab.evaluation.conlleval import score_table, strict_f1
from ner_lab.evaluation.scoring import Scored, predict_labels, score
from ner_lab.models.features.none import NoFeatures
from ner_lab.models.word_embedding.none import NoWords

TRAIN = "Ann B-PER\nHolm I-PER\nleft O\n\nOslo B-LOC\nand O\nBergen B-LOC\n\nBank B-ORG\nof I-ORG\nOslo I-ORG\n\n"
# two entities of a type side by side; entities at both ends; sentences of different lengths; a type train lacks
DEV = """\
Fog O
over O
Oslo B-LOC

Ann B-PER
Holm I-PER
Tove B-PER
Berg I-PER
met O

Lise B-PER

Bank B-ORG
of I-ORG
Bergen I-ORG
sued O
Ann B-PER

rain O
again O

the O
Fjord B-EVENT
Cup I-EVENT
in O
Bergen B-LOC
"""
DEV_TAGS = [[line.split()[1] for line in part.splitlines()] for part in DEV.strip().split("\n\n")]
DEV_WORDS = [[line.split()[0] for line in part.splitlines()] for part in DEV.strip().split("\n\n")]


class Recital(nn.Module):
    """A tagger that recites rows of labels, each by the number of its sentence."""

    def __init__(self, rows: list[list[int]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.rows = rows
        self.seen_training: set[bool] = set()

    def decode(self, batch: Batch) -> Tensor:
        self.seen_training.add(self.training)
        best = torch.zeros(batch.mask.shape, dtype=torch.long)
        for row, number in enumerate(batch.sentences.tolist()):
            best[row, : batch.lengths[row]] = torch.tensor(self.rows[number])
        return best


def prepared_in(folder: Path, scheme: str = "IOBES", dev: str = DEV) -> Prepared:
    for name, text in (("train", TRAIN), ("dev", dev)):
        (folder / f"{name}.conll").write_text(text, encoding="utf-8")
    options = DataOptions(
        name="files",
        train=str(folder / "train.conll"),
        dev=str(folder / "dev.conll"),
        cache_dir=str(folder / "cache"),
        scheme=scheme,
    )
    return prepare(options, NoFeatures(), NoWords())


def score_rows(prepared: Prepared, rows: list[list[int]], batch_tokens: int = 8) -> Scored:
    return score(Recital(rows), prepared.splits["dev"], prepared.labels, prepared.vocabs.tags.scheme, batch_tokens)


def score_tags(prepared: Prepared, tags: list[list[str]]) -> Scored:
    return score_rows(prepared, [[prepared.labels.index(tag) for tag in row] for row in tags])


def gold_rows(prepared: Prepared) -> list[list[int]]:
    split = prepared.splits["dev"]
    return [split.labels[begin:end].tolist() for begin, end in pairwise(split.starts)]


def random_rows(prepared: Prepared, seed: int) -> list[list[int]]:
    """Gold rows, a third of their labels put at random: some right, some wrong, some improper."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for row in gold_rows(prepared):
        other = torch.randint(len(prepared.vocabs.tags), (len(row),), generator=generator)
        keep = torch.rand(len(row), generator=generator) > 1 / 3
        rows.append(torch.where(keep, torch.tensor(row), other).tolist())
    return rows


def read_back(path: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags of a file of predictions."""
    sentences = [part.splitlines() for part in path.read_text(encoding="utf-8").strip().split("\n\n")]
    columns = [[line.split(" ") for line in sentence] for sentence in sentences]
    return [[row[1] for row in rows] for rows in columns], [[row[2] for row in rows] for rows in columns]


@pytest.mark.parametrize("batch_tokens", [1, 4, 9, 1000])
def test_predictions_stand_in_the_order_of_the_file_however_they_are_batched(tmp_path: Path, batch_tokens: int) -> None:
    prepared = prepared_in(tmp_path)
    rows = random_rows(prepared, seed=0)
    assert predict_labels(Recital(rows), prepared.splits["dev"], batch_tokens) == rows
    scored = score_rows(prepared, rows, batch_tokens)
    assert scored.scores == score_rows(prepared, rows, 8).scores
    assert scored.gold == DEV_TAGS


@pytest.mark.parametrize("training", [True, False])
def test_tagging_runs_in_eval_mode_and_leaves_the_mode_as_it_was(tmp_path: Path, training: bool) -> None:
    prepared = prepared_in(tmp_path)
    tagger = Recital(gold_rows(prepared)).train(training)
    predict_labels(tagger, prepared.splits["dev"], 8)
    assert tagger.seen_training == {False}
    assert tagger.training is training


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_gold_tags_score_a_hundred_in_every_scheme_and_read_as_the_file_has_them(
    tmp_path: Path, scheme: str
) -> None:
    known = DEV.replace("EVENT", "ORG")
    prepared = prepared_in(tmp_path, scheme, known)
    scored = score_rows(prepared, gold_rows(prepared))
    assert scored.gold == scored.predicted == [[tag.replace("EVENT", "ORG") for tag in row] for row in DEV_TAGS]
    for name in ("precision", "recall", "f1", "f1_strict", "accuracy"):
        assert scored.scores[name] == 100
    assert scored.scores["improper_sequences_iob2"] == 0
    assert scored.scores["gold"] == prepared.counts["dev"].entities == 8
    assert scored.scores["tokens"] == prepared.counts["dev"].tokens
    assert scored.scores["sentences"] == prepared.counts["dev"].sentences


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_scores_in_memory_are_those_of_the_file_of_predictions(tmp_path: Path, scheme: str, seed: int) -> None:
    prepared = prepared_in(tmp_path, scheme)
    scored = score_rows(prepared, random_rows(prepared, seed))
    scored.write(tmp_path / "new" / "dev.conll")
    gold, predicted = read_back(tmp_path / "new" / "dev.conll")
    assert (gold, predicted) == (scored.gold, scored.predicted)
    assert gold == DEV_TAGS
    # seqeval without strict mode reads improper tags as conlleval does
    assert scored.scores["f1"] == pytest.approx(100 * f1_score(gold, predicted), rel=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval: types that are never predicted
        strict = f1_score(gold, predicted, mode="strict", scheme=IOB2)
        per_type = classification_report(gold, predicted, output_dict=True)
    assert scored.scores["f1_strict"] == pytest.approx(100 * strict, rel=1e-12)
    assert all(row["gold"] == per_type[name]["support"] for name, row in scored.scores["per_type"].items())
    same = [truth == guess for truth, guess in zip(chain(*gold), chain(*predicted), strict=True)]
    assert scored.scores["accuracy"] == pytest.approx(100 * sum(same) / len(same), rel=1e-12)


def test_a_file_of_predictions_has_a_token_a_line_and_a_blank_line_behind_each_sentence(tmp_path: Path) -> None:
    prepared = prepared_in(tmp_path)
    tags = [["O"] * len(row) for row in DEV_TAGS]
    tags[1] = ["B-PER", "E-PER", "O", "E-PER", "S-LOC"]
    scored = score_tags(prepared, tags)
    scored.write(tmp_path / "dev.conll")
    written = [["O"] * len(row) for row in DEV_TAGS]
    written[1] = ["B-PER", "I-PER", "O", "I-PER", "B-LOC"]  # letter by letter: nothing is mended
    expected = ""
    for columns in zip(DEV_WORDS, DEV_TAGS, written, strict=True):
        expected += "".join(f"{word} {gold} {guess}\n" for word, gold, guess in zip(*columns, strict=True)) + "\n"
    assert (tmp_path / "dev.conll").read_text(encoding="utf-8") == expected


def test_an_entity_without_its_b_counts_for_conlleval_and_not_for_strict_f1(tmp_path: Path) -> None:
    prepared = prepared_in(tmp_path, scheme="IOB2", dev="Ann B-PER\nHolm I-PER\n\nOslo B-LOC\n")
    scored = score_tags(prepared, [["I-PER", "I-PER"], ["B-LOC"]])
    assert scored.scores["f1"] == 100
    assert scored.scores["f1_strict"] == pytest.approx(200 / 3)  # one of one found, one of two there
    assert scored.scores["accuracy"] == pytest.approx(200 / 3)
    assert scored.scores["improper_sequences"] == scored.scores["improper_sequences_iob2"] == 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_gold_that_breaks_its_scheme_is_scored_strictly_as_the_file_has_it(tmp_path: Path, scheme: str) -> None:
    dev = DEV.replace("Ann B-PER\nHolm", "Ann I-PER\nHolm").replace("B-EVENT", "B-LOC").replace("I-EVENT", "I-ORG")
    own = [[line.split()[1] for line in part.splitlines()] for part in dev.strip().split("\n\n")]
    assert sum(truth != mended for truth, mended in zip(own, DEV_TAGS, strict=True)) == 2
    prepared = prepared_in(tmp_path, scheme, dev)
    scored = score_rows(prepared, random_rows(prepared, 3))
    scored.write(tmp_path / "dev.conll")
    gold, predicted = read_back(tmp_path / "dev.conll")
    assert gold == own
    strict, loose = f1_score(own, predicted, mode="strict", scheme=IOB2), f1_score(own, predicted)
    assert scored.scores["f1_strict"] == pytest.approx(100 * strict, rel=1e-12)
    assert scored.scores["f1"] == pytest.approx(100 * loose, rel=1e-12)
    same = [truth == guess for truth, guess in zip(chain(*own), chain(*predicted), strict=True)]
    assert scored.scores["accuracy"] == pytest.approx(100 * sum(same) / len(same), rel=1e-12)
    assert scored.scores["improper_gold"] == 2
    assert "of the gold tags 2" in score_table({"dev": scored.scores})
    # the file's own tags as a prediction: without a B- they are no entities, on either side
    assert strict_f1(own, [tags if "I-ORG" not in tags else DEV_TAGS[5] for tags in own]) < 100


def test_gold_of_a_file_in_which_i_opens_entities_is_as_proper_as_any(tmp_path: Path) -> None:
    prepared = prepared_in(tmp_path, dev="Ann I-PER\nHolm I-PER\nTove B-PER\n\nOslo I-LOC\n")
    scored = score_rows(prepared, gold_rows(prepared))
    assert prepared.schemes["dev"] == "IOB1"
    assert scored.gold == [["B-PER", "I-PER", "B-PER"], ["B-LOC"]]
    assert (scored.scores["f1_strict"], scored.scores["improper_gold"], prepared.improper_gold) == (100, 0, {})


def test_a_scheme_may_be_broken_where_the_file_of_predictions_is_not(tmp_path: Path) -> None:
    prepared = prepared_in(tmp_path, dev="Ann B-PER\nHolm I-PER\n")
    scored = score_tags(prepared, [["B-PER", "I-PER"]])  # no E
    assert scored.predicted == [["B-PER", "I-PER"]]
    assert scored.scores["f1"] == scored.scores["f1_strict"] == 100
    assert scored.scores["improper_sequences"] == 1
    assert scored.scores["improper_sequences_iob2"] == 0


def test_an_entity_of_a_type_that_train_lacks_is_missed(tmp_path: Path) -> None:
    prepared = prepared_in(tmp_path)
    guesses = [[label if label < len(prepared.vocabs.tags) else 0 for label in row] for row in gold_rows(prepared)]
    scores = score_rows(prepared, guesses).scores
    assert scores["per_type"]["EVENT"] == {
        "precision": 0,
        "recall": 0,
        "f1": 0,
        "correct": 0,
        "predicted": 0,
        "gold": 1,
    }
    assert (scores["correct"], scores["predicted"], scores["gold"]) == (7, 7, 8)


def test_scores_without_any_entity_are_zero_and_say_nothing(tmp_path: Path) -> None:
    prepared = prepared_in(tmp_path, dev="rain O\nagain O\n\nfog O\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_tags(prepared, [["O", "O"], ["O"]]).scores
    assert [scores[name] for name in ("precision", "recall", "f1", "f1_strict")] == [0, 0, 0, 0]
    assert scores["accuracy"] == 100


def test_strict_f1_needs_the_whole_entity_opened_by_b() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"]]
    assert strict_f1(gold, gold) == 100
    assert strict_f1(gold, [["I-PER", "I-PER", "O", "B-LOC"]]) == pytest.approx(200 / 3)
    assert (
        strict_f1(gold, [["B-PER", "I-LOC", "O", "B-LOC"]]) == 50
    )  # one of two: I-LOC is no entity, B-PER a short one
    assert strict_f1(gold, [["O"] * 4]) == 0


def test_the_table_has_a_row_for_each_type_then_all_then_strict(tmp_path: Path) -> None:
    prepared = prepared_in(tmp_path)
    scores = {"dev": score_rows(prepared, random_rows(prepared, 1)).scores}
    scores["test"] = score_rows(prepared, gold_rows(prepared)).scores
    for name, part in zip(scores, score_table(scores).split("\n\n"), strict=True):
        header, rule, *rows, note = part.splitlines()
        assert header.split() == [name, "precision", "recall", "F1", "gold", "predicted", "correct"]
        assert set(rule) == {"-", " "}
        *types, whole, strict = rows
        assert [row.split()[0] for row in types] == ["EVENT", "LOC", "ORG", "PER"]
        for row, numbers in zip([*types, whole], [*scores[name]["per_type"].values(), scores[name]], strict=True):
            shares = [f"{numbers[column]:.2f}" for column in ("precision", "recall", "f1")]
            counts = [str(numbers[column]) for column in ("gold", "predicted", "correct")]
            assert row.split()[1:] == shares + counts
        assert whole.split()[0] == "all"
        assert strict.split() == ["strict", "(seqeval)", f"{scores[name]['f1_strict']:.2f}"]
        assert f"{scores[name]['accuracy']:.2f} %" in note
        assert f"{scores[name]['improper_sequences']} of 6 sentences" in note


WORD_CLASSES = {
    **dict.fromkeys(("Oslo", "Bergen", "Holm", "of", "Bank"), "IV"),
    **dict.fromkeys(("Tove", "Cup"), "OOTV"),
    **dict.fromkeys(("Ann",), "OOEV"),
    **dict.fromkeys(("Berg", "Lise", "Fjord"), "OOBV"),
    **dict.fromkeys(("Fog", "over", "met", "sued", "rain", "again", "the", "in"), "IV"),
}


@pytest.mark.parametrize("seed", range(3))
def test_counts_by_what_is_known_of_the_words_sum_to_those_in_all(tmp_path: Path, seed: int) -> None:
    prepared = prepared_in(tmp_path)
    tagger, split = Recital(random_rows(prepared, seed)), prepared.splits["dev"]
    scores = score(tagger, split, prepared.labels, "IOBES", 8, WORD_CLASSES).scores
    for kind in ("gold", "predicted", "correct"):
        assert sum(row[kind] for row in scores["oov"].values()) == scores[kind]
    # Oslo, Bank of Bergen, Bergen; Ann Holm, Ann; Tove Berg, Lise, Fjord Cup
    assert {name: row["gold"] for name, row in scores["oov"].items()} == {"IV": 3, "OOTV": 0, "OOEV": 2, "OOBV": 3}


@pytest.mark.parametrize("classes", [None, {}, {"Oslo": "IV"}])
def test_without_the_classes_of_all_words_nothing_is_said_of_them(
    tmp_path: Path, classes: dict[str, str] | None
) -> None:
    prepared = prepared_in(tmp_path)
    tagger, split = Recital(gold_rows(prepared)), prepared.splits["dev"]
    assert "oov" not in score(tagger, split, prepared.labels, "IOBES", 8, classes).scores


def test_a_second_table_has_a_row_for_each_class_of_words(tmp_path: Path) -> None:
    prepared = prepared_in(tmp_path)
    tagger, split = Recital(random_rows(prepared, 1)), prepared.splits["dev"]
    scores = score(tagger, split, prepared.labels, "IOBES", 8, WORD_CLASSES).scores
    first, second = score_table({"dev": scores}).split("\n\n")
    assert first == score_table({"dev": {name: value for name, value in scores.items() if name != "oov"}})
    header, _, *rows = second.splitlines()
    assert header.split()[-6:] == ["precision", "recall", "F1", "gold", "predicted", "correct"]
    assert [row.split(":")[0].strip() for row in rows] == ["IV", "OOTV", "OOEV", "OOBV"]
    for row, numbers in zip(rows, scores["oov"].values(), strict=True):
        shares = [f"{numbers[column]:.2f}" for column in ("precision", "recall", "f1")]
        assert row.split()[-6:] == shares + [str(numbers[column]) for column in ("gold", "predicted", "correct")]
