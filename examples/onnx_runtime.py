"""Derain a picture with ONNX Runtime, without torch.

$ rainkit export -m granet --format onnx
$ python examples/onnx_runtime.py granet.onnx rainy.png clean.png
"""

import sys

import numpy as np
import onnxruntime  # noqa: TID253
from PIL import Image

if len(sys.argv) != 4:
    sys.exit("usage: python examples/onnx_runtime.py MODEL.onnx RAINY CLEAN")
model, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
rainy = np.asarray(Image.open(source).convert("RGB"), np.float32) / 255
(clean,) = session.run(None, {"rainy": rainy.transpose(2, 0, 1)[None]})
pixels = (clean[0].transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)
Image.fromarray(pixels).save(target)
