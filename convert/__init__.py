"""Conversion: frozen graph, SavedModel, ONNX."""
