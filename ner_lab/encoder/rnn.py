"""Left-to-right simple recurrent network."""

from ner_lab.encoder.recurrent import RecurrentEncoder


class RNN(RecurrentEncoder):
    """Left-to-right simple recurrent network.

    Arguments as in `RecurrentEncoder`.
    """

    simple = True
    directions = 1
