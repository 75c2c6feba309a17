"""Batches: which sentences go together in which order, what a batch holds, how processes share it."""

import random
from collections import Counter
from dataclasses import fields
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.batching.batch import Batch, BatchMaker, BatchPlan, Item, eval_batches
from ner_lab.data.encoding import EncodedSplit, FormTable, distinct_words, encode_split
from ner_lab.data.sentence import Sentence
from ner_lab.data.vocab import UNK, FeatureVocab, TagVocab, Vocab, Vocabs, WordVocab

LETTERS = "abcdeÅ"
some_lengths = st.lists(st.integers(1, 12), min_size=1, max_size=40).map(np.array)


class Letters:
    """Dense: the first and the last letter. Sparse: one feature for each distinct letter but d."""

    columns: tuple[str, ...] = ("first", "last")
    min_count = 1

    def dense(self, sentence: Sentence) -> list[list[str]]:
        return [[word[0] for word in sentence.words], [word[-1] for word in sentence.words]]

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        return [sorted(set(word) - {"d"}) for word in sentence.words]

    def fingerprint(self) -> dict[str, Any]:
        return {}


def made_up(seed: int, size: int) -> list[Sentence]:
    rng = random.Random(seed)
    words = ["".join(rng.choices(LETTERS, k=rng.randint(1, 6))) for _ in range(30)]
    sentences = []
    for _ in range(size):
        chosen = rng.choices(words, k=rng.randint(1, 9))
        sentences.append(Sentence(chosen, [rng.choice(["O", "O", "B-PER", "B-LOC"]) for _ in chosen]))
    return sentences


def split_of(sentences: list[Sentence], sparse: bool = True) -> EncodedSplit:
    words = distinct_words(sentences)
    counts = Counter(word for sentence in sentences for word in sentence.words)
    vocabs = Vocabs(
        words=WordVocab.of(words[: 3 * len(words) // 4]),
        chars=Vocab.of(LETTERS),
        tags=TagVocab.of(["PER", "LOC"], "IOB2"),
        features=FeatureVocab(
            {"first": Vocab.of(LETTERS), "last": Vocab.of(LETTERS)}, Vocab(list(LETTERS) if sparse else [])
        ),
    )
    once = {word for word, number in counts.items() if number == 1}
    table = FormTable.of(words, vocabs, digits="keep", unknown_chars="unk", max_word_length=None, singletons=once)
    form_ids = {word: number for number, word in enumerate(words)}
    return encode_split("train", "-", sentences, table, form_ids, dict(vocabs.tags.ids), vocabs, Letters())


def batches_of(split: EncodedSplit, **plan: Any) -> list[Batch]:
    maker = BatchMaker(split)
    return [maker[item] for item in BatchPlan(split.sentence_lengths, **plan)]


def flat(batches: list[np.ndarray]) -> list[int]:
    return [int(number) for batch in batches for number in batch]


# the order of batches


@settings(max_examples=60, deadline=None)
@given(
    lengths=some_lengths,
    batch_size=st.integers(1, 9) | st.none(),
    batch_tokens=st.integers(1, 30) | st.none(),
    group=st.booleans(),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 50),
)
def test_every_sentence_is_in_exactly_one_batch_of_an_epoch_and_no_batch_is_too_large(
    lengths: np.ndarray,
    batch_size: int | None,
    batch_tokens: int | None,
    group: bool,
    shuffle: bool,
    seed: int,
    epoch: int,
) -> None:
    if batch_size is None and batch_tokens is None:
        batch_size = 4
    plan = BatchPlan(
        lengths,
        batch_size=batch_size,
        batch_tokens=batch_tokens,
        group_by_length=group,
        shuffle=shuffle,
        seed=seed,
    )
    plan.set_epoch(epoch)
    batches = plan.batches()
    assert sorted(flat(batches)) == list(range(len(lengths)))
    assert len(plan) == len(batches)
    for batch in batches:
        assert 1 <= len(batch) <= (batch_size or len(lengths))
        if batch_tokens is not None and len(batch) > 1:
            assert lengths[batch].sum() <= batch_tokens
    if batch_tokens is None:
        assert sum(len(batch) < batch_size for batch in batches) <= 1


@settings(max_examples=40, deadline=None)
@given(lengths=some_lengths, batch_tokens=st.integers(1, 30))
def test_a_token_budget_is_used_up_before_a_new_batch_begins(lengths: np.ndarray, batch_tokens: int) -> None:
    plan = BatchPlan(lengths, batch_size=None, batch_tokens=batch_tokens, shuffle=False, group_by_length=False)
    batches = plan.batches()
    assert flat(batches) == list(range(len(lengths)))
    for batch, following in pairwise(batches):
        assert lengths[batch].sum() + lengths[following[0]] > batch_tokens


def test_a_sentence_longer_than_the_token_budget_is_a_batch_of_its_own() -> None:
    plan = BatchPlan(np.array([3, 50, 2, 40, 1]), batch_size=None, batch_tokens=6, seed=3)
    batches = sorted(sorted(batch.tolist()) for batch in plan.batches())
    assert batches == [[0, 2, 4], [1], [3]]


def test_a_size_and_a_token_budget_both_hold() -> None:
    plan = BatchPlan(np.array([1, 1, 1, 1, 1, 5, 5]), batch_size=3, batch_tokens=9, shuffle=False)
    assert [batch.tolist() for batch in plan.batches()] == [[5], [6, 0, 1], [2, 3, 4]]


LENGTHS = np.random.default_rng(0).integers(1, 40, size=300)


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    used = BatchPlan(LENGTHS, batch_size=7, seed=5)
    for epoch in (4, 0, 2):
        used.set_epoch(epoch)
        list(used)
        used.batches()
    used.set_epoch(3)
    np.random.seed(1)
    random.seed(1)
    torch.manual_seed(1)
    fresh = BatchPlan(LENGTHS, batch_size=7, seed=5)
    fresh.set_epoch(3)
    assert [batch.tolist() for batch in used.batches()] == [batch.tolist() for batch in fresh.batches()]
    assert [item[0].tolist() for item in used] == [batch.tolist() for batch in fresh.batches()]


@pytest.mark.parametrize("group", [True, False])
def test_the_order_and_the_company_differ_from_epoch_to_epoch_and_from_seed_to_seed(group: bool) -> None:
    orders, companies = set(), set()
    for seed in range(3):
        for epoch in range(3):
            plan = BatchPlan(LENGTHS, batch_size=7, seed=seed, group_by_length=group)
            plan.set_epoch(epoch)
            batches = plan.batches()
            orders.add(tuple(flat(batches)))
            companies.add(frozenset(frozenset(batch.tolist()) for batch in batches))
    assert len(orders) == len(companies) == 9


def test_grouping_by_length_leaves_little_padding() -> None:
    def padding(**plan: Any) -> float:
        batches = BatchPlan(LENGTHS, seed=1, **plan).batches()
        return sum(LENGTHS[batch].max() * len(batch) for batch in batches) / LENGTHS.sum() - 1

    assert padding(batch_size=10) < 0.05
    assert padding(batch_size=None, batch_tokens=200) < 0.05
    assert padding(batch_size=10, group_by_length=False) > 0.5


def test_batches_grouped_by_length_are_not_in_the_order_of_length() -> None:
    longest = [int(LENGTHS[batch].max()) for batch in BatchPlan(LENGTHS, batch_size=10, seed=1).batches()]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def test_without_shuffling_batches_go_from_long_to_short_and_equals_keep_the_order_of_the_file() -> None:
    plan = BatchPlan(np.array([2, 5, 2, 9, 5]), batch_size=2, shuffle=False, seed=9)
    plan.set_epoch(9)
    assert [batch.tolist() for batch in plan.batches()] == [[3, 1], [4, 0], [2]]


# what a batch holds


@pytest.mark.parametrize("plan", [{"batch_size": 4}, {"batch_size": None, "batch_tokens": 17}, {"batch_size": 1}])
def test_a_batch_holds_its_sentences_word_by_word_and_zero_at_padding(plan: dict[str, Any]) -> None:
    sentences = made_up(seed=1, size=23)
    split = split_of(sentences)
    words, chars = split.table.words, Vocab.of(LETTERS)
    vocab, tags = split.table, TagVocab.of(["PER", "LOC"], "IOB2")
    features = Letters()
    seen = []
    for batch in batches_of(split, **plan):
        size, time = batch.words.shape
        assert len(batch) == size
        assert time == int(batch.lengths.max())
        assert batch.mask.sum(1).tolist() == batch.lengths.tolist()
        for row, number in enumerate(batch.sentences.tolist()):
            sentence = sentences[number]
            length = len(sentence.words)
            seen.append(number)
            assert int(batch.lengths[row]) == length
            assert batch.mask[row].tolist() == [True] * length + [False] * (time - length)
            assert batch.words[row, :length].tolist() == [
                int(words[vocab.spellings.index(word)]) for word in sentence.words
            ]
            assert [tags.items[label] for label in batch.tags[row, :length]] == sentence.tags
            dense = [[chars[value] for value in column] for column in features.dense(sentence)]
            assert batch.categories[row, :length].T.tolist() == dense
            for tensor in (batch.words, batch.tags, batch.categories):
                assert not tensor[row, length:].any()
    assert sorted(seen) == list(range(len(sentences)))


def test_letters_stand_once_for_each_spelling_of_the_batch_and_rebuild_every_word() -> None:
    sentences = made_up(seed=2, size=40)
    split = split_of(sentences)
    letters = Vocab.of(LETTERS).items
    repeated = 0
    for batch in batches_of(split, batch_size=6):
        words = [sentences[number].words for number in batch.sentences.tolist()]
        distinct = {word for sentence in words for word in sentence}
        assert batch.chars.shape == (len(distinct), max(map(len, distinct)))
        repeated += sum(map(len, words)) - len(distinct)
        rebuilt = [
            "".join(letters[letter] for letter in row[:length])
            for row, length in zip(batch.chars.tolist(), batch.char_lengths.tolist(), strict=True)
        ]
        assert sorted(rebuilt) == sorted(distinct)
        assert [int((row != 0).sum()) for row in batch.chars] == batch.char_lengths.tolist()
        for row, sentence in enumerate(words):
            assert [rebuilt[form] for form in batch.forms[row, : len(sentence)].tolist()] == sentence
        assert 0 <= int(batch.forms.min()) <= int(batch.forms.max()) < len(distinct)
    assert repeated > 50


def test_sparse_features_are_packed_token_by_token_and_padding_has_none() -> None:
    sentences = made_up(seed=3, size=17)
    split = split_of(sentences)
    for batch in batches_of(split, batch_size=5):
        size, time = batch.words.shape
        assert len(batch.sparse_offsets) == size * time
        borders = [*batch.sparse_offsets.tolist(), len(batch.sparse)]
        for row, number in enumerate(batch.sentences.tolist()):
            names = Letters().sparse(sentences[number]) + [[]] * (time - len(sentences[number].words))
            for step, expected in enumerate(names):
                begin, end = borders[row * time + step : row * time + step + 2]
                assert [LETTERS[feature] for feature in batch.sparse[begin:end].tolist()] == expected


def test_without_sparse_features_both_arrays_are_empty() -> None:
    for batch in batches_of(split_of(made_up(seed=3, size=5), sparse=False), batch_size=5):
        assert batch.sparse.numel() == batch.sparse_offsets.numel() == 0


def test_a_batch_states_the_size_of_the_whole_batch_over_all_processes() -> None:
    split = split_of(made_up(seed=4, size=20))
    whole = batches_of(split, batch_size=8, seed=1)
    parts = batches_of(split, batch_size=8, seed=1, rank=1, world=3)
    for one, part in zip(whole, parts, strict=True):
        assert one.global_sentences == part.global_sentences == len(one)
        assert one.global_tokens == part.global_tokens == int(one.mask.sum())


def test_a_moved_batch_is_the_same_batch() -> None:
    (batch,) = batches_of(split_of(made_up(seed=5, size=4)), batch_size=4)
    moved = batch.to("meta")
    for field in fields(Batch):
        before, after = getattr(batch, field.name), getattr(moved, field.name)
        if isinstance(before, torch.Tensor):
            assert after.is_meta
            assert (after.shape, after.dtype) == (before.shape, before.dtype)
        else:
            assert after == before


def test_scoring_reads_the_whole_split_once_within_the_budget_and_always_alike() -> None:
    split = split_of(made_up(seed=6, size=31))
    batches = list(eval_batches(split, 20))
    assert sorted(number for batch in batches for number in batch.sentences.tolist()) == list(range(31))
    assert all(int(batch.mask.sum()) <= 20 for batch in batches)
    again = list(eval_batches(split, 20))
    assert [batch.sentences.tolist() for batch in batches] == [batch.sentences.tolist() for batch in again]
    assert [batch.words.tolist() for batch in batches] == [batch.words.tolist() for batch in again]


# many batches at once


def slowly(split: EncodedSplit, item: Item, singleton_unk: float = 0.0, seed: int = 0, epoch: int = 0) -> Batch:
    """A batch made by itself, sentence by sentence and word by word."""
    sentences, *totals = item
    lengths = [int(split.starts[number + 1] - split.starts[number]) for number in sentences]
    time = max(lengths)
    draws = np.random.default_rng([seed, epoch, 1]).random(len(split.forms), dtype=np.float32)
    table, has_sparse = split.table, len(split.sparse_starts) > 0
    forms, words, tags, categories, sparse, offsets = [], [], [], [], [], []
    for number, length in zip(sentences, lengths, strict=True):
        begin = int(split.starts[number])
        for step in range(time):
            token = begin + step if step < length else begin
            form = int(split.forms[token])
            hidden = bool(table.singletons[form]) and draws[token] < singleton_unk
            forms.append(form)
            words.append((UNK if hidden else int(table.words[form])) if step < length else 0)
            tags.append(int(split.labels[token]) if step < length else 0)
            categories += split.categories[token].tolist() if step < length else [0] * split.categories.shape[1]
            if has_sparse:
                offsets.append(len(sparse))
                sparse += split.sparse[split.sparse_starts[token] : split.sparse_starts[token + 1]].tolist() * (
                    step < length
                )
    distinct = sorted(set(forms))
    letters = max(int(table.lengths[form]) for form in distinct)

    def grid(values: list[int], *shape: int) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long).view(shape)

    return Batch(
        words=grid(words, len(sentences), time),
        chars=torch.stack([torch.from_numpy(table.chars[form, :letters]) for form in distinct]),
        char_lengths=grid([int(table.lengths[form]) for form in distinct], -1),
        forms=grid([distinct.index(form) for form in forms], len(sentences), time),
        categories=grid(categories, len(sentences), time, split.categories.shape[1]),
        sparse=grid(sparse, -1),
        sparse_offsets=grid(offsets, -1),
        tags=grid(tags, len(sentences), time),
        mask=torch.tensor([[step < length for step in range(time)] for length in lengths]),
        lengths=grid(lengths, -1),
        sentences=grid(sentences.tolist(), -1),
        global_sentences=totals[0],
        global_tokens=totals[1],
        counts=totals[2],
    )


def assert_same(one: Batch, other: Batch) -> None:
    for field in fields(Batch):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, torch.Tensor):
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape), field.name
            assert torch.equal(mine, theirs), field.name
            assert mine.is_contiguous(), field.name
        else:
            assert mine == theirs, field.name


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 9),
    size=st.integers(1, 25),
    batch_size=st.integers(1, 9),
    sparse=st.booleans(),
    columns=st.booleans(),
    group=st.booleans(),
    singleton_unk=st.sampled_from([0.0, 0.5]),
    world=st.integers(1, 3),
    tokens=st.sampled_from([1, 20, 10_000]),
)
def test_batches_laid_out_together_are_those_made_word_by_word(
    seed: int,
    size: int,
    batch_size: int,
    sparse: bool,
    columns: bool,
    group: bool,
    singleton_unk: float,
    world: int,
    tokens: int,
) -> None:
    split = split_of(made_up(seed, size), sparse)
    if not columns:
        split.categories = split.categories[:, :0]
    maker = BatchMaker(split, singleton_unk=singleton_unk, seed=seed)
    maker.set_epoch(3)
    plan = BatchPlan(
        split.sentence_lengths, batch_size=batch_size, group_by_length=group, seed=seed, rank=world - 1, world=world
    )
    items = list(plan)
    made = [batch for layout in maker.layouts(items, tokens) for batch in layout]
    for item, batch in zip(items, made, strict=True):
        assert_same(batch, slowly(split, item, singleton_unk, seed, 3))
        assert_same(maker[item], batch)


def test_a_layout_holds_as_many_tokens_as_asked_and_at_most_a_batch_more() -> None:
    split = split_of(made_up(seed=8, size=60))
    maker = BatchMaker(split)
    items = list(BatchPlan(split.sentence_lengths, batch_size=3, seed=1))
    layouts = [list(layout) for layout in maker.layouts(items, 40)]
    held = [[batch.global_tokens for batch in layout] for layout in layouts]
    assert len(held) > 3
    assert all(sum(tokens) >= 40 > sum(tokens[:-1]) for tokens in held[:-1])


def test_the_batches_of_a_layout_are_views_that_are_moved_together() -> None:
    split = split_of(made_up(seed=8, size=20))
    maker = BatchMaker(split)
    layout = maker.lay_out(list(BatchPlan(split.sentence_lengths, batch_size=3, seed=1)))
    batches = list(layout)
    for name in ("words", "chars", "mask", "lengths"):
        (memory,) = {getattr(batch, name).untyped_storage().data_ptr() for batch in batches}
        assert memory == layout.numbers[name].untyped_storage().data_ptr()
    elsewhere = list(layout.to(torch.device("meta")))
    assert [batch.chars.shape for batch in elsewhere] == [batch.chars.shape for batch in batches]
    assert all(getattr(batch, name).is_meta for batch in elsewhere for name in layout.numbers)


def test_a_batch_that_is_where_it_should_be_is_not_moved() -> None:
    (batch,) = batches_of(split_of(made_up(seed=5, size=4)), batch_size=4)
    assert batch.to("cpu") is batch
    assert batch.to("meta") is not batch


# words that train has once


def hidden_in(split: EncodedSplit, epoch: int, probability: float, seed: int = 0) -> np.ndarray:
    """For every token of the split, whether it was shown as unknown though it has a number."""
    hidden = np.zeros(len(split.forms), dtype=bool)
    maker = BatchMaker(split, singleton_unk=probability, seed=seed)
    plan = BatchPlan(split.sentence_lengths, batch_size=4, seed=seed)
    maker.set_epoch(epoch)
    plan.set_epoch(epoch)
    for item in plan:
        batch = maker[item]
        assert not batch.words[~batch.mask].any()
        for row, number in enumerate(batch.sentences.tolist()):
            begin, end = split.starts[number], split.starts[number + 1]
            shown = batch.words[row, : end - begin].numpy()
            own = split.table.words[split.forms[begin:end]]
            assert ((shown == own) | (shown == UNK)).all()
            hidden[begin:end] = shown != own
    return hidden


def once_and_often() -> EncodedSplit:
    """100 sentences; each holds four words of its own and up to three that many have."""
    own = random.Random(0).sample(["".join(letters) for letters in product("abcd", repeat=5)], 400)
    words = [[*own[4 * n : 4 * n + 4], *"abc"[: n % 4]] for n in range(100)]
    split = split_of([Sentence(sentence, ["O"] * len(sentence)) for sentence in words])
    split.table.words = np.arange(2, 2 + len(split.table.spellings))  # every word has a number of its own
    return split


@pytest.mark.parametrize("probability", [0.2, 0.5, 1.0])
def test_only_words_that_train_has_once_are_hidden_and_about_as_often_as_asked(probability: float) -> None:
    split = once_and_often()
    once = split.table.singletons[split.forms]
    assert once.sum() == 400
    epochs = 5
    hidden = np.stack([hidden_in(split, epoch, probability) for epoch in range(epochs)])
    assert not hidden[:, ~once].any()
    deviation = np.sqrt(probability * (1 - probability) / (epochs * 400))
    assert abs(hidden[:, once].mean() - probability) <= 4 * deviation
    assert not hidden_in(split, 0, 0.0).any()


def test_what_is_hidden_is_drawn_anew_each_epoch_and_again_the_same_for_the_same_seed_and_epoch() -> None:
    split = once_and_often()
    drawn = {(seed, epoch): hidden_in(split, epoch, 0.5, seed) for seed in (0, 1) for epoch in (0, 1, 2)}
    for (seed, epoch), hidden in drawn.items():
        np.testing.assert_array_equal(hidden, hidden_in(split, epoch, 0.5, seed))
    assert len({hidden.tobytes() for hidden in drawn.values()}) == 6


def test_the_same_batch_hides_other_words_in_another_epoch_or_with_another_seed() -> None:
    split = once_and_often()
    item = (np.arange(8), 8, 44, True)
    shown = set()
    for seed in range(3):
        maker = BatchMaker(split, singleton_unk=0.5, seed=seed)
        for epoch in range(3):
            maker.set_epoch(epoch)
            shown.add(maker[item].words.numpy().tobytes())
    assert len(shown) == 9


def test_batches_of_one_epoch_hide_words_in_different_places() -> None:
    split = once_and_often()
    maker = BatchMaker(split, singleton_unk=0.5)
    patterns = {
        (maker[item].words == UNK).numpy().tobytes() for item in BatchPlan(split.sentence_lengths, batch_size=4)
    }
    assert len(patterns) == 25


@pytest.mark.parametrize("world", [2, 3])
def test_what_is_hidden_does_not_depend_on_how_a_batch_is_cut_or_parted(world: int) -> None:
    split = once_and_often()
    shown = []
    for size, ranks in ((1, 1), (5, 1), (100, 1), (7, world)):
        words: dict[int, list[int]] = {}
        maker = BatchMaker(split, singleton_unk=0.5, seed=2)
        for rank in range(ranks):
            for item in BatchPlan(split.sentence_lengths, batch_size=size, seed=2, rank=rank, world=ranks):
                batch = maker[item]
                for row, (number, length) in enumerate(zip(batch.sentences, batch.lengths, strict=True)):
                    words[int(number)] = batch.words[row, :length].tolist()
        shown.append(words)
    assert all(words == shown[0] for words in shown[1:])
    assert 100 < sum(row.count(UNK) for row in shown[0].values()) < 300


def test_what_is_hidden_does_not_depend_on_the_batches_made_before() -> None:
    split = once_and_often()
    items = list(BatchPlan(split.sentence_lengths, batch_size=5, seed=0))
    in_order = [BatchMaker(split, singleton_unk=0.5)[item].words for item in items]
    maker = BatchMaker(split, singleton_unk=0.5)
    backwards = [maker[item].words for item in reversed(items)][::-1]
    assert all(torch.equal(one, other) for one, other in zip(in_order, backwards, strict=True))


# several processes


@settings(max_examples=60, deadline=None)
@given(
    lengths=some_lengths,
    batch_size=st.integers(1, 9),
    world=st.integers(1, 5),
    seed=st.integers(0, 99),
    by_tokens=st.booleans(),
)
def test_processes_take_equally_many_steps_and_their_parts_make_up_the_batch_exactly(
    lengths: np.ndarray, batch_size: int, world: int, seed: int, by_tokens: bool
) -> None:
    sizes: dict[str, Any] = {"batch_size": batch_size}
    if by_tokens:
        sizes = {"batch_size": None, "batch_tokens": 3 * batch_size}
    whole = BatchPlan(lengths, seed=seed, **sizes).batches()
    parts = [list(BatchPlan(lengths, seed=seed, rank=rank, world=world, **sizes)) for rank in range(world)]
    assert {len(steps) for steps in parts} == {len(whole)}
    for batch, *steps in zip(whole, *parts, strict=True):
        counted = [number for sentences, *_, counts in steps if counts for number in sentences.tolist()]
        assert sorted(counted) == sorted(batch.tolist())
        for sentences, in_all, tokens, counts in steps:
            assert (in_all, tokens) == (len(batch), lengths[batch].sum())
            if not counts:
                assert len(sentences) == 1
                assert sentences[0] in batch
        sizes_of_parts = [len(sentences) if counts else 0 for sentences, *_, counts in steps]
        assert max(sizes_of_parts) - min(sizes_of_parts) <= 1
        assert all(counts for *_, counts in steps) == (len(batch) >= world)


def test_three_processes_with_two_sentences_take_one_step_and_the_idle_ones_does_not_count() -> None:
    split = split_of(made_up(seed=7, size=2))
    steps = [batches_of(split, batch_size=10, rank=rank, world=3) for rank in range(3)]
    assert [len(batches) for batches in steps] == [1, 1, 1]
    batches = [batches[0] for batches in steps]
    assert [batch.counts for batch in batches] == [True, True, False]
    assert sorted(number for batch in batches[:2] for number in batch.sentences.tolist()) == [0, 1]
    assert len(batches[2]) == 1
    assert {batch.global_sentences for batch in batches} == {2}
