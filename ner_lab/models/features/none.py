"""No features."""

from ner_lab.models.features.base import FeatureSet


class NoFeatures(FeatureSet):
    """Extracts no features."""
