"""ONNX files as external models: runtimes, detbench's own exports, and the conventions of other programs."""
