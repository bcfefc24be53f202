"""The device side: what runs on a Jetson under Python 3.6."""
