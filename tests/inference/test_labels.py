"""The quick ways of tagging against the tagger itself, sentence by sentence."""

import os
import pickle
import random
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import DEV, TEST, TRAIN, marked

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.preparation import encode, form_table, prepare
from ner_lab.data.sentence import Sentence
from ner_lab.evaluation.scoring import predict_labels
from ner_lab.inference.batch_tagger import BatchTagger, batches_of
from ner_lab.inference.chunks import Chunk
from ner_lab.inference.text_formats import INPUT_FORMATS, OUTPUT_FORMATS
from ner_lab.inference.trained_tagger import TrainedTagger, load
from ner_lab.inference.word_cache import Spellings
from ner_lab.inference.worker import ChunkWorker
from ner_lab.models.build import build_tagger, feature_set_of, word_embedding_of

WORDS = [sentence.words for text in (TRAIN, DEV, TEST) for sentence in marked(text)]

FEW = ["Anna", "Holm", "Oslo", "won", "zebra", "1997", "\u5317", "rained"]


@pytest.fixture(scope="module")
def tagger(run: Path) -> TrainedTagger:
    return load(run)


def spellings_of(tagger: TrainedTagger, most: int) -> Spellings:
    def table(words: list[str]) -> object:
        return form_table(words, tagger.vocabs, tagger.options)

    return Spellings(tagger.tagger.embedder, table, most=most)  # type: ignore[arg-type]


def slowly(tagger: TrainedTagger, sentences: list[list[str]]) -> list[int]:
    """One sentence at a time, encoded and batched as in training."""
    found = []
    for words in sentences:
        split, _ = encode([Sentence(words, ["O"] * len(words))], tagger.vocabs, tagger.options, tagger.features)
        found += predict_labels(tagger.tagger, split, 100)[0]
    return found


@pytest.mark.parametrize("tokens", [1, 30, 2000])
def test_labels_are_those_of_each_sentence_alone(tokens: int, tagger: TrainedTagger) -> None:
    options = replace(tagger.options, eval_batch_tokens=tokens)
    labeller = BatchTagger(tagger.tagger, tagger.vocabs, options, tagger.features)
    assert labeller.labels(WORDS).tolist() == slowly(tagger, WORDS)
    assert labeller.labels(WORDS[::-1]).tolist() == slowly(tagger, WORDS[::-1])


def test_the_way_for_features_gives_the_same_without_features(tagger: TrainedTagger) -> None:
    labeller = tagger.labeller
    assert len(set(labeller.labels(WORDS).tolist())) > 3
    assert labeller._by_sentences(WORDS).tolist() == labeller.labels(WORDS).tolist()


def test_weights_that_change_are_noticed(run: Path) -> None:
    tagger = load(run)
    before = tagger.labeller.labels(WORDS).tolist()
    with torch.no_grad():
        for weights in tagger.tagger.embedder.parameters():
            weights.neg_()
    after = tagger.labeller.labels(WORDS).tolist()
    assert after == slowly(tagger, WORDS)
    assert after != before


def test_dropout_never_touches_a_prediction(tagger: TrainedTagger) -> None:
    expected = tagger.labeller.labels(WORDS).tolist()
    tagger.tagger.train()
    assert tagger.labeller.labels(WORDS).tolist() == expected


def test_a_tagger_of_chunks_can_be_sent_to_another_process(tagger: TrainedTagger) -> None:
    work = ChunkWorker(tagger.labeller, INPUT_FORMATS["tokens"], OUTPUT_FORMATS["conll"], "some")
    chunk = Chunk(b"Anna Holm won .\n", 0, 16)
    assert pickle.loads(pickle.dumps(work))(chunk) == work(chunk)
    assert work(chunk).text.startswith("Anna B-PER\nHolm I-PER\n")


@settings(deadline=None, max_examples=100)
@given(
    lengths=st.lists(st.integers(1, 40), max_size=80),
    tokens=st.sampled_from([1, 25, 100, 2000]),
    least=st.sampled_from([1, 4, 16]),
)
def test_batches_hold_each_sentence_once_and_little_padding(lengths: list[int], tokens: int, least: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = list(batches_of(array, tokens, least))
    assert sorted(number for batch in batches for number in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        own = array[batch]
        assert own[0] == own.max()
        assert len(batch) == 1 or own[0] * len(batch) <= tokens
        assert len(batch) <= least or len(set(own.tolist())) == 1


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.sampled_from(FEW), max_size=12), max_size=6))
def test_a_spellings_vector_is_the_embedders_whatever_is_kept(run: Path, texts: list[list[str]]) -> None:
    tagger = load(run)
    spellings = spellings_of(tagger, most=4)
    for words in texts:
        with torch.inference_mode():
            rows, vectors = spellings.rows(words)
            found = vectors[torch.from_numpy(rows)]
            table = form_table(words, tagger.vocabs, tagger.options)
            expected = tagger.tagger.embedder.embed_words(
                torch.from_numpy(table.words), torch.from_numpy(table.chars), torch.from_numpy(table.lengths)
            )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        assert len(spellings) <= max(4, len(set(words)))


def test_spellings_seen_before_are_not_encoded_again(tagger: TrainedTagger, monkeypatch: pytest.MonkeyPatch) -> None:
    spellings = spellings_of(tagger, most=100)
    asked: list[int] = []
    encode_them = tagger.tagger.embedder.embed_words

    def counting(words: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        asked.append(len(words))
        return encode_them(words, *others)

    monkeypatch.setattr(tagger.tagger.embedder, "embed_words", counting)
    with torch.inference_mode():
        spellings.rows(["Anna", "won", "Anna"])
        spellings.rows(["won", "Oslo"])
    assert sum(asked) == 3


def test_a_word_without_end_does_not_make_room_for_the_others(tagger: TrainedTagger) -> None:
    short = [f"word{number}" for number in range(3000)]
    widths = []

    def table(words: list[str]) -> object:
        widths.append((len(words), max(map(len, words))))
        return form_table(words, tagger.vocabs, tagger.options)

    spellings = Spellings(tagger.tagger.embedder, table)  # type: ignore[arg-type]
    with torch.inference_mode():
        spellings.rows([*short, "x" * 20_000])
    assert all(count == 1 or count * longest <= 2**14 for count, longest in widths)
    assert sum(count for count, _ in widths) == 3001


def untrained(small: list[str], *overrides: str) -> TrainedTagger:
    cfg = compose_config([*small, *overrides])
    prepared = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))
    torch.manual_seed(1)
    return TrainedTagger(build_tagger(cfg, prepared.vocabs), prepared.vocabs, cfg)


def test_an_exception_in_the_middle_leaves_no_wrong_vector(small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = untrained(small, "features=none")
    expected = slowly(tagger, WORDS)

    def failing(*arguments: torch.Tensor) -> torch.Tensor:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(tagger.tagger.embedder, "embed_words", failing)
        with pytest.raises(MemoryError):
            tagger.labeller.labels(WORDS)
    assert tagger.labeller.labels(WORDS).tolist() == expected


def test_a_process_forked_while_another_thread_tags_can_tag(run: Path) -> None:
    tagger = load(run)
    spellings = tagger.labeller._spellings
    expected = tagger.predict([WORDS[0]])
    with spellings._lock:  # as another thread has it
        child = os.fork()
        if not child:
            signal.alarm(60)
            os._exit(tagger.predict([WORDS[0]]) != expected)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("decoder", "features"),
    [
        ("softmax", "none"),
        ("crf", "caps"),
        ("crf_chiu", "none"),
        ("crf_pairwise", "huang"),
        ("memm", "huang"),
        ("memm_mccallum", "caps"),
        ("stack_lstm", "huang features.wiring=encoder"),  # it takes no scores of tags
    ],
)
def test_eight_threads_tag_as_one(decoder: str, features: str, small: list[str]) -> None:
    tagger = untrained(small, f"decoder={decoder}", *f"features={features}".split())
    tagger.labeller._spellings._most = 30  # so that it forgets and begins again all the time
    chosen = WORDS[:3] if decoder == "stack_lstm" else WORDS
    sentences = [[*words[::step], f"word{step}{number}"] for number, words in enumerate(chosen) for step in (1, 2, -1)]
    expected = [tagger.predict([words]) for words in sentences]
    orders = [random.Random(thread).sample(range(len(sentences)), len(sentences)) for thread in range(8)]
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda order: [tagger.predict([sentences[number]]) for number in order], orders)
        for order, tags in zip(orders, found, strict=True):
            assert tags == [expected[number] for number in order]
