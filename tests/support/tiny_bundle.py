"""A whole bundle in a tenth of a second: it tells plain colours apart, and has golden images.

The network is that of :mod:`tiny_onnx` with weights of its own: the mean colour of an image, and which of the
labels' colours is nearest to it. A red frame is "red", and "blue" where red and blue were swapped. What
training alone makes (frozen graph, SavedModel, report) is not in the bundle. For Python 3.6 as for today's;
needs onnx and onnxruntime.
"""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import tiny_onnx

from legoclf.bundle_writer import BundleWriter
from legoclf.contract import InputContract, unit_range_contract
from legoclf.preprocess import preprocess

#: Labels and their colours, RGB.
COLOURS = (
    ("red", (230, 20, 20)),
    ("green", (20, 200, 40)),
    ("blue", (20, 40, 230)),
    ("yellow", (230, 220, 20)),
    ("white", (250, 250, 250)),
    ("black", (5, 5, 5)),
    ("magenta", (220, 20, 220)),
    ("cyan", (20, 220, 220)),
)

#: As convert writes them, docs/bundle.md section 4.
BOUNDS = {
    "bound_levels_max": 1.0,
    "bound_levels_mean": 0.1,
    "bound_logits_fp32": 1e-3,
    "bound_probabilities_fp16": 0.02,
}


def write_bundle(
    path: Any,
    classes: int = 4,
    size: int = 16,
    batch: Optional[int] = None,
    contract: Optional[InputContract] = None,
) -> str:
    """Write a bundle.

    Args:
        path: where; replaced if a bundle stands there.
        classes: how many labels: the first of COLOURS, then ``class 8`` and so on.
        size: side of the network's input in pixels.
        batch: images at once that the graphs take; None leaves it free.
        contract: of the input, with a size of its own; None for RGB in [0, 1], squashed.

    Returns:
        the path, as text.
    """
    path = str(path)
    contract = unit_range_contract(size, size) if contract is None else contract
    images = golden_images()
    tensors = np.stack([preprocess(image, contract) for image in images])
    sides = (contract.height, contract.width)
    answers = [tiny_onnx.run(graph(classes, sides), tensor[None]) for tensor in tensors]
    arrays = {name: np.array(bound) for name, bound in BOUNDS.items()}
    arrays.update(("image_{}".format(index), image) for index, image in enumerate(images))
    for name in ("logits", "probabilities"):
        arrays[name] = np.concatenate([answer[name] for answer in answers])
    with BundleWriter(path) as writer:
        for name, half in (("model.onnx", False), ("model.fp16.onnx", True)):
            with open(writer.file(name), "wb") as stream:
                stream.write(graph(classes, sides, batch, half))
        np.savez_compressed(writer.file("golden.npz"), tensors=tensors, **arrays)
        writer.finish(labels(classes), contract, {}, {})
    return path


def labels(classes: int = 4) -> List[str]:
    """The labels of a bundle of so many classes."""
    known = [name for name, _ in COLOURS[:classes]]
    return known + ["class {}".format(index) for index in range(len(known), classes)]


def plain(label: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [height, width, 3], RGB: an image of one label's colour."""
    return np.full((height, width, 3), _colours(label + 1)[label], np.uint8)


def graph(
    classes: int = 4, sides: Tuple[int, int] = (16, 16), batch: Optional[int] = None, half: bool = False
) -> bytes:
    """The network for images of so many pixels, height and width, serialised."""
    import onnx
    from onnx import numpy_helper

    values = _weights(_colours(classes))
    model = onnx.load_from_string(tiny_onnx.classifier(batch=batch, half=half, classes=classes))
    for axis, side in enumerate(sides, 2):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = side
    for tensor in model.graph.initializer:
        if tensor.name in values:
            dtype = numpy_helper.to_array(tensor).dtype
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name].astype(dtype), tensor.name))
    serialized: bytes = model.SerializeToString()
    return serialized


def _colours(classes: int) -> np.ndarray:
    """uint8 [classes, 3]."""
    more = np.random.RandomState(3).randint(0, 256, (max(0, classes - len(COLOURS)), 3))
    return np.array([colour for _, colour in COLOURS[:classes]] + more.tolist(), np.uint8)


def _weights(colours: np.ndarray) -> Dict[str, np.ndarray]:
    """As :func:`tiny_onnx.weights` gives them: each mean, then minus its squared distance to each colour."""
    centres = colours.astype(np.float64) / 255
    conv = np.zeros((tiny_onnx.CHANNELS, 3, 3, 3))
    conv[range(3), range(3), 1, 1] = 1
    sharpness = 20.0
    dense = np.zeros((tiny_onnx.CHANNELS, len(colours)))
    dense[:3] = 2 * sharpness * centres.T
    return {
        "conv": conv,
        "conv_bias": np.zeros(tiny_onnx.CHANNELS),
        "dense": dense,
        "dense_bias": -sharpness * (centres**2).sum(axis=1),
    }


def golden_images() -> List[np.ndarray]:
    """uint8 [H, W, 3], RGB: noise on a plain colour, of three sizes and colours, and a pattern.

    None is square, symmetric or grey: another geometry, resampling or colour order shows in each.
    """
    rng = np.random.RandomState(11)
    images = []
    for height, width, colour in ((48, 64, (200, 60, 30)), (60, 45, (20, 90, 210)), (41, 77, (40, 180, 60))):
        levels = np.array(colour) + rng.normal(0, 40, (height, width, 3)) + np.arange(width)[None, :, None]
        images.append(np.clip(levels, 0, 255).astype(np.uint8))
    rows, columns = np.mgrid[0:37, 0:53]
    blue = ((rows // 3 + columns // 5) % 2) * 200 + (rows * columns) % 56
    images.append(np.stack([columns * 255 // 52, rows * 255 // 36, blue], axis=-1).astype(np.uint8))
    return images
