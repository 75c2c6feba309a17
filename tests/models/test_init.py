"""Starting values lie where the papers put them."""

import math

import torch

from ner_lab.models.layers.init import embedding_uniform, glorot, linear


def test_glorot_fills_its_range_by_rows_and_columns() -> None:
    matrix = torch.zeros(30, 50)
    glorot(matrix)
    bound = math.sqrt(6 / 80)
    assert 0.98 * bound < matrix.abs().max() <= bound
    assert abs(matrix.mean()) < 0.05 * bound


def test_glorot_counts_the_rows_of_one_of_several_stacked_matrices() -> None:
    matrix = torch.zeros(120, 50)
    glorot(matrix, parts=4)
    bound = math.sqrt(6 / 80)
    assert 0.98 * bound < matrix.abs().max() <= bound


def test_embeddings_start_uniform_by_their_dimensions() -> None:
    table = torch.zeros(100, 30)
    embedding_uniform(table)
    bound = math.sqrt(3 / 30)
    assert 0.98 * bound < table.abs().max() <= bound
    assert abs(table.mean()) < 0.05 * bound


def test_linear_layers_have_glorot_weights_and_no_bias_at_first() -> None:
    layer = linear(50, 30)
    bound = math.sqrt(6 / 80)
    assert 0.98 * bound < layer.weight.abs().max() <= bound
    assert not layer.bias.any()
    assert layer.bias.requires_grad
