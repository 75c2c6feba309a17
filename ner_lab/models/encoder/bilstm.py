"""Bidirectional LSTM over the sentence (Huang et al. 2015, Lample et al. 2016, Ma & Hovy 2016)."""

from ner_lab.models.encoder.recurrent import RecurrentEncoder


class BiLSTM(RecurrentEncoder):
    """Bidirectional LSTM over the sentence (Huang et al. 2015, Lample et al. 2016, Ma & Hovy 2016).

    Arguments as in `RecurrentEncoder`.
    """

    simple = False
    directions = 2
