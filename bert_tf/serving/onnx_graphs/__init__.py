"""Changes of ONNX graphs; they need the package `onnx`, so formats import them when they write."""
