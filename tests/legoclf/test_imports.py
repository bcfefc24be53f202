"""The promise of the 3.6 zone: its modules import with NumPy alone."""

import importlib
import pkgutil
import subprocess
import sys

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

#: Imports each module while all that the extras bring is refused, and tells those that cannot do without.
PROGRAM = """
import importlib
import sys

class Refuse(object):
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in {refused!r}:
            raise ImportError("refused: " + name)

sys.meta_path.insert(0, Refuse())
for module in {modules!r}:
    try:
        importlib.import_module(module)
    except ImportError as error:
        print(module, error)
"""

REFUSED = [
    "PIL", "bottle", "cv2", "embreex", "google", "h5py", "keras", "onnx", "onnxruntime", "onnxslim", "paho",
    "prometheus_client", "pycuda", "scipy",
    "simplejpeg", "tensorflow", "tensorflow_hub", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings",
    "tf2onnx", "tf_keras", "tqdm", "trimesh", "waitress",
]  # fmt: skip


def test_the_modules_of_the_zone_import_with_numpy_alone(tmp_path):
    program = PROGRAM.format(refused=REFUSED, modules=MODULES)
    # Elsewhere than in the checkout, whose ./legoclf would hide the installed package.
    assert subprocess.check_output([sys.executable, "-c", program], cwd=str(tmp_path)) == b""


def test_a_package_that_is_refused_is_told(tmp_path):
    program = PROGRAM.format(refused=["json"], modules=["json", "legoclf.errors"])
    told = subprocess.check_output([sys.executable, "-c", program], cwd=str(tmp_path))
    assert told.decode("utf-8").split("\n")[0].startswith("json refused: json")
