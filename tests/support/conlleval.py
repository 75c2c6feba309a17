"""What the shared tasks' `conlleval` says of a file of predictions: line by line, with the rules and the state of the
Perl program. Slow, and sharing nothing with what it is held against."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

Tag = tuple[str, str]
"""Letter and type; an O has no type."""

OUTSIDE: Tag = ("O", "")
# (letter before, letter here): whatever their types
ALWAYS_ENDS = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")}
ALWAYS_STARTS = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")}


@dataclass
class Report:
    """The counts, and the figures as they are printed."""

    tokens: int = 0
    same_tags: int = 0
    correct: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    gold: Counter[str] = field(default_factory=Counter)

    @property
    def accuracy(self) -> str:
        return f"{100 * self.same_tags / self.tokens if self.tokens else 0:.2f}"

    def figures(self, *types: str) -> list[str]:
        """Precision, recall and F1 of these types together, with two decimals."""
        correct, found, gold = (sum(counts[name] for name in types) for counts in (self.correct, self.found, self.gold))
        precision = 100 * correct / found if found else 0
        recall = 100 * correct / gold if gold else 0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
        return [f"{figure:.2f}" for figure in (precision, recall, f1)]


def conlleval(lines: Iterable[str]) -> Report:
    """lines: token, gold tag and predicted tag between blanks; sentences are parted by empty lines."""
    report = Report()
    gold_before = found_before = OUTSIDE
    going_well = False  # inside a gold and a predicted chunk that began together and have one type
    for line in [*lines, ""]:
        columns = line.split(" ") if line else ["", "O", "O"]
        gold, found = parts_of(columns[-2]), parts_of(columns[-1])
        gold_ends, found_ends = ends(gold_before, gold), ends(found_before, found)
        if going_well and gold_ends and found_ends:
            report.correct[gold_before[1]] += 1
            going_well = False
        elif going_well and (gold_ends != found_ends or gold[1] != found[1]):
            going_well = False
        gold_starts, found_starts = starts(gold_before, gold), starts(found_before, found)
        if gold_starts and found_starts and gold[1] == found[1]:
            going_well = True
        report.gold[gold[1]] += gold_starts
        report.found[found[1]] += found_starts
        if line:
            report.tokens += 1
            report.same_tags += gold == found
        gold_before, found_before = gold, found
    return report


def chunks_of(tags: Iterable[str]) -> list[tuple[str, int, int]]:
    """Type, first token and the token behind the last, of each chunk in a sentence."""
    chunks = []
    before, begin = OUTSIDE, 0
    for place, tag in enumerate([*tags, "O"]):
        here = parts_of(tag)
        if ends(before, here):
            chunks.append((before[1], begin, place))
        if starts(before, here):
            begin = place
        before = here
    return chunks


def parts_of(tag: str) -> Tag:
    """The letter before the first dash, and all behind it."""
    letter, *rest = tag.split("-", 1)
    return letter, rest[0] if rest else ""


def ends(before: Tag, here: Tag) -> bool:
    """Whether a chunk that runs at `before` ends there."""
    return (before[0], here[0]) in ALWAYS_ENDS or (before[0] != "O" and before[1] != here[1])


def starts(before: Tag, here: Tag) -> bool:
    """Whether a chunk starts at `here`."""
    return (before[0], here[0]) in ALWAYS_STARTS or (here[0] != "O" and before[1] != here[1])
