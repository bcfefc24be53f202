"""The promise of the 3.6 zone: its modules import with NumPy alone."""

import os
import subprocess
import sys

import pytest

import legoclf

CORE = os.path.dirname(legoclf.__file__)
FILES = [
    name for name in os.listdir(CORE) if name.endswith(".py") and name not in ("__init__.py", "__main__.py")
]
MODULES = sorted("legoclf." + name[:-3] for name in FILES)
MODULES.append("legoclf.jetson")

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
    "simplejpeg", "tensorflow", "tensorflow_hub", "tensorrt", "tf2onnx", "tf_keras", "tqdm", "trimesh",
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_zone_imports_with_numpy_alone(module, tmp_path):
    program = PROGRAM.format(refused=REFUSED, module=module)
    # Elsewhere than in the checkout, whose ./legoclf would hide the installed package.
    subprocess.check_call([sys.executable, "-c", program], cwd=str(tmp_path))
