"""The start-up summary: corpus, tags, vocabularies, coverage of the vectors, parameters per part."""

from ner_lab.data.preparation import Prepared
from ner_lab.data.sentence import Counts
from ner_lab.data.vector_lookup import MISSING
from ner_lab.io.terminal import table
from ner_lab.models.tagger import Tagger

_MOST_COLUMNS = 10
"""Maximum number of entity types shown as columns of the table of counts"""
_STEPS = {
    "exact": "found as it is",
    "lower": "found lower-cased",
    "lower_zero_digits": "found lower-cased, each digit 0",
    "lower_zero_runs": "found lower-cased, each run of digits 0",
    MISSING: "not found",
}


def counts_table(counts: dict[str, Counts], schemes: dict[str, str], longest: dict[str, int]) -> str:
    """A row for each split: what it holds and how its file is written.

    Types are columns; if there are many, they are the rows of a second table.
    """
    types = sorted({entity_type for count in counts.values() for entity_type in count.per_type})
    in_rows = types if len(types) > _MOST_COLUMNS else []
    types = [] if in_rows else types
    header = ["split", "documents", "sentences", "tokens", "entities", *types, "written in", "longest"]
    rows = [
        [
            name,
            count.documents or "-",
            count.sentences,
            count.tokens,
            count.entities,
            *(count.per_type.get(entity_type, 0) for entity_type in types),
            schemes[name],
            longest[name],
        ]
        for name, count in counts.items()
    ]
    if not in_rows:
        return table(header, rows)
    by_type = [[name, *(count.per_type.get(name, 0) for count in counts.values())] for name in in_rows]
    return table(header, rows) + "\n\n" + table(["entities", *counts], by_type)


def data_summary(prepared: Prepared) -> str:
    """Corpus, tags, vocabularies and coverage, before anything is trained."""
    vocabs = prepared.vocabs
    longest = {name: int(split.sentence_lengths.max()) for name, split in prepared.splits.items()}
    parts = [counts_table(prepared.counts, prepared.schemes, longest)]
    numbers = [
        f"{len(vocabs.words):,} words trained on"
        + (f" and {len(vocabs.words.known):,} known from the file of vectors" if vocabs.words.known else ""),
        f"{len(vocabs.chars):,} characters",
        f"{len(vocabs.tags):,} tags ({vocabs.tags.scheme})",
    ]
    if vocabs.features.columns:
        sizes = ", ".join(f"{name} {len(vocab):,}" for name, vocab in vocabs.features.columns.items())
        numbers.append(f"dense features: {sizes}")
    if len(vocabs.features.sparse):
        numbers.append(f"{len(vocabs.features.sparse):,} sparse features")
    parts.append("  vocabulary: " + ", ".join(numbers))
    if prepared.coverage is not None:
        parts.append(coverage_table(prepared.coverage))
    return "\n\n".join(parts)


def coverage_table(coverage: dict[str, dict[str, int]]) -> str:
    """How the corpus's words were found in the file of vectors."""
    total = {what: sum(found.values()) or 1 for what, found in coverage.items()}
    rows = [
        [
            _STEPS[step],
            coverage["tokens"][step],
            100 * coverage["tokens"][step] / total["tokens"],
            coverage["types"][step],
            100 * coverage["types"][step] / total["types"],
        ]
        for step in coverage["tokens"]
    ]
    return table(["word vectors", "tokens", "%", "types", "%"], rows)


def parameter_table(tagger: Tagger) -> str:
    """Trained and fixed parameters of each part."""
    counts = tagger.parameter_counts()
    rows: list[list[object]] = [[part, trained, whole] for part, (trained, whole) in counts.items()]
    rows.append(["all", sum(t for t, _ in counts.values()), sum(w for _, w in counts.values())])
    return table(["parameters", "trained", "in all"], rows)
