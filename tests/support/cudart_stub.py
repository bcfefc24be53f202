"""Compiles cudart_stub.c: a libcudart on host memory, for tests of the ctypes backend."""

import os
import shutil
from typing import Any

import pytest
from shared_folder import compile_once

_SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cudart_stub.c")


def build_stub(folder: Any, split: bool = False, graphs: bool = False) -> str:
    """Compile the stub into a folder; skips the test, with the reason, where there is no C compiler.

    Args:
        folder: where the libraries go.
        split: the driver's functions stand in libcuda.so.1 beside libcudart.so, as on a real machine (the
            dynamic linker finds it where LD_LIBRARY_PATH names the folder when the process starts);
            otherwise libcudart.so has them too.
        graphs: with the driver's stream capture, of copies alone.

    Returns:
        the path of libcudart.so.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the libcudart stub with")
    library = os.path.join(str(folder), "libcudart.so")
    wanted = [(library, ["-DNO_DRIVER"] if split else ["-DWITH_GRAPHS"] if graphs else [])]
    if split:
        wanted.append((os.path.join(str(folder), "libcuda.so.1"), ["-DNO_RUNTIME"]))
    for path, defines in wanted:
        flags = ["-std=gnu99", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        compile_once([str(compiler), *flags, *defines, _SOURCE], path)
    return library
