"""The shared task's baseline: entities of train found again, by hand, by definition, and on the real corpus."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import DEV, TRAIN, Marked, marked, read_columns

from ner_lab.config.compose import compose_config
from ner_lab.data.sentence import Sentence
from ner_lab.data.tags import Span, spans_of, tags_of
from ner_lab.data.vocab import FeatureVocab, TagVocab, Vocab
from ner_lab.errors import UserError
from ner_lab.inference.trained_tagger import load
from ner_lab.models.features.known_entities import KnownEntities
from ner_lab.training.train import train

REAL = os.environ.get("NER_LAB_DATA")
BASELINE = ["paper=shared_task_baseline", "logger=none", "threads=1"]


def sentences_of(text: str, scheme: str = "IOB2") -> list[Sentence]:
    return [Sentence(one.words, one.tags(scheme)) for one in marked(text)]


def by_definition(train_on: Sequence[Marked], words: Sequence[str]) -> list[Span]:
    """From the left, the longest phrase that is an entity of train; its commonest type, then the alphabet."""
    types: dict[tuple[str, ...], Counter[str]] = {}
    for one in train_on:
        for span in one.spans:
            types.setdefault(tuple(one.words[span.start : span.end]), Counter())[span.type] += 1
    found, place = [], 0
    while place < len(words):
        for end in range(len(words), place, -1):
            if kinds := types.get(tuple(words[place:end])):
                most = max(kinds.values())
                found.append(Span(sorted(kind for kind in kinds if kinds[kind] == most)[0], place, end))
                place = end - 1
                break
        place += 1
    return found


TOKENS = st.sampled_from(["a", "b", "c", "A"])


@st.composite
def marked_sentences(draw: st.DrawFn) -> Marked:
    pieces = draw(
        st.lists(st.tuples(st.sampled_from(["", "X", "Y", "Z"]), st.lists(TOKENS, min_size=1, max_size=3)), min_size=1)
    )
    words: list[str] = []
    spans = []
    for entity_type, inside in pieces:
        if entity_type:
            spans.append(Span(entity_type, len(words), len(words) + len(inside)))
        words += inside
    return Marked(words, spans)


@given(st.lists(marked_sentences(), max_size=5), st.lists(TOKENS, max_size=9))
@settings(max_examples=70, deadline=None)
def test_phrases_are_found_as_defined(train_on: list[Marked], words: list[str]) -> None:
    features = KnownEntities(scheme="IOB2")
    features.remember(features.learn([Sentence(one.words, one.tags()) for one in train_on]))
    assert features.find(words) == by_definition(train_on, words)


@pytest.mark.parametrize("scheme", ["IO", "IOB1", "IOB2", "IOBES", "BILOU"])
def test_tags_are_written_in_the_scheme_and_learnt_from_any(scheme: str) -> None:
    features = KnownEntities(scheme=scheme)
    features.remember(features.learn(sentences_of("[LOC New Holm] [LOC Oslo] x", scheme="IOBES")))
    spans = [Span("LOC", 1, 3), Span("LOC", 3, 4)]
    words = ["in", "New", "Holm", "Oslo"]
    assert features.dense(Sentence(words, ["O"] * 4)) == [tags_of(spans, 4, scheme)]


def test_the_found_tag_has_the_best_score_and_a_value_unknown_to_train_has_none() -> None:
    tags = TagVocab.of(["LOC", "PER"], "IOB2").items
    values = Vocab.of(["B-LOC", "I-LOC", "O"])
    layers = KnownEntities(scheme="IOB2").layers(FeatureVocab({"known_entity": values}), tags)
    assert layers.codes.tolist() == [[0] * 5, [0] * 5, [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]
    assert layers.output_dim == 0


def test_a_scheme_other_than_that_of_train_is_refused() -> None:
    values = FeatureVocab({"known_entity": Vocab.of(["B-LOC", "E-LOC", "O"])})
    with pytest.raises(UserError, match=r"features\.scheme is IOBES, but the tags of train have no E-LOC\."):
        KnownEntities(scheme="IOBES").layers(values, TagVocab.of(["LOC"], "IOB2").items)


@pytest.fixture(scope="module")
def baseline(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline on the small corpus."""
    folder = tmp_path_factory.mktemp("baseline") / "run"
    files = [f"data.{name}={corpus / name}.conll" for name in ("train", "dev", "test")]
    train(compose_config([*BASELINE, "data=files", *files]), folder)
    return folder


def test_a_run_predicts_the_entities_of_train(baseline: Path) -> None:
    predicted = read_columns(baseline / "predictions" / "dev.conll")
    for rows, one in zip(predicted, marked(DEV), strict=True):
        assert [row[0] for row in rows] == one.words
        assert spans_of([row[-1] for row in rows]) == by_definition(marked(TRAIN), one.words)


def test_a_loaded_run_finds_them_in_new_text(baseline: Path) -> None:
    trained = load(baseline)
    text = "Vik & Sons of New Holm met Ida Berg in New York ."
    assert [(entity.type, entity.text) for entity in trained.entities(text)] == [
        ("ORG", "Vik & Sons"),
        ("LOC", "New Holm"),
        ("PER", "Ida Berg"),
    ]
    assert trained.tagger.embedder.features.scale.item() > 0


def test_the_one_trained_number_scales_all_scores() -> None:
    tags = TagVocab.of(["LOC"], "IOB2").items
    layers = KnownEntities(scheme="IOB2").layers(FeatureVocab({"known_entity": Vocab.of(["B-LOC", "O"])}), tags)
    assert [name for name, _ in layers.named_parameters()] == ["scale"]
    with torch.no_grad():
        layers.scale.fill_(2.5)
    numbers = torch.tensor([[[2], [3], [1]], [[3], [0], [0]]])

    class Found:
        categories = numbers

    expected = torch.tensor([[[0, 1, 0], [1, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]])
    assert torch.equal(layers.direct(Found()), 2.5 * expected)  # type: ignore[arg-type]


@pytest.mark.realdata
@pytest.mark.skipif(not REAL, reason="NER_LAB_DATA is not set")
def test_the_published_figures_of_the_english_test_set_are_met(tmp_path: Path) -> None:
    place = [f"data.dir={Path(str(REAL)) / 'conll2003'}", f"data.cache_dir={tmp_path / 'cache'}"]
    found = train(compose_config([*BASELINE, *place]), tmp_path / "run")["test"]
    scores = [f"{found[name]:.2f}" for name in ("precision", "recall", "f1")]
    assert scores == ["71.91", "50.90", "59.61"]  # Tjong Kim Sang & De Meulder 2003, table 5
