"""Word embeddings: tables that are filled, trained or left alone, and the kinds of files after them."""

import hashlib
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sample import senna_archive

from ner_lab.errors import UserError
from ner_lab.io.download import Download
from ner_lab.models.word_embedding.base import PretrainedEmbedding, WordTable
from ner_lab.models.word_embedding.glove import Glove
from ner_lab.models.word_embedding.pretrained import SkipNGram, VectorFile, Word2Vec
from ner_lab.models.word_embedding.senna import Senna

NAN = [math.nan] * 3
GIVEN = np.array([NAN, NAN, [1, 2, 3], NAN, [4, 5, 6], [7, 8, 9]], dtype=np.float32)
"""Padding, unknown, a word in the file, a word that is not, and two that only the file knows."""


def options(path: object = None, **further: Any) -> dict[str, Any]:
    common = {"trainable": True, "lookup": ["exact", "lower"], "min_coverage": 0.3}
    return common | {"path": None if path is None else str(path)} | further


def glove(path: object = None, dim: int = 3, **further: Any) -> Glove:
    return Glove(dim=dim, url="https://example.org/glove.6B.zip", checksum="md5:0", **options(path, **further))


def senna(path: object = None, words: object = None, **further: Any) -> Senna:
    words = None if words is None else str(words)
    return Senna(words=words, url="https://example.org/senna-v3.0.tgz", **options(path, **further))


def filled_table(trainable: bool = True) -> WordTable:
    torch.manual_seed(0)
    table = WordTable(4, 2, 3, trainable=trainable)
    table.fill(GIVEN)
    return table


# the table


def test_fill_puts_in_what_the_file_has_and_leaves_the_rest_as_it_was() -> None:
    table = filled_table()
    torch.manual_seed(0)
    before = WordTable(4, 2, 3).table
    assert table.table[2].tolist() == [1, 2, 3]
    for row in (0, 1, 3):
        assert torch.equal(table.table[row], before[row])
    assert table.known.tolist() == [[4, 5, 6], [7, 8, 9]]


def test_look_up_gives_each_number_its_row() -> None:
    table = filled_table()
    vectors = table(torch.tensor([[2, 4, 1], [5, 0, 3]]))
    assert vectors[0, 0].tolist() == [1, 2, 3]
    assert vectors[0, 1].tolist() == [4, 5, 6]
    assert vectors[1, 0].tolist() == [7, 8, 9]
    assert torch.equal(vectors[0, 2], table.table[1])
    assert torch.equal(vectors[1, 2], table.table[3])
    assert vectors.shape == (2, 3, table.output_dim)


def test_padding_is_zero_at_first_and_after_training() -> None:
    table = filled_table()
    optimizer = torch.optim.SGD(table.parameters(), lr=1.0)
    table(torch.tensor([[0, 1, 2]])).sum().backward()
    optimizer.step()
    assert not table(torch.tensor([[0]])).any()


def test_training_changes_the_rows_of_train_and_of_unknown_words_only() -> None:
    table = filled_table()
    before = table.table.detach().clone()
    optimizer = torch.optim.SGD(table.parameters(), lr=0.5)
    table(torch.tensor([[1, 2, 4], [5, 2, 0]])).sum().backward()
    optimizer.step()
    moved = table.table.detach() - before
    torch.testing.assert_close(moved, torch.tensor([[0.0] * 3, [-0.5] * 3, [-1.0] * 3, [0.0] * 3]))
    assert table.known.tolist() == [[4, 5, 6], [7, 8, 9]]


# kinds


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("kind", [VectorFile, Word2Vec, SkipNGram, glove, senna])
def test_trainable_decides_whether_vectors_are_trained(
    kind: Callable[..., PretrainedEmbedding], trainable: bool
) -> None:
    given = {"trainable": trainable} if kind in (glove, senna) else options(trainable=trainable)
    layer = kind(**given).layer(num_words=4, num_known=2, vector_dim=3)
    layer.fill(GIVEN)
    assert layer.output_dim == 3
    assert layer.table.requires_grad is trainable
    assert layer(torch.tensor([[4]])).tolist() == [[[4, 5, 6]]]


@pytest.mark.parametrize("kind", [VectorFile, Word2Vec, SkipNGram])
def test_files_without_a_public_address_must_be_given_and_exist(
    tmp_path: Path, kind: Callable[..., PretrainedEmbedding]
) -> None:
    with pytest.raises(UserError, match=r"no public address.*Set word_embedding\.path=FILE"):
        kind(**options()).file(tmp_path, None)
    with pytest.raises(UserError, match=r"absent\.txt: there is no such file"):
        kind(**options(tmp_path / "absent.txt")).file(tmp_path, None)
    with pytest.raises(UserError, match="is a folder"):
        kind(**options(tmp_path)).file(tmp_path, None)


@pytest.mark.parametrize("kind", [VectorFile, Word2Vec, SkipNGram, glove])
def test_text_files_are_read_by_every_kind(tmp_path: Path, kind: Callable[..., PretrainedEmbedding]) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("2 3\na 1 2 3\nb 4 5 6\n")
    embedding = glove(path) if kind is glove else kind(**options(path))
    words, matrix = embedding.rows(embedding.file(tmp_path, None), {"b"})
    assert words == ["b"]
    assert matrix.tolist() == [[4, 5, 6]]


# GloVe


def test_glove_takes_the_member_of_its_dimension_out_of_the_published_zip(tmp_path: Path) -> None:
    (tmp_path / "vectors").mkdir()
    with zipfile.ZipFile(tmp_path / "vectors" / "glove.6B.zip", "w") as archive:
        for dim in (2, 3):
            archive.writestr(f"glove.6B.{dim}d.txt", "a" + " 1.5" * dim + "\n")
    embedding = glove()  # nothing is fetched: the zip is in the cache
    checksum = hashlib.md5((tmp_path / "vectors" / "glove.6B.zip").read_bytes()).hexdigest()
    embedding.download = Download(embedding.download.url, f"md5:{checksum}")
    words, matrix = embedding.rows(embedding.file(tmp_path, None), None)
    assert words == ["a"]
    assert matrix.tolist() == [[1.5, 1.5, 1.5]]


def test_glove_of_another_dimension_is_refused_with_what_to_set(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("a 1 2 3 4\n")
    with pytest.raises(UserError, match=r"vectors have 4 dimensions, but word_embedding\.dim is 3.*dim=4"):
        glove(path).rows(path, None)


# SENNA


def senna_files(folder: Path, words: str = "!\nthe\ncaf\xe9\n0.00\n", rows: str = "1 2\n3 4\n5 6\n7 8\n") -> Path:
    for name, content in (("hash/words.lst", words), ("embeddings/embeddings.txt", rows)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode("latin-1"))
    return folder / "embeddings" / "embeddings.txt"


def test_senna_pairs_the_lines_of_its_two_files(tmp_path: Path) -> None:
    path = senna_files(tmp_path)
    words, matrix = senna(path).rows(path, None)
    assert words == ["!", "the", "café", "0.00"]
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    words, matrix = senna(path).rows(path, {"café", "!", "absent"})
    assert words == ["!", "café"]
    assert matrix.tolist() == [[1, 2], [5, 6]]


def test_sennas_word_list_is_given_or_beside_the_vectors(tmp_path: Path) -> None:
    path = senna_files(tmp_path)
    elsewhere = tmp_path / "mine.lst"
    elsewhere.write_text("w\nx\ny\nz\n")
    assert senna(path, elsewhere).rows(path, None)[0] == ["w", "x", "y", "z"]
    (tmp_path / "hash" / "words.lst").rename(path.parent / "words.lst")
    assert senna(path).rows(path, {"the"})[0] == ["the"]
    (path.parent / "words.lst").unlink()
    with pytest.raises(UserError, match=r"there is no .*hash/words\.lst and no .*Set word_embedding\.words="):
        senna(path).rows(path, None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1 2\n3 4\n5 6\n", r"4 words, but .* has 3 vectors; they must match"),
        ("1 2\n3 4\n5\n7 8\n", r"embeddings\.txt:3: 1 numbers, but line 1 has 2"),
        ("1 2\n3 4\n5 six\n7 8\n", r"embeddings\.txt:3: could not convert string to float: .*six"),
        ("1 2\n3 4\n5 \xe9\n7 8\n", r"embeddings\.txt:3: could not convert string to float"),
    ],
)
def test_senna_files_that_do_not_fit_are_refused(tmp_path: Path, rows: str, message: str) -> None:
    path = senna_files(tmp_path, rows=rows)
    with pytest.raises(UserError, match=message):
        senna(path).rows(path, None)


MEMBERS = {"senna/embeddings/embeddings.txt": b"1 2\n3 4\n", "senna/hash/words.lst": b"a\nb\n", "senna/x.c": b"int"}


def test_senna_takes_two_files_out_of_the_published_archive_once(tmp_path: Path) -> None:
    archive = senna_archive(tmp_path, MEMBERS)  # nothing is fetched: the archive is in the cache
    path = senna().file(tmp_path, None)
    words, matrix = senna().rows(path, None)
    assert words == ["a", "b"]
    assert matrix.tolist() == [[1, 2], [3, 4]]
    left = {str(file.relative_to(tmp_path / "vectors" / "senna")) for file in path.parent.parent.rglob("*.*")}
    assert left == {"embeddings/embeddings.txt", "hash/words.lst"}
    archive.write_bytes(b"never read again")
    assert senna().file(tmp_path, None) == path


# what a cache entry depends on


def test_fingerprints_change_with_whatever_changes_the_rows(tmp_path: Path) -> None:
    path = senna_files(tmp_path)
    prints = [
        VectorFile(**options()).fingerprint(),
        Word2Vec(**options()).fingerprint(),
        Word2Vec(**options(lookup=["exact"])).fingerprint(),
        glove().fingerprint(),
        glove(dim=5).fingerprint(),
        senna().fingerprint(),
        senna(path).fingerprint(),
    ]
    (tmp_path / "hash" / "words.lst").write_text("other\nwords\nin\nit\n")
    prints.append(senna(path).fingerprint())
    assert all(one != other for place, one in enumerate(prints) for other in prints[:place])


def test_fingerprints_do_not_change_with_training_options() -> None:
    assert glove(trainable=True).fingerprint() == glove(trainable=False, min_coverage=0.9).fingerprint()
