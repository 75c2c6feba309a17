"""Left-to-right LSTM over the sentence (Huang et al. 2015, section 2.1)."""

from ner_lab.models.encoder.recurrent import RecurrentEncoder


class LSTM(RecurrentEncoder):
    """Left-to-right LSTM over the sentence (Huang et al. 2015, section 2.1).

    Arguments as in `RecurrentEncoder`.
    """

    simple = False
    directions = 1
