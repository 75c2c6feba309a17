"""No tracker."""

from ner_lab.tracking.base import Tracker


class NoTracker(Tracker):
    """Writes nothing but the run folder."""
