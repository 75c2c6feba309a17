"""Bidirectional simple recurrent network, the baseline of Ma & Hovy 2016, table 3."""

from ner_lab.encoder.recurrent import RecurrentEncoder


class BiRNN(RecurrentEncoder):
    """Bidirectional simple recurrent network, the baseline of Ma & Hovy 2016, table 3.

    Arguments as in `RecurrentEncoder`.
    """

    def __init__(
        self,
        *,
        input_dim: int,
        hidden_dim: int,
        num_layers: int,
        input_dropout: float,
        output_dropout: float,
        learn_initial: bool,
    ) -> None:
        super().__init__(
            cell="rnn",
            directions=2,
            input_dim=input_dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            input_dropout=input_dropout,
            output_dropout=output_dropout,
            learn_initial=learn_initial,
        )
