"""A folder that all workers of a run share, where what is dear to make is made once.

Python 3.6 loads this too.
"""

import os
import shutil
import tempfile


def pytest_configure(config):
    """Before the workers start, which inherit the environment."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="legoclf-tests-")
        os.environ["LEGOCLF_TESTS_SHARED"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
