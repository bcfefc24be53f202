"""golden.npz: images, the tensors they must become, and the logits they must give.

Whoever runs a bundle elsewhere can prove with it that preprocessing and network are the same there.
docs/bundle.md describes the arrays.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from legoclf.contract import InputContract
from legoclf.novelty import OUTPUT, judge, wanted_outputs
from legoclf.preprocess import fit_reference, preprocess
from legoclf.session import OnnxRuntimeSession

#: Bounds of each path against the reference, as docs/bundle.md gives them.
BOUNDS = {
    "levels_max": 1.0,
    "levels_mean": 0.1,
    "logits_fp32": 1e-3,
    "probabilities_fp16": 0.02,
}

#: Longer sides are reduced to this before they are stored: the file travels with the bundle.
MAX_SIDE = 640


def golden_images(images: Sequence[np.ndarray], contract: InputContract) -> list[np.ndarray]:
    """The images to store: the given ones, none longer than MAX_SIDE, and a test pattern.

    Args:
        images: uint8 [H, W, 3] each, RGB.
    """
    reduced = []
    for image in images:
        ratio = MAX_SIDE / max(image.shape[:2])
        if ratio < 1:
            height, width = (max(1, round(side * ratio)) for side in image.shape[:2])
            image = fit_reference(image, contract._replace(height=height, width=width, geometry="squash"))
        reduced.append(image)
    return [*reduced, pattern_image()]


def pattern_image(height: int = 97, width: int = 131) -> np.ndarray:
    """uint8 [height, width, 3]: unlike ramps and stripes in each colour, and no symmetry.

    A swapped colour, a mirrored axis, another rounding or another pixel centre shows in it at once.
    """
    rows, columns = np.mgrid[0:height, 0:width]
    red = columns * 255 // (width - 1)
    green = rows * 255 // (height - 1)
    blue = ((rows // 3 + columns // 5) % 2) * 200 + (rows * columns) % 56
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def write_golden(
    path: Path, images: Sequence[np.ndarray], contract: InputContract, session: OnnxRuntimeSession
) -> None:
    """Write the file: each image through the reference preprocessing and the shipped ONNX graph.

    Its novelty is in it where the graph gives one.

    Raises:
        LegoclfError: the novelty is not one number an image.
    """
    arrays: dict[str, np.ndarray] = {f"bound_{name}": np.array(bound) for name, bound in BOUNDS.items()}
    tensors = np.stack([preprocess(image, contract) for image in images])
    arrays["tensors"] = tensors
    # One by one, as a device would run them.
    names = ["logits", *wanted_outputs(session.outputs)]
    outputs = [session.run(tensor[None], names) for tensor in tensors]
    arrays.update((name, np.concatenate([output[name] for output in outputs])) for name in names)
    novelty, _ = judge(arrays, None)
    if novelty is not None:
        arrays[OUTPUT] = novelty
    for index, image in enumerate(images):
        arrays[f"image_{index}"] = image
    np.savez_compressed(path, allow_pickle=False, **arrays)
