"""The promise of the 3.6 zone: its modules import with NumPy alone."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import legoclf
import legoclf.benchmarks.device
import legoclf.convert.engine
import legoclf.jetson


def modules_of(package):
    """The names of a package, and of the modules and packages right in it that are no stage of their own."""
    found = [package.__name__]
    for _, name, is_package in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if not name.endswith("__main__") and not (is_package and package is legoclf):
            found += modules_of(importlib.import_module(name)) if is_package else [name]
    return sorted(found)


ZONE = (legoclf, legoclf.jetson, legoclf.convert.engine, legoclf.benchmarks.device)
MODULES = [module for package in ZONE for module in modules_of(package)]

#: Imports one module while all that the extras bring is refused.
PROGRAM = """
import sys

class Refuse(object):
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in {refused!r}:
            raise ImportError("refused: " + name)

sys.meta_path.insert(0, Refuse())
import {module}
"""

REFUSED = [
    "PIL", "bottle", "cv2", "embreex", "google", "h5py", "keras", "onnx", "onnxruntime", "onnxslim", "paho",
    "prometheus_client", "pycuda", "scipy",
    "simplejpeg", "tensorflow", "tensorflow_hub", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings",
    "tf2onnx", "tf_keras", "tqdm", "trimesh", "waitress",
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_zone_imports_with_numpy_alone(module, tmp_path):
    program = PROGRAM.format(refused=REFUSED, module=module)
    # Elsewhere than in the checkout, whose ./legoclf would hide the installed package.
    subprocess.check_call([sys.executable, "-c", program], cwd=str(tmp_path))
