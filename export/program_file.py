"""An integer program as a QONNX file, and back: `model.lowered.onnx`.

The file is the same computation on real values, each an integer times a power-of-two step, channels last, and qonnx
executes it. Only what `write` writes can be read: other graphs are lowered first. Tensors are float32, or float64 where
integers or partial sums need more than float32's 24 bits.

| operation | nodes |
|---|---|
| `Input`, `Requantize` | `Quant`, or `BipolarQuant` |
| `Dense` | `MatMul` [`Add`] of quantised weights |
| `Conv2d`, `DepthwiseConv2d`, `MaxPool2d` | `Conv`, `MaxPool` of qonnx's channels-last domain |
| `MultiplyAdd` | `Cast` to double, `Mul`, `Add`, `Quant`: a product may need more than float32's 24 bits |
| `Affine` | `Cast` to double, `Mul` and `Add` of whole numbers, `Mul` by the step [`Cast`] |
| `Threshold` | [`Mul` by +1 and -1] `MultiThreshold` [`Cast`] |
| `Table` | `Mul`, `Sub`, `Cast` to whole numbers, `Gather`, and `Quant` or `BipolarQuant` |
| `Add`, `Multiply`, `Concat` | [`Cast`s] `Add`, `Mul`, `Concat` [`Cast`] |
| `Flatten`, `Reshape`, `Transpose` | of the same name |
| `Upsample` | `Resize` |
| `Dense`, `Conv2d`, `DepthwiseConv2d` on float64 | as `program_file_linear` says: `MatMul` of gathered windows |
| `MaxPool2d` on float64 | `Transpose`, `MaxPool`, `Transpose` |
| `Upsample` on float64 | `Gather` of rows, `Gather` of columns |
"""

from bitwright.export.program_file_read import read
from bitwright.export.program_file_write import write

__all__ = ["read", "write"]
