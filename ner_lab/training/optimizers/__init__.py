"""Optimizers, each with its rate's decay, its clipping and the loss its rate is meant for."""
