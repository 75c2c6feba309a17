"""What keeps a training safe: checkpoints to resume from, the signals that stop it, and checks for divergence."""
