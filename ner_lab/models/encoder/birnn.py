"""Bidirectional simple recurrent network, the baseline of Ma & Hovy 2016, table 3."""

from ner_lab.models.encoder.recurrent import RecurrentEncoder


class BiRNN(RecurrentEncoder):
    """Bidirectional simple recurrent network, the baseline of Ma & Hovy 2016, table 3.

    Arguments as in `RecurrentEncoder`.
    """

    simple = True
    directions = 2
