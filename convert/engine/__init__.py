"""Building TensorRT engines, on the device that will run them: Python 3.6, NumPy, TensorRT."""
