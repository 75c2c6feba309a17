"""All options of the `data` config group, in one flat record."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ner_lab.data.readers.conll import ColumnFormat
from ner_lab.data.tags import OUTSIDE, check_scheme
from ner_lab.errors import UserError, check_choice, invalid_value


def _check_train_on(value: object) -> list[str]:
    """`[train]` or `[train, dev]`, in either order."""
    expected = "[train], or [train,dev] as in Chiu & Nichols 2016"
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise invalid_value("data.train_on", value, expected)
    if "test" in value:
        raise invalid_value("data.train_on", value, expected, "With test in train, its scores would mean nothing.")
    if sorted(map(str, value)) not in (["train"], ["dev", "train"]):
        raise invalid_value("data.train_on", value, expected)
    return sorted(value, reverse=True)


def _check_map_types(value: object) -> None:
    expected = "{OLD: NEW}, names of entity types, such as {PERSON: PER}; {OLD: O} drops a type"
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise invalid_value("data.map_types", value, expected)
    for old, new in value.items():
        for name in (old, new):
            if not isinstance(name, str):  # YAML reads a bare NO as false
                hint = f"{name!r} is not text. Quote a name that YAML would read as something else."
                raise invalid_value("data.map_types", value, expected, hint)
            if not name.isprintable() or not name or " " in name:
                raise invalid_value("data.map_types", value, expected, f"{name!r} is empty or contains blanks.")
        if old == OUTSIDE:
            hint = f"{OUTSIDE} is not an entity type, so it cannot become {new}."
            raise invalid_value("data.map_types", value, expected, hint)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where a corpus is, how it is read, normalised and batched. See `conf/data/base.yaml`."""

    name: str
    # location
    dir: str | None = None
    train: str | None = None
    dev: str | None = None
    test: str | None = None
    local: dict[str, list[str]] = field(default_factory=dict)
    downloads: list[dict[str, Any]] = field(default_factory=list)
    licence: str = ""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    verify: bool = True
    cache_dir: str | None = None
    # reading
    format: str = "columns"
    columns: dict[str, int] = field(default_factory=lambda: {"word": 0, "tag": -1})
    separator: str = "auto"
    docstart: str = "drop"
    file_scheme: str = "auto"
    map_types: dict[str, str] | None = None
    dev_share: float = 0.1
    dev_seed: int = 1
    # what the tagger sees
    train_on: list[str] = field(default_factory=lambda: ["train"])
    scheme: str = "IOBES"
    digits: str = "keep"
    lowercase: bool = False
    min_count: int = 1
    singleton_unk: float = 0.0
    unknown_chars: str = "unk"
    max_sentence_length: int | None = None
    max_word_length: int | None = None
    vocabulary: str = "corpus"
    # batching
    batch_size: int = 10
    batch_tokens: int | None = None
    group_by_length: bool = True
    eval_batch_tokens: int = 2000

    def __post_init__(self) -> None:
        check_choice("data.format", self.format, ("columns", "markup"))
        check_choice("data.docstart", self.docstart, ("drop", "keep"))
        check_choice("data.digits", self.digits, ("keep", "zero", "zero_run"))
        check_choice("data.unknown_chars", self.unknown_chars, ("unk", "skip"))
        check_choice("data.vocabulary", self.vocabulary, ("train", "corpus", "file"))
        if not set(self.columns) >= {"word", "tag"} or not all(type(column) is int for column in self.columns.values()):
            raise invalid_value("data.columns", self.columns, "column numbers from 0, at least of word and tag")
        _check_map_types(self.map_types)
        for name in ("dir", "train", "dev", "test", "cache_dir"):
            if getattr(self, name) == "":  # an unset shell variable
                raise UserError(f"data.{name} is empty. Give data.{name}=PATH, or leave it out.")
        for name, kind, expected in (
            ("local", Sequence, "a list of names, [train.txt]"),
            ("counts", Mapping, "a mapping of names to counts"),
        ):
            for split, value in getattr(self, name).items():
                if not isinstance(value, kind) or isinstance(value, str):
                    raise invalid_value(f"data.{name}.{split}", value, expected)
        for name in ("batch_size", "min_count", "eval_batch_tokens"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise invalid_value(f"data.{name}", value, "a whole number of at least 1")
        for name in ("batch_tokens", "max_sentence_length", "max_word_length"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise invalid_value(f"data.{name}", value, "a whole number of at least 1, or null for no limit")
        if not 0 <= self.singleton_unk <= 1:
            raise invalid_value("data.singleton_unk", self.singleton_unk, "a probability, from 0 to 1")
        if not 0 < self.dev_share < 1:
            raise invalid_value("data.dev_share", self.dev_share, "a fraction of train, between 0 and 1")
        object.__setattr__(self, "train_on", _check_train_on(self.train_on))
        object.__setattr__(self, "scheme", check_scheme(self.scheme, "data.scheme"))
        if self.file_scheme != "auto":
            object.__setattr__(self, "file_scheme", check_scheme(self.file_scheme, "data.file_scheme"))

    @property
    def trains_on_dev(self) -> bool:
        """Whether dev is training data: it is still scored, but must not select anything."""
        return "dev" in self.train_on

    @property
    def column_format(self) -> ColumnFormat:
        others = {name: column for name, column in self.columns.items() if name not in ("word", "tag")}
        return ColumnFormat(
            word=self.columns["word"],
            tag=self.columns["tag"],
            others=others,
            separator=self.separator,
            docstart=self.docstart,
        )

    def what_encoding_depends_on(self) -> dict[str, Any]:
        """The options that change a prepared data set: all but paths, checksums and batches."""
        placing = {
            *("dir", "train", "dev", "test", "local", "downloads", "licence", "cache_dir"),
            *("batch_size", "batch_tokens", "group_by_length", "eval_batch_tokens", "singleton_unk"),
        }
        return {name: value for name, value in asdict(self).items() if name not in placing}
