"""The summary: every layer, and totals that add up."""

import numpy as np
import small_training

from legoclf.retrain.heads import Head
from legoclf.retrain.networks.model_summary import summary_lines
from legoclf.retrain.networks.small import build_network


def test_layers_of_a_small_network_have_shapes_and_parameters() -> None:
    lines = summary_lines(build_network("lenet", 10))
    row = next(line for line in lines if line.startswith("conv_1"))
    assert row.split() == ["conv_1", "Conv2D", "[N,", "28,", "28,", "24]", "624"]


def test_totals_are_those_that_keras_counts() -> None:
    model = build_network("lenet", 10)
    assert f"trainable: {model.count_params() - 3:,}; frozen: 3" in summary_lines(model)


def test_feature_vector_is_frozen_and_its_head_is_not() -> None:
    head = Head(np.zeros((6, 3), np.float32), np.zeros(3, np.float32), {})
    lines = summary_lines(small_training.vector(), head)
    # 3x3x3x4 and 4, 3x3x4 and 4, 4x6: biases come of folded batch-norms
    assert lines[-1].startswith("trainable: 21; frozen: ")
    assert any("Conv" in line and "[N, 6, " in line for line in lines)
