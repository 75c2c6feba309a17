"""Bidirectional LSTM over the sentence (Huang et al. 2015, Lample et al. 2016, Ma & Hovy 2016)."""

from ner_lab.encoder.recurrent import RecurrentEncoder


class BiLSTM(RecurrentEncoder):
    """Bidirectional LSTM over the sentence (Huang et al. 2015, Lample et al. 2016, Ma & Hovy 2016).

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
        forget_bias: float,
        learn_initial: bool,
        stacks: str,
    ) -> None:
        super().__init__(
            cell="lstm",
            directions=2,
            input_dim=input_dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            input_dropout=input_dropout,
            output_dropout=output_dropout,
            forget_bias=forget_bias,
            learn_initial=learn_initial,
            stacks=stacks,
        )
