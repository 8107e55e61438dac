"""Network to QONNX, QONNX to an integer program, and the program's executor. Only the torch_* modules import torch."""
