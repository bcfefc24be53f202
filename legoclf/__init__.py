"""legoclf: from a folder of photos to a classifier at camera rate on a Jetson Nano."""

import os

# ONNX Runtime from 1.31 on would keep a database in the home folder and report to its maker, unless this is
# set before it is imported. What a user classifies is nobody's business.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
