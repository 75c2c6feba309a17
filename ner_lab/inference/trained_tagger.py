"""Use a trained tagger on new text: `ner_lab.load(RUN)`."""

import logging
import reprlib
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from ner_lab.config.instantiate import data_options_of
from ner_lab.data.tags import spans_of
from ner_lab.data.tokenization import sentences_in
from ner_lab.data.vocab import Vocabs
from ner_lab.errors import UserError, user_error_behind
from ner_lab.inference.batch_tagger import BatchTagger
from ner_lab.models.build import build_tagger, feature_set_of
from ner_lab.models.tagger import Tagger
from ner_lab.runs.folder import RunFolder

log = logging.getLogger(__name__)


class Entity(NamedTuple):
    """An entity in a text: `text[start:end]`, in characters."""

    type: str
    start: int
    end: int
    text: str


class TrainedTagger:
    """A tagger with its vocabularies, ready to tag new text."""

    def __init__(self, tagger: Tagger, vocabs: Vocabs, config: DictConfig) -> None:
        self.tagger = tagger
        self.vocabs = vocabs
        self.config = config
        self.options = data_options_of(config)
        self.features = feature_set_of(config)
        self.features.remember(vocabs.features.learnt)
        self.labeller = BatchTagger(tagger, vocabs, self.options, self.features)
        unread = [name for name in self.features.reads if name in self.options.columns]
        self._unsaid = [unread] if unread else []

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Tags in IOB2 for sentences of words; a sentence without words gets an empty list.

        UserError if a sentence is not a list of words, or a word is empty or not a string.
        """
        _check_sentences(sentences)
        if any(map(len, sentences)):
            self.warn_of_columns()
        return self.labeller.tags(sentences)

    def entities(self, text: str) -> list[Entity]:
        """The entities of a text with their positions; UserError if it is not a string."""
        if not isinstance(text, str):
            raise UserError(f"{reprlib.repr(text)} is no text: entities takes one string; for words use .predict.")
        sentences = list(sentences_in(text))
        tags = self.predict([[token.text for token in sentence] for sentence in sentences])
        return [
            Entity(span.type, begin, end, text[begin:end])
            for sentence, found in zip(sentences, tags, strict=True)
            for span in spans_of(found)
            for begin, end in [(sentence[span.start].start, sentence[span.end - 1].end)]
        ]

    def warn_of_columns(self) -> None:
        """Warn once about the columns that words alone lack."""
        try:
            unread = self._unsaid.pop()  # only one thread gets it
        except IndexError:
            return
        log.warning(
            "words alone lack columns that this tagger was trained with (%s): expect lower scores",
            ", ".join(unread),
        )


def _check_sentences(sentences: Sequence[Sequence[str]]) -> None:
    expected = "predict takes a list of sentences, each a list of words; for text use .entities(text)."
    if not _is_list(sentences):
        raise UserError(f"{reprlib.repr(sentences)} is no list of sentences: {expected}")
    for number, sentence in enumerate(sentences):
        if not _is_list(sentence):
            raise UserError(f"sentence {number} is {reprlib.repr(sentence)}, no list of words: {expected}")
        for place, word in enumerate(sentence):
            if not isinstance(word, str) or not word:
                raise UserError(f"sentence {number}, word {place} is {reprlib.repr(word)}, no word: {expected}")


def _is_list(value: object) -> bool:
    """Whether a value is an ordered collection: lists, tuples and arrays, but not texts, records and sets."""
    return isinstance(value, list | tuple) or (
        hasattr(value, "__len__") and hasattr(value, "__iter__") and not isinstance(value, str | bytes | Mapping | Set)
    )


def load(run: str | Path, *, trust: Sequence[str] = ()) -> TrainedTagger:
    """Load the tagger of a run folder; raises UserError if it is not a run, or is damaged.

    The folder may be untrusted; none of its code is run. Its checkpoint is read as plain tensors and verified against
    its checksum, and its config can build only classes of ner_lab. There is no guarantee that it is small, or a good
    tagger; and if a run of an older version has lexicons, their files are read from the config's paths.
    trust: your own packages whose classes it may name as well (in addition to those of the environment variable
    NER_LAB_TRUST).
    """
    folder = RunFolder(run)
    config = folder.read_config(trusted=trust)
    weights, plain = folder.read_weights()
    try:
        vocabs = Vocabs.from_plain(plain)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{folder.checkpoint}: its vocabularies are not those of a tagger ({error!r}).") from None
    try:
        trained = TrainedTagger(build_tagger(config, vocabs), vocabs, config)
    except Exception as error:  # no value of such a config can be relied on, nor may sizes match
        message = user_error_behind(error) or f"{type(error).__name__}: {_line(error)}"
        raise UserError(f"{folder.config}: no tagger can be built from it: {message}") from error
    try:
        trained.tagger.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(f"{folder.checkpoint}: it does not belong to {folder.config} ({_line(error)}).") from None
    for name, weight in trained.tagger.state_dict().items():
        if weight.is_floating_point() and bool(weight.isnan().any()):
            raise UserError(f"{folder.checkpoint}: the weights of {name} are no numbers (NaN).")
    trained.tagger.eval()
    return trained


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
