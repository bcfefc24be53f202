"""The promise of the 3.6 zone: its modules import with NumPy alone."""

import os
import subprocess
import sys

import pytest

import legoclf
import legoclf.convert.engine
import legoclf.jetson


def modules_of(package):
    """The names of a package and of the modules right in it."""
    folder = os.path.dirname(package.__file__)
    files = [name for name in os.listdir(folder) if name.endswith(".py") and not name.startswith("__")]
    return [package.__name__, *sorted("{}.{}".format(package.__name__, name[:-3]) for name in files)]


MODULES = modules_of(legoclf) + modules_of(legoclf.jetson) + modules_of(legoclf.convert.engine)

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
    "PIL", "cv2", "embreex", "google", "h5py", "keras", "onnx", "onnxruntime", "onnxslim", "pycuda", "scipy",
    "simplejpeg", "tensorflow", "tensorflow_hub", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings",
    "tf2onnx", "tf_keras", "tqdm", "trimesh",
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_zone_imports_with_numpy_alone(module, tmp_path):
    program = PROGRAM.format(refused=REFUSED, module=module)
    # Elsewhere than in the checkout, whose ./legoclf would hide the installed package.
    subprocess.check_call([sys.executable, "-c", program], cwd=str(tmp_path))
