"""Corpora: where their files are found, what is held out, and that they are what was published."""

import gzip
import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate

from ner_lab.config.compose import compose_config
from ner_lab.data.corpora import locate, read_corpus, read_one
from ner_lab.data.options import DataOptions
from ner_lab.data.sentence import DOCSTART, Counts, Sentence, Split
from ner_lab.errors import UserError
from ner_lab.io.download import Download, Progress

LOCAL = {"train": ["train.txt", "eng.train"], "dev": ["dev.txt"], "test": ["test.txt"]}


def options(**given: Any) -> DataOptions:
    return DataOptions(**{"name": "news", **given})


def write(path: Path, text: str = "York B-LOC\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def column_text(sentences: int, per_document: int | None = None) -> str:
    """Sentences of one distinct word, in documents of `per_document` of them."""
    lines = []
    for number in range(sentences):
        if per_document and number % per_document == 0:
            lines.append(f"{DOCSTART} O\n")
        lines.append(f"w{number} O\n")
    return "\n".join(lines)


def words(split: Split) -> list[str]:
    return [word for sentence in split.sentences for word in sentence.words]


def no_network(*arguments: object) -> Path:
    raise AssertionError("a file was fetched")


# where files are found


def test_a_folder_holds_the_splits_under_any_of_their_names(tmp_path: Path) -> None:
    files = {
        split: write(tmp_path / name)
        for split, name in [("train", "eng.train"), ("dev", "dev.txt"), ("test", "test.txt")]
    }
    assert locate(options(dir=str(tmp_path), local=LOCAL)) == files


def test_the_first_of_a_splits_names_goes_first(tmp_path: Path) -> None:
    for name in ("eng.train", "train.txt", "dev.txt", "test.txt"):
        write(tmp_path / name)
    assert locate(options(dir=str(tmp_path), local=LOCAL))["train"] == tmp_path / "train.txt"


def test_a_folder_under_the_users_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "news" / "train.txt")
    write(tmp_path / "mine.txt")
    assert locate(options(dir="~/news", local={"train": ["train.txt"]}, dev="~/mine.txt")) == {
        "train": tmp_path / "news" / "train.txt",
        "dev": tmp_path / "mine.txt",
    }


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_stated_file_goes_before_the_folder_and_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    monkeypatch.setattr("ner_lab.data.corpora.fetch", no_network)
    for names in LOCAL.values():
        write(tmp_path / names[0])
    mine = write(tmp_path / "mine.txt")
    places = locate(options(dir=str(tmp_path), local=LOCAL, downloads=DOWNLOADS, **{split: str(mine)}))
    assert places == {name: tmp_path / names[0] for name, names in LOCAL.items()} | {split: mine}


def test_files_alone_make_a_corpus(tmp_path: Path) -> None:
    places = locate(options(train=str(write(tmp_path / "a.txt")), test=str(write(tmp_path / "b.txt"))))
    assert list(places) == ["train", "test"]


def test_a_corpus_without_a_train_file_says_how_to_give_one() -> None:
    with pytest.raises(UserError, match=r"data=news needs data\.train=FILE \(and data\.dev=FILE data\.test=FILE\)"):
        locate(options())


def test_scoring_does_without_a_train_file(tmp_path: Path) -> None:
    test = write(tmp_path / "test.txt")
    places = locate(options(test=str(test)), needs_train=False)
    assert places == {"test": test}
    assert list(read_corpus(options(), places)) == ["test"]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_stated_file_that_is_missing_or_a_folder_is_refused_by_its_key(tmp_path: Path, split: str) -> None:
    for path, what in ((tmp_path / "none.txt", "there is no such file"), (tmp_path, "is a folder")):
        with pytest.raises(UserError) as refusal:
            locate(options(**{split: str(path)}))
        assert str(refusal.value) == f"data.{split}={path}: {what}. Give the path of a column file."


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"data\.dir={tmp_path}/none: no such folder. Give the folder of the"):
        locate(options(dir=f"{tmp_path}/none", local=LOCAL))


def test_a_folder_that_lacks_a_split_says_what_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ner_lab.data.corpora.fetch", no_network)
    write(tmp_path / "train.iob")
    with pytest.raises(UserError) as refusal:
        locate(options(dir=str(tmp_path), local=LOCAL, downloads=DOWNLOADS))
    assert str(refusal.value) == (
        f"data.dir={tmp_path}: no train split in this folder, looked for train.txt or eng.train. "
        "Rename the file, or give its path as data.train=FILE."
    )


# fetched corpora


DOWNLOADS = [
    {
        "url": "https://example.org/news.zip?raw=1",
        "checksum": "sha256:1",
        "splits": {"train": "eng.train", "test": "t.txt"},
    },
    {"url": "https://example.org/dev.txt.gz", "checksum": "md5:2", "splits": {"dev": "dev.txt"}},
]
CONTENTS = {"train": "Hull B-LOC\n", "dev": "York B-LOC\n", "test": "Leeds B-LOC\n"}


class Publisher:
    """Stands in for `fetch`, and notes what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Download, str, Progress | None]] = []

    def __call__(self, download: Download, folder: Path, hint: str, progress: Progress | None) -> Path:
        self.asked.append((download, hint, progress))
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / download.file_name
        if target.suffix == ".zip":
            with zipfile.ZipFile(target, "w") as archive:
                archive.writestr("news/eng.train", CONTENTS["train"])
                archive.writestr("news/t.txt", CONTENTS["test"])
        elif target.suffix == ".gz":
            target.write_bytes(gzip.compress(CONTENTS["dev"].encode()))
        else:
            target.write_text(CONTENTS["train"])
        return target


def test_public_files_are_fetched_and_unpacked_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = Publisher()
    monkeypatch.setattr("ner_lab.data.corpora.fetch", publisher)

    def progress(done: int, total: int) -> None: ...

    places = locate(options(downloads=DOWNLOADS, cache_dir=str(tmp_path)), progress)
    assert {split: path.read_text() for split, path in places.items()} == CONTENTS
    assert {path.parent for path in places.values()} == {tmp_path / "corpora" / "news"}
    assert {download for download, _, _ in publisher.asked} == {
        Download("https://example.org/news.zip?raw=1", "sha256:1"),
        Download("https://example.org/dev.txt.gz", "md5:2"),
    }
    hints = {"Without the network, give data.dir=FOLDER with the files of news in it."}
    assert {hint for _, hint, _ in publisher.asked} == hints
    assert all(given is progress for _, _, given in publisher.asked)


def test_a_public_file_that_is_no_archive_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ner_lab.data.corpora.fetch", Publisher())
    plain = [{"url": "https://example.org/esp.train", "splits": {"train": "esp.train"}}]
    places = locate(options(downloads=plain, cache_dir=str(tmp_path)))
    assert places == {"train": tmp_path / "corpora" / "news" / "esp.train"}


def test_only_what_no_file_was_given_for_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = Publisher()
    monkeypatch.setattr("ner_lab.data.corpora.fetch", publisher)
    mine = str(write(tmp_path / "mine.txt"))
    places = locate(options(downloads=DOWNLOADS, cache_dir=str(tmp_path), train=mine, test=mine))
    assert [download.file_name for download, _, _ in publisher.asked] == ["dev.txt.gz"]
    assert places["train"] == places["test"] == Path(mine)


# what is held out


def held_out(tmp_path: Path, text: str, **given: Any) -> tuple[Split, Split]:
    splits = read_corpus(options(**given), {"train": write(tmp_path / "train.txt", text)})
    assert list(splits) == ["train", "dev"]
    return splits["train"], splits["dev"]


@pytest.mark.parametrize("per_document", [None, 5], ids=["no documents", "30 documents"])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_a_share_of_train_becomes_dev_and_nothing_is_in_both_or_lost(
    tmp_path: Path, per_document: int | None, share: float
) -> None:
    train, dev = held_out(tmp_path, column_text(150, per_document), dev_share=share)
    everything = [f"w{number}" for number in range(150)]
    assert sorted(words(train) + words(dev)) == sorted(everything)
    assert [word for word in everything if word in words(train)] == words(train)  # in the file's order
    assert [word for word in everything if word in words(dev)] == words(dev)
    units = 150 if per_document is None else 30
    assert len(dev.sentences) == round(share * units) * (per_document or 1)


def test_documents_are_held_out_whole_where_there_are_enough(tmp_path: Path) -> None:
    train, dev = held_out(tmp_path, column_text(200, 10), dev_share=0.2)
    assert not {s.document for s in train.sentences} & {s.document for s in dev.sentences}
    assert Counter(s.document for s in dev.sentences).most_common(5)[-1][1] == 10
    assert len(dev.sentences) == 40


def test_sentences_are_held_out_where_there_are_few_documents(tmp_path: Path) -> None:
    train, dev = held_out(tmp_path, column_text(190, 10), dev_share=0.2)  # 19 documents
    assert len(dev.sentences) == 38
    assert {s.document for s in train.sentences} & {s.document for s in dev.sentences}


@pytest.mark.parametrize("per_document", [None, 5])
def test_what_is_held_out_hangs_on_its_own_seed_alone(tmp_path: Path, per_document: int | None) -> None:
    text = column_text(150, per_document)
    choices = {seed: words(held_out(tmp_path, text, dev_seed=seed)[1]) for seed in range(1, 5)}
    assert all(words(held_out(tmp_path, text, dev_seed=seed)[1]) == choice for seed, choice in choices.items())
    assert len({tuple(choice) for choice in choices.values()}) == 4


def test_the_held_out_split_is_named_by_how_it_came_about(tmp_path: Path) -> None:
    train, dev = held_out(tmp_path, column_text(20), dev_share=0.25, dev_seed=7)
    assert train.path == str(tmp_path / "train.txt")
    assert dev.path == f"{train.path} (held out: 0.25, seed 7)"
    assert (train.name, dev.name) == ("train", "dev")
    assert train.scheme == dev.scheme


def test_a_small_share_is_at_least_one_sentence(tmp_path: Path) -> None:
    train, dev = held_out(tmp_path, column_text(2), dev_share=0.01)
    assert len(train.sentences) == len(dev.sentences) == 1


@pytest.mark.parametrize(("sentences", "share"), [(1, 0.1), (2, 0.9)])
def test_a_train_split_too_small_to_share_says_so(tmp_path: Path, sentences: int, share: float) -> None:
    with pytest.raises(UserError, match=r"train\.txt: too few sentences to hold out a dev split .*Give data\.dev=FILE"):
        held_out(tmp_path, column_text(sentences), dev_share=share)


def test_a_corpus_with_a_dev_split_keeps_its_train_split_whole(tmp_path: Path) -> None:
    places = {name: write(tmp_path / name, column_text(30)) for name in ("train", "dev", "test")}
    splits = read_corpus(options(), places)
    assert {name: len(split.sentences) for name, split in splits.items()} == {"train": 30, "dev": 30, "test": 30}


# other names for types


def test_types_are_mapped_behind_the_published_counts_and_names_that_occur_nowhere_are_remarked_on(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "train.txt", "York B-LOCATION\nwon O\n\nTom B-PERSON\nAshby I-PERSON\n")
    names = {"PERSON": "PER", "LOCATION": "O", "PERSN": "PER"}
    given = options(map_types=names, counts={"train": {"PERSON": 1, "LOCATION": 1}})
    train = read_corpus(given, {"train": path, "dev": path})["train"]
    assert [sentence.tags for sentence in train.sentences] == [["O", "O"], ["B-PER", "I-PER"]]
    assert train.remarks == [
        "data.map_types: no entity of the type PERSN in train, dev. There are LOCATION, PERSON.",
    ]
    assert given.what_encoding_depends_on()["map_types"] == names


# published counts


def test_files_with_the_published_counts_are_read(tmp_path: Path) -> None:
    text = f"{DOCSTART} O\n\nYork B-LOC\nwon O\n\nTom B-PER\nAshby I-PER\n"
    counts = {"train": {"documents": 1, "sentences": 2, "tokens": 4, "LOC": 1, "PER": 1, "ORG": 0}}
    path = write(tmp_path / "train.txt", text)
    assert list(read_corpus(options(counts=counts), {"train": path, "dev": path})) == ["train", "dev"]


@pytest.mark.parametrize(
    ("what", "published", "found"),
    [("documents", 2, 0), ("sentences", 1500, 2), ("tokens", 4, 3), ("LOC", 3, 1), ("ORG", 1, 0), ("PER", 0, 1)],
)
def test_a_count_unlike_the_published_one_is_refused_with_both(
    tmp_path: Path, what: str, published: int, found: int
) -> None:
    path = write(tmp_path / "train.txt", "York B-LOC\nwon O\n\nTom B-PER\n")
    given = options(counts={"train": {"sentences": 2, what: published}})
    with pytest.raises(UserError) as refusal:
        read_corpus(given, {"train": path, "dev": path})
    assert str(refusal.value) == (
        f"{path}: this is not the published train split of news: {what} {found} (published: {published:,}). "
        "Use the original files, or data.verify=false to use these."
    )


def test_all_counts_that_differ_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "test.txt")
    with pytest.raises(
        UserError, match=r"published test split of news: tokens 1 \(.*: 2\), PER 0 \(published: 9\)\. Use"
    ):
        read_corpus(options(counts={"test": {"sentences": 1, "tokens": 2, "PER": 9}}), {"test": path})


def test_counts_are_taken_before_a_dev_split_is_held_out(tmp_path: Path) -> None:
    given = options(counts={"train": {"sentences": 30}, "dev": {"sentences": 1}})
    splits = read_corpus(given, {"train": write(tmp_path / "train.txt", column_text(30))})
    assert len(splits["train"].sentences) == 27


def test_unpublished_counts_can_be_gone_on_with(tmp_path: Path) -> None:
    given = options(counts={"train": {"sentences": 99}}, verify=False)
    assert len(read_corpus(given, {"train": write(tmp_path / "a.txt", column_text(30))})["dev"].sentences) == 3


# reading


def test_each_split_is_read_as_the_options_say(tmp_path: Path) -> None:
    columns = write(tmp_path / "a.txt", "1\tNew York\tI-LOC\n")
    given = options(columns={"word": 1, "tag": 2, "id": 0}, separator="tab", file_scheme="IOB1")
    split = read_one(given, "test", columns)
    assert split.sentences == [Sentence(["New York"], ["I-LOC"], {"id": ["1"]}, -1, 1)]
    assert (split.name, split.scheme) == ("test", "IOB1")
    markup = write(tmp_path / "b.txt", "# a | report\n[LOC New York].\n")
    assert read_one(options(format="markup"), "dev", markup).sentences[0].tags == ["B-LOC", "I-LOC", "O"]


# the real corpora


REAL = os.environ.get("NER_LAB_DATA")
FOLDERS = {"conll2003": "conll2003", "conll2002_es": "conll2002", "conll2002_nl": "conll2002", "conll2000": "conll2000"}
ENTITIES = {
    "conll2003": {"train": 23_499, "dev": 5_942, "test": 5_648},
    "conll2002_es": {"train": 18_798, "dev": 4_352, "test": 3_559},
    "conll2002_nl": {"train": 13_344, "dev": 2_616, "test": 3_941},
    "conll2000": {"train": 106_978, "test": 23_852},
}
SCHEMES = {"conll2003": "IOB1", "conll2002_es": "IOB2", "conll2002_nl": "IOB2", "conll2000": "IOB2"}


@pytest.mark.realdata
@pytest.mark.skipif(not REAL, reason="NER_LAB_DATA is not set")
@pytest.mark.parametrize("corpus", FOLDERS)
def test_a_real_corpus_has_its_published_counts_and_is_recognised_in_its_scheme(corpus: str) -> None:
    overrides = [f"data={corpus}", f"data.dir={Path(str(REAL)) / FOLDERS[corpus]}"]
    found: DataOptions = instantiate(compose_config(overrides).data)
    places = locate(found)
    assert places.keys() == found.counts.keys() == ENTITIES[corpus].keys()
    for name, path in places.items():
        split = read_one(found, name, path)
        assert split.scheme == SCHEMES[corpus]
        counts = Counts.of(split.sentences)
        sizes = {"documents": counts.documents, "sentences": counts.sentences, "tokens": counts.tokens}
        assert found.counts[name].items() <= (sizes | counts.per_type).items()
        assert counts.entities == ENTITIES[corpus][name]
        lines = path.read_text(encoding="utf-8").splitlines()
        marks = sum(line.startswith(DOCSTART) for line in lines)
        assert counts.documents == marks
        assert counts.tokens == sum(bool(line.strip()) for line in lines) - marks
