"""Left-to-right LSTM over the sentence (Huang et al. 2015, section 2.1)."""

from ner_lab.encoder.recurrent import RecurrentEncoder


class LSTM(RecurrentEncoder):
    """Left-to-right LSTM over the sentence (Huang et al. 2015, section 2.1).

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
    ) -> None:
        super().__init__(
            cell="lstm",
            directions=1,
            input_dim=input_dim,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            input_dropout=input_dropout,
            output_dropout=output_dropout,
            forget_bias=forget_bias,
            learn_initial=learn_initial,
        )
