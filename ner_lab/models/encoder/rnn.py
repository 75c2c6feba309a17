"""Left-to-right simple recurrent network."""

from ner_lab.models.encoder.recurrent import RecurrentEncoder


class RNN(RecurrentEncoder):
    """Left-to-right simple recurrent network.

    Arguments as in `RecurrentEncoder`.
    """

    simple = True
    directions = 1
