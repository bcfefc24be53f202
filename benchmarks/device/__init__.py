"""The part of the suite that runs on the device too: Python 3.6 and NumPy."""
