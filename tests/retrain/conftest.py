"""What the tests of retraining share: a photo folder of three colours, a small module, one trained bundle."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tf_modules
from PIL import Image
from shared_folder import held, shared_folder

from legoclf.cli import main

COLOURS = {"Blue brick": (30, 60, 200), "grün": (20, 160, 60), "red": (190, 30, 30)}
IMAGES_A_COLOUR = 30


def paint(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    """A JPEG of one colour, lit differently each time, with noise."""
    random = np.random.default_rng(seed)
    light = random.uniform(0.6, 1.2)
    levels = np.array(colour) * light + random.normal(0, 12, (48, 64, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 photos of three colours, a folder each."""
    folder = tmp_path_factory.mktemp("data") / "colours"
    for number, (label, colour) in enumerate(COLOURS.items()):
        for index in range(IMAGES_A_COLOUR):
            paint(folder / label / f"{index:02d}.jpg", colour, 100 * number + index)
    return folder


@pytest.fixture(scope="session")
def module() -> Path:
    """A feature vector that sees colours and converts in seconds, as a local SavedModel: 32x32 to 16."""
    folder = shared_folder("retrain")
    with held(folder):
        if not (folder / "colour_module").is_dir():
            tf_modules.colour_module(folder / "colour_module")
    return folder / "colour_module"


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where converted modules are kept while the tests run."""
    return shared_folder("cache")


@pytest.fixture(scope="session")
def train(module: Path, cache: Path) -> Callable[..., int]:
    """Run `legoclf retrain` on photos, with all outputs below a folder; its exit code."""

    def run(photos: Path, out: Path, *flags: str) -> int:
        places = {
            "tfhub_module": module,
            "bundle": out / "colours.bundle",
            "bottleneck_dir": out / "bottleneck",
            "summaries_dir": out / "logs",
            "output_graph": out / "graph.pb",
            "output_labels": out / "labels.txt",
            "checkpoint_path": out / "checkpoint",
            "intermediate_output_graphs_dir": out / "steps",
        }
        arguments = [f"--{flag}={place}" for flag, place in places.items()]
        patch = pytest.MonkeyPatch()
        with patch.context() as environment:
            environment.setenv("LEGOCLF_CACHE_DIR", str(cache))
            environment.setenv("SOURCE_DATE_EPOCH", "1600000000")
            return main(["retrain", f"--image_dir={photos}", *arguments, *flags])

    return run


@pytest.fixture(scope="session")
def trained(train: Callable[..., int], photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run with the default head; its bundle is colours.bundle."""
    out = tmp_path_factory.mktemp("trained")
    assert train(photos, out) == 0
    return out


@pytest.fixture
def own_photos(photos: Path, tmp_path: Path) -> Path:
    """A copy of the photos that a test may damage."""
    return Path(shutil.copytree(photos, tmp_path / "own"))
