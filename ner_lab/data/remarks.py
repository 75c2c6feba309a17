"""Doubtful properties of a readable corpus: one line for each kind, shown at every start."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ner_lab.data.options import DataOptions
from ner_lab.data.sentence import DOCSTART, Split
from ner_lab.data.tags import OPENED_BY_I, OUTSIDE, follows, spans_of, split_tag

LONG_MEAN = 100
"""Mean words per sentence above which sentence boundaries are probably missing."""
FEW_ENTITIES = 100
"""Entities in dev below which its F1 selects an epoch largely by chance."""
FEW_WORDS = 50_000
"""Words in train below which word vectors learnt from it alone are poor."""
_UNCHANGED_COLUMNS = ({"word": 0, "tag": -1}, {"word": 0, "pos": 1, "chunk": 2, "tag": 3})
"""`data.columns` of conf/data/base.yaml and conf/data/builtin.yaml."""
_NAMED = 20
_SHARED_FROM = 5  # words; shorter sentences recur in any text
_SHARED_SHARE = 0.01  # of a split's sentences of that length


@dataclass(frozen=True)
class ImproperGold:
    """Sentences of a split whose gold tags break its scheme, and FILE:LINE of the first break of each kind."""

    sentences: int
    first: dict[str, str]

    def in_words(self, split: Split) -> str:
        """One line that describes all of it."""
        strict = "" if split.scheme in OPENED_BY_I else "; strict scores do not repair them"
        kinds = ", ".join(f"{kind} ({place})" for kind, place in self.first.items())
        return (
            f"{split.name}: gold tags break {split.scheme} in {self.sentences:,} of {len(split.sentences):,} "
            f"sentences: {kinds}. They are read as conlleval reads them{strict}."
        )


def improper_gold(split: Split) -> ImproperGold | None:
    """The breaks of the scheme in a split; None if there are none."""
    sentences = 0
    first: dict[str, str] = {}
    for sentence in split.sentences:
        proper = True
        for place, (before, after) in enumerate(pairwise([OUTSIDE, *sentence.tags, OUTSIDE])):
            if kind := _break(before, after, split.scheme):
                first.setdefault(kind, split.place(sentence, min(place, len(sentence.tags) - 1)))
                proper = False
        sentences += not proper
    return ImproperGold(sentences, first) if sentences else None


@lru_cache(maxsize=1 << 16)
def _break(before: str, after: str, scheme: str) -> str:
    """How `after`, following `before`, breaks the scheme, in words; "" if it does not."""
    if follows(before, after, scheme):
        return ""
    (letter, entity_type), (next_letter, next_type) = split_tag(before), split_tag(after)
    if scheme in OPENED_BY_I:
        return "B- where I- opens an entity"
    if next_letter in "IEL":
        other = letter in "BI" and entity_type != next_type
        return f"{next_letter}- of another type after {letter}-" if other else f"{next_letter}- that opens an entity"
    return f"{letter}- that ends an entity"


def remarks_on(splits: Mapping[str, Split], options: DataOptions, *, from_scratch: bool = False) -> list[str]:
    """All remarks on a corpus as read, except `unseen_types`, which depends on the training data.

    from_scratch: whether word vectors are learnt from train alone.
    """
    remarks = [
        *_unused_columns(options),
        *(remark for split in splits.values() for remark in split.remarks),
        *(found.in_words(split) for split in splits.values() if (found := improper_gold(split))),
        *_types_by_case(splits),
        *_missing_borders(splits),
        *_shared_sentences(splits),
    ]
    entities = {name: sum(len(spans_of(s.tags)) for s in split.sentences) for name, split in splits.items()}
    if "dev" in splits and splits["dev"].held_out_of:
        remarks.append(
            f"dev: held out from train, {options.dev_share:g} of it ({len(splits['dev'].sentences):,} sentences, "
            f"data.dev_seed={options.dev_seed}). Give data.dev=FILE for a dev split of its own."
        )
    if 0 < entities.get("dev", 0) < FEW_ENTITIES and not options.trains_on_dev:
        remarks.append(
            f"dev: {entities['dev']} {'entity' if entities['dev'] == 1 else 'entities'}, below {FEW_ENTITIES}: "
            "dev F1 chooses the epoch largely by chance."
        )
    if from_scratch and "train" in splits and (words := _words(splits["train"])) < FEW_WORDS:
        remarks.append(
            f"train: {words:,} words, and word vectors are learnt from them alone. Pretrained ones "
            "(word_embedding=glove) nearly always help on small corpora."
        )
    return remarks


def _unused_columns(options: DataOptions) -> list[str]:
    """A line if `data.columns` was changed for a corpus in markup, which has no columns."""
    if options.format != "markup" or options.columns in _UNCHANGED_COLUMNS:
        return []
    return [
        f"data.columns={options.columns} does not apply to {options.name}, which is in markup (data.format); it is "
        "used only for column files given to predict or evaluate."
    ]


def unseen_types(splits: Mapping[str, Split]) -> list[str]:
    """A line for each split with entity types missing from train."""
    if "train" not in splits:
        return []
    known = {span.type for sentence in splits["train"].sentences for span in spans_of(sentence.tags)}
    lines = []
    for name, split in splits.items():
        counts: Counter[str] = Counter()
        first = ""
        for sentence in split.sentences:
            for span in spans_of(sentence.tags):
                if span.type not in known:
                    first = first or split.place(sentence, span.start)
                    counts[span.type] += 1
        if counts:
            lines.append(
                f"{name}: {len(counts)} {'type' if len(counts) == 1 else 'types'} that train lacks: "
                f"{_some(sorted(counts))}; {counts.total():,} "
                f"{'entity' if counts.total() == 1 else 'entities'} (the first: {first}). "
                "They cannot be predicted and count as missed."
            )
    return lines


def types_unknown_to(splits: Mapping[str, Split], known: Sequence[str]) -> list[str]:
    """One line on entity types of the splits that a tagger, which knows the types `known`, cannot predict."""
    counts = Counter(span.type for split in splits.values() for s in split.sentences for span in spans_of(s.tags))
    unknown = sorted(counts.keys() - set(known))
    if not unknown:
        return []
    number = sum(counts[name] for name in unknown)
    likely = {name: other for name in unknown for other in known if _is_short_for(other, name)}
    names = ", ".join(f"{old}: {new}" for old, new in (likely or {unknown[0]: known[0]}).items())
    return [
        f"{', '.join(splits)}: {len(unknown)} {'type' if len(unknown) == 1 else 'types'} that the run does not know: "
        f"{_some(unknown)}; {number:,} {'entity counts' if number == 1 else 'entities count'} as missed. The run "
        f"predicts {_some(sorted(known))}. If they are other names for the same types: "
        f"'data.map_types={{{names}}}'{'' if likely else ', for instance'}."
    ]


def _is_short_for(one: str, other: str) -> bool:
    """Whether the name of a type begins with the other, as PERSON with PER, ignoring case."""
    short, long = sorted((one.casefold(), other.casefold()), key=len)
    return len(short) > 1 and long.startswith(short)


def _some(names: Sequence[str]) -> str:
    """Names separated by commas, truncated if there are many."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _types_by_case(splits: Mapping[str, Split]) -> list[str]:
    tags = {tag for split in splits.values() for sentence in split.sentences for tag in sentence.tags}
    by_case: dict[str, set[str]] = defaultdict(set)
    for entity_type in {split_tag(tag)[1] for tag in tags - {OUTSIDE}}:
        by_case[entity_type.casefold()].add(entity_type)
    doubtful = ["/".join(sorted(names)) for _, names in sorted(by_case.items()) if len(names) > 1]
    if not doubtful:
        return []
    return [f"entity types that differ only in case are different types: {_some(doubtful)}."]


def _missing_borders(splits: Mapping[str, Split]) -> list[str]:
    long = []
    for name, split in splits.items():
        number = sum(sentence.words != [DOCSTART] for sentence in split.sentences)
        if number and (words := _words(split)) > LONG_MEAN * number:
            long.append(
                f"{name}: one sentence of {words:,} words"
                if number == 1
                else f"{name}: {number:,} sentences of {words / number:,.0f} words in the mean"
            )
    if not long:
        return []
    return [
        f"{'; '.join(long)}. Are blank lines between sentences missing, or are ends of sentences marked in a column?"
    ]


def _words(split: Split) -> int:
    return sum(len(sentence.words) for sentence in split.sentences if sentence.words != [DOCSTART])


def _shared_sentences(splits: Mapping[str, Split]) -> list[str]:
    found = {
        name: [hash(tuple(s.words)) for s in split.sentences if len(s.words) >= _SHARED_FROM]
        for name, split in splits.items()
    }
    shared = []
    for name, other in (("dev", "train"), ("test", "train"), ("test", "dev")):
        if found.get(name) and found.get(other):
            number, total = sum(map(set(found[other]).__contains__, found[name])), len(found[name])
            if number >= _SHARED_SHARE * total:
                shared.append(f"{number:,} of {name}'s {total:,} are in {other} ({100 * number / total:.1f} %)")
    if not shared:
        return []
    return [f"splits share sentences (of {_SHARED_FROM} words or more): {', '.join(shared)}."]
