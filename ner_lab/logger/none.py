"""No tracker."""

from ner_lab.logger.tracker import Tracker


class NoTracker(Tracker):
    """Writes nothing beside the run folder."""
