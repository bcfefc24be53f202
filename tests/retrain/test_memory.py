"""Memory of the extraction stage with the embedded network: the same for 1 000 images and for 50 000."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tf_modules

from legoclf.cli import main

_STAGE = """
import sys
from pathlib import Path
from legoclf.contract import unit_range_contract
from legoclf.image import iter_image_files
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.engines import open_engine
from legoclf.retrain.extract import Extractor, Request
from legoclf.retrain.feature_cache import FeatureCache
from legoclf.retrain.feature_vector import load_feature_vector

images, cache_dir, bottleneck_dir = sys.argv[1:]
vector = load_feature_vector(None, cache_dir=Path(cache_dir))
contract = unit_range_contract(vector.width, vector.height)
with (
    open_engine("onnxruntime", vector) as engine,
    FeatureCache(Path(bottleneck_dir), {}, vector.feature_size) as cache,
):
    extractor = Extractor(engine, contract, cache, Augmentation(random_crop=10), 0)
    requests = (Request(path, 2) for path in iter_image_files(images))
    keys = [key for result in extractor.extract(requests) for key in result.keys]
    # Not getrusage: its peak is at first that of the process that started this one.
    peak = next(line for line in Path("/proc/self/status").open() if line.startswith("VmHWM:"))
    print(len(keys), peak.split()[1])
"""


def peak_kib(images: Path, count: int, bottleneck: Path) -> int:
    """Peak resident memory of a process that extracts two views of each image."""
    cache = tf_modules.embedded_vector().onnx_path.parents[2]
    arguments = [str(images), str(cache), str(bottleneck)]
    done = subprocess.run(
        [sys.executable, "-c", _STAGE, *arguments], capture_output=True, text=True, check=True
    )
    keys, peak = done.stdout.split()
    assert int(keys) == 2 * count
    return int(peak)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_fifty_times_the_images_need_no_more_memory(tmp_path: Path) -> None:
    """1 000 rendered images, and 50 links to each; 10 % is the spread of one process to the next."""
    assert main(["data", "render", str(tmp_path / "bricks"), "--count", "4", "--size", "224"]) == 0
    rendered = sorted((tmp_path / "bricks").rglob("*.jpg"))
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    for number in range(1000):
        image = few / f"{number:04d}.jpg"
        # Bytes after a JPEG's end change its hash, so that each is extracted, and nothing else.
        image.write_bytes(rendered[number % len(rendered)].read_bytes() + number.to_bytes(2, "big"))
        for link in range(50):
            os.symlink(image, many / f"{number:04d}_{link:02d}.jpg")
    peaks = [
        peak_kib(images, count, tmp_path / f"features{count}")
        for images, count in ((few, 1000), (many, 50_000))
    ]
    assert peaks[1] < 1.1 * peaks[0], peaks
