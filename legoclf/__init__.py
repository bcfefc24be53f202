"""legoclf: from a folder of photos to a classifier at camera rate on a Jetson Nano."""

__version__ = "0.1.0"
