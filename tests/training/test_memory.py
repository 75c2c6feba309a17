"""One very long sentence or word costs memory in proportion to its own length, never times that of everything else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sample import DEV, TRAIN, Marked, marked, write_corpus
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.batching.batch import BatchPlan, tokens_at_once
from ner_lab.data.preparation import prepare
from ner_lab.data.readers.conll import ColumnFormat, _lines, read_split
from ner_lab.data.tags import Span
from ner_lab.inference.evaluate import evaluate
from ner_lab.inference.trained_tagger import load
from ner_lab.models.build import feature_set_of, word_embedding_of
from ner_lab.models.char_encoder.none import NoChars
from ner_lab.models.tagger import _MAX_CELLS, Embedder, _parts
from ner_lab.training.train import train

TOKENS, LETTERS, OTHERS = 8000, 5000, 200


class Largest(TorchDispatchMode):
    """The bytes of the largest tensor that any operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = operation(*arguments, **(options or {}))
        tensors = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        self.bytes = max([self.bytes, *(tensor.numel() * tensor.element_size() for tensor in tensors)])
        return result


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sentences as others; the same with a very long one, and with a very long word."""
    folder = tmp_path_factory.mktemp("memory")
    few = marked(TRAIN)
    others = [few[number % len(few)] for number in range(OTHERS)]
    words = [word for sentence in others for word in sentence.words]
    sentence = Marked((words * 9)[:TOKENS], [Span("LOC", 3, 5)])
    word = Marked(["It", "is", "a" * LETTERS], [])
    corpora = {"plain": others, "sentence": [*others, sentence], "word": [*others, word]}
    write_corpus(folder / "dev.conll", marked(DEV))
    corpora["both"] = [*others[:60], Marked(sentence.words[:3000], []), word]
    return {name: write_corpus(folder / f"{name}.conll", some) for name, some in corpora.items()}


def settings(small: list[str], corpus: Path, *overrides: str) -> list[str]:
    files = [f"data.train={corpus}", f"data.dev={corpus.parent / 'dev.conll'}", "data.test=null"]
    groups = {override.partition("=")[0] for override in overrides}
    kept = [one for one in small if one.partition(".")[0].partition("=")[0] not in groups]
    return [*kept, *files, "data.batch_size=10", "trainer.max_epochs=1", *overrides]


PARTS = {
    "default": [],
    "bilstm letters": ["char_encoder=bilstm", "char_encoder.hidden_dim=6", "char_encoder.char_dim=6"],
    "pairwise": ["decoder=crf_pairwise"],
    "huang": ["features=huang"],
}


WIDTH = 4 * 17 * 18 * 4
"""Bytes of a token in any tensor at most: four numbers for each pair of tags, which is more than any layer has."""


def largest_of(command: str, settings: list[str], corpus: Path, run: Path, plain: Path) -> int:
    """Bytes of the largest tensor of a command."""
    with Largest() as watched:
        if command == "train":
            train(compose_config(settings), run)
        elif command == "evaluate":
            evaluate(plain, ["data=files", f"data.test={corpus}"], ["test"])
        else:
            read = read_split("test", corpus, ColumnFormat()).sentences
            tags = load(plain).predict([sentence.words for sentence in read])
            assert list(map(len, tags)) == [len(sentence.words) for sentence in read]
    return watched.bytes


def test_a_long_sentence_and_a_long_word_go_through_all_commands_in_the_memory_of_their_own(
    small: list[str], corpora: dict[str, Path], tmp_path: Path
) -> None:
    both = corpora["both"]
    run = tmp_path / "run"
    chosen = settings(small, both, "decoder=softmax", "data.batch_size=30", "data.eval_batch_tokens=3000")
    for command in ("train", "evaluate", "predict"):
        found = largest_of(command, chosen, both, run, run)
        assert found <= 3000 * 2000, command  # 30 sentences of 3,000 tokens would take 30 times 1,216 bytes a token
        assert found > 3000 * 100, command  # it was there


@pytest.mark.soak
@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
@pytest.mark.parametrize("what", ["sentence", "word"])
@pytest.mark.parametrize("parts", PARTS)
def test_a_long_sentence_or_word_costs_its_own_length_and_not_that_of_all_others(
    parts: str, what: str, command: str, small: list[str], corpora: dict[str, Path], tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    without = largest_of("train", settings(small, corpora["plain"], *PARTS[parts]), corpora["plain"], plain, plain)
    chosen = settings(small, corpora[what], *PARTS[parts])
    found = largest_of(command, chosen, corpora[what], tmp_path / "run", plain)
    # letters are laid out for the spellings of a batch or a part, whose number is bounded by their width
    own = TOKENS * WIDTH if what == "sentence" else max(_MAX_CELLS * 8, LETTERS * WIDTH)
    assert found <= without + own


def test_many_tags_make_evaluation_batches_smaller(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 types are 81 tags, and 400 sentences at once would take 400 times the square of that, or 10 MB."""
    monkeypatch.setattr("ner_lab.data.batching.batch._MOST_PAIRS", 2**20)
    sentences = [Marked([f"w{number}", "fell"], [Span(f"T{number % 20}", 0, 1)]) for number in range(400)]
    file = write_corpus(tmp_path / "many.conll", sentences)
    chosen = [*settings(small, file), "trainer.limit_train_batches=1", "data.batch_size=4", f"data.dev={file}"]
    for command in ("train", "evaluate", "predict"):
        assert largest_of(command, chosen, file, tmp_path / "run", tmp_path / "run") <= 4 * 2**20, command


def test_few_tags_leave_evaluation_batches_as_set() -> None:
    assert tokens_at_once(2000, 17) == tokens_at_once(2000, 4 * 30 + 1) == 2000
    assert tokens_at_once(2000, 1201) == 23
    assert tokens_at_once(2000, 20_000) == 1


def test_a_sentence_of_the_length_of_hundreds_is_a_batch_by_itself() -> None:
    lengths = np.array([20_000, *range(60, 20, -1)])
    for shuffle in (True, False):
        plan = BatchPlan(lengths, batch_size=10, shuffle=shuffle, seed=3)
        batches = plan.batches()
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert [batch.tolist() for batch in batches if 0 in batch] == [[0]]
        assert max(len(batch) * lengths[batch].max() for batch in batches) == 20_000
        assert len(plan) == len(batches)


def test_no_batch_of_ordinary_sentences_is_parted() -> None:
    drawn = np.random.default_rng(1)
    lengths = drawn.integers(1, 120, size=2000)
    for size in (1, 10, 500):
        plan = BatchPlan(lengths, batch_size=size, group_by_length=False, seed=2)
        assert [len(batch) for batch in plan.batches() if len(batch) != size] in ([], [2000 % size])


def test_places_of_a_batch_are_bounded_whatever_the_lengths() -> None:
    drawn = np.random.default_rng(4)
    for trial in range(200):
        lengths = np.maximum(1, np.exp(drawn.normal(3, 2.5, size=300))).astype(int)
        plan = BatchPlan(lengths, batch_size=int(drawn.integers(1, 100)), group_by_length=bool(trial % 2), seed=trial)
        batches = plan.batches()
        assert sorted(np.concatenate(batches).tolist()) == list(range(300))
        for batch in batches:
            assert len(batch) * lengths[batch].max() <= max(2**16, 2 * lengths[batch].sum())


class Told(NoChars):
    """Gives each spelling its letters' sum, and remembers how it was asked."""

    output_dim = 1

    def __init__(self) -> None:
        super().__init__(chars="ab")
        self.asked: list[tuple[int, int]] = []

    def forward(self, chars: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        self.asked.append((chars.shape[0], chars.shape[1]))
        assert int(lengths.max()) == chars.shape[1]
        return chars.sum(dim=1, keepdim=True).float()


def test_spellings_beside_a_very_long_one_are_encoded_in_parts_and_come_back_in_order() -> None:
    lengths = torch.tensor([7, 5000, 1, *[9] * 200])
    chars = (torch.arange(5000) < lengths[:, None]) * torch.arange(1, len(lengths) + 1)[:, None]
    told = Told()
    embedder = Embedder(NoChars(chars="ab"), told, NoChars(chars="ab"))  # type: ignore[arg-type]
    assert embedder._spelt(chars, lengths).squeeze(1).tolist() == chars.sum(dim=1).tolist()
    assert sorted(told.asked) == [(1, 5000), (202, 9)]
    told.asked.clear()
    embedder._spelt(chars[:, :9], lengths.clamp(max=9))
    assert told.asked == [(203, 9)]  # as they are, where they are not many


def test_parts_embed_words_hold_all_of_them_within_the_bound() -> None:
    drawn = np.random.default_rng(5)
    for _ in range(100):
        widths = sorted(np.exp(drawn.normal(3, 3, size=drawn.integers(1, 400))).astype(int).clip(1).tolist())
        counts = _parts(widths)
        assert sum(counts) == len(widths)
        begin = 0
        for count in counts:
            part = widths[begin : begin + count]
            assert len(part) == 1 or len(part) * part[-1] <= _MAX_CELLS
            begin += count


def test_lines_are_those_of_split_wherever_the_text_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(6)
    for size in (1, 2, 5, 100):
        monkeypatch.setattr("ner_lab.data.readers.conll._AT_ONCE", size)
        for _ in range(100):
            text = "".join(drawn.choice(["a", "bc", "\n", "\r\n", "é"], size=drawn.integers(0, 30)))
            assert list(_lines(text)) == text.split("\n")


def test_a_word_and_a_tag_are_kept_once_however_often_a_text_says_them(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("Oslo B-LOC\nlies O\n\n" * 3)
    sentences = read_split("train", path, ColumnFormat()).sentences
    assert len({id(sentence.words[0]) for sentence in sentences}) == 1
    assert len({id(sentence.tags[0]) for sentence in sentences}) == 1


def test_what_is_prepared_grows_by_a_long_words_own_letters(small: list[str], corpora: dict[str, Path]) -> None:
    def size(corpus: Path) -> int:
        cfg = compose_config(settings(small, corpus))
        prepared = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg))
        table = prepared.splits["train"].table
        return sum(array.nbytes for array in (table.letters, table.lengths, table.words, table.singletons))

    assert size(corpora["word"]) - size(corpora["plain"]) < 2 * 8 * LETTERS


def test_a_sentence_can_be_left_out_and_a_word_cut(
    small: list[str], corpora: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = ["data.max_word_length=50", "data.max_sentence_length=200", "decoder=softmax"]
    both = corpora["both"]
    with Largest() as watched:
        train(compose_config(settings(small, both, *limits)), tmp_path / "run")
    assert "sentences longer than 200 words are not trained on: 1." in caplog.text
    assert watched.bytes < 3000 * 100
