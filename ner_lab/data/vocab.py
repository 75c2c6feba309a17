"""Numbers for words, characters, tags and features.

Every vocabulary is a plain list of strings with a dictionary, so it is stored in a checkpoint as JSON-like data. Number
0 is padding and 1 the unknown item, except for tags.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ner_lab.data.tags import OUTSIDE, SCHEMES, split_tag, tags_of
from ner_lab.data.tags import Span as _Span
from ner_lab.errors import UserError, invalid_value

PAD, UNK = 0, 1
_PADDING, _UNKNOWN = "<pad>", "<unk>"
_DIGIT, _DIGITS = re.compile(r"[0-9]"), re.compile(r"[0-9]+")

LOOKUP_STEPS: dict[str, Callable[[str], str]] = {
    "exact": lambda word: word,
    "lower": str.lower,
    "lower_zero_digits": lambda word: _DIGIT.sub("0", word.lower()),
    "lower_zero_runs": lambda word: _DIGITS.sub("0", word.lower()),
}
"""Forms under which a word is looked up in a vector file."""


def normalise_digits(word: str, digits: str) -> str:
    """`keep` digits, write each as 0 (`zero`), or each run of them as one 0 (`zero_run`)."""
    if digits == "keep":
        return word
    if digits == "zero":
        return _DIGIT.sub("0", word)
    if digits == "zero_run":
        return _DIGITS.sub("0", word)
    raise invalid_value("data.digits", digits, "one of keep, zero, zero_run")


@dataclass
class Vocab:
    """Strings and their numbers; any other string is UNK."""

    items: list[str]
    ids: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.ids = {item: number for number, item in enumerate(self.items)}

    @classmethod
    def of(cls, items: Iterable[str]) -> Self:
        return cls([_PADDING, _UNKNOWN, *items])

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, item: str) -> int:
        return self.ids.get(item, UNK)


@dataclass
class WordVocab(Vocab):
    """Words with their own vectors (`items`), and words that only the vector file has (`known`).

    `items` are padding, unknown and the words of train; training updates their vectors. `known` are forms as the file
    has them, numbered after `items`; their vectors stay fixed, since no gradient reaches a word that is not in train.
    """

    known: list[str] = field(default_factory=list)
    lowercase: bool = False
    lookup: tuple[str, ...] = ()
    """Names from `LOOKUP_STEPS`: the forms under which a word is looked up in `known`."""
    known_ids: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # a text may contain the word "<pad>"
        self.ids = {word: number for number, word in enumerate(self.items) if number > UNK}
        self.known_ids = {word: len(self.items) + number for number, word in enumerate(self.known)}

    def key(self, word: str) -> str:
        return word.lower() if self.lowercase else word

    def find(self, word: str) -> int:
        """The number of `word`: its own, or that of its form in the file, or UNK."""
        key = self.key(word)
        if (own := self.ids.get(key)) is not None:
            return own
        for step in self.lookup:
            if (number := self.known_ids.get(LOOKUP_STEPS[step](key))) is not None:
                return number
        return UNK


@dataclass
class TagVocab:
    """Tags of the training scheme; `O` is number 0."""

    items: list[str]
    scheme: str
    ids: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.ids = {item: number for number, item in enumerate(self.items)}

    @classmethod
    def of(cls, entity_types: Iterable[str], scheme: str) -> "TagVocab":
        """All tags that `scheme` has for these types."""
        if scheme not in SCHEMES:
            raise UserError(f"'{scheme}' is not a tag scheme; use one of {', '.join(SCHEMES)}.")
        items = [OUTSIDE]
        for entity_type in sorted(set(entity_types)):
            pair = [_Span(entity_type, 0, 3), _Span(entity_type, 3, 4)]
            letters = sorted(set(tags_of(pair, 4, scheme)), key=lambda tag: "BIESLU".index(tag[0]))
            items.extend(letters)
        return cls(items, scheme)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def entity_types(self) -> list[str]:
        return sorted({split_tag(tag)[1] for tag in self.items if tag != OUTSIDE})


@dataclass
class FeatureVocab:
    """Numbers for the values of dense feature columns and for sparse features."""

    columns: dict[str, Vocab] = field(default_factory=dict)
    sparse: Vocab = field(default_factory=lambda: Vocab([]))
    learnt: Any = None
    """What the feature set learnt from train before it read any sentence; plain data"""


@dataclass
class Vocabs:
    """All vocabularies of a tagger; `build_tagger` takes its sizes from them."""

    words: WordVocab
    chars: Vocab
    tags: TagVocab
    features: FeatureVocab
    vector_dim: int = 0
    """Dimensions of the word vector file; 0 if there is none."""
    word_classes: dict[str, str] = field(default_factory=dict)
    """Whether train and the vector file have each spelling of the corpus: for scores by class, not for the tagger.
    Empty without a file.
    """

    def to_plain(self) -> dict[str, Any]:
        """Only lists, dictionaries, strings and numbers: loads with `weights_only=True`."""
        return {
            "words": {
                "items": self.words.items,
                "known": self.words.known,
                "lowercase": self.words.lowercase,
                "lookup": list(self.words.lookup),
            },
            "chars": self.chars.items,
            "tags": {"items": self.tags.items, "scheme": self.tags.scheme},
            "features": {
                "columns": {name: vocab.items for name, vocab in self.features.columns.items()},
                "sparse": self.features.sparse.items,
                "learnt": self.features.learnt,
            },
            "vector_dim": self.vector_dim,
            "word_classes": self.word_classes,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Vocabs":
        words = plain["words"]
        columns = {name: Vocab(items) for name, items in plain["features"]["columns"].items()}
        return cls(
            words=WordVocab(words["items"], words["known"], words["lowercase"], tuple(words["lookup"])),
            chars=Vocab(plain["chars"]),
            tags=TagVocab(plain["tags"]["items"], plain["tags"]["scheme"]),
            features=FeatureVocab(columns, Vocab(plain["features"]["sparse"]), plain["features"]["learnt"]),
            vector_dim=plain["vector_dim"],
            word_classes=plain["word_classes"],
        )


def check_lookup(steps: Sequence[str]) -> tuple[str, ...]:
    """`steps` as a tuple, or an error that lists the valid ones."""
    for step in steps:
        if step not in LOOKUP_STEPS:
            raise UserError(f"'{step}' is not a look-up step; use one of {', '.join(LOOKUP_STEPS)}.")
    return tuple(steps)
