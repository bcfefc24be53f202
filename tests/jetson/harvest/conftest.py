"""Pictures as a camera over a table gives them."""

import numpy as np
import pytest


def make_scene(number=0, height=240, width=320, shift=0):
    """uint8 [height, width, 3], BGR: sharp-edged boxes on a plain table, others for each number."""
    random = np.random.RandomState(number)
    picture = np.full((height, width, 3), 150, np.uint8)
    for _ in range(4):
        top, left = random.randint(0, height // 2), random.randint(0, width // 2)
        down, across = random.randint(height // 8, height // 2), random.randint(width // 8, width // 2)
        picture[top : top + down, left + shift : left + shift + across] = random.randint(0, 256, 3)
    return picture


@pytest.fixture
def scene():
    return make_scene
