"""Reads the safetensors files named on the command line with the package of that name and prints, as JSON, what is in each: the
metadata, and of every tensor its dtype, shape, the SHA-256 of its bytes (little-endian) and the sum of its elements in float64."""

import hashlib
import json
import sys

import numpy
from safetensors import safe_open

found = {}
for file in sys.argv[1:]:
    with safe_open(file, framework="numpy") as tensors:
        found[file] = {"metadata": tensors.metadata(), "tensors": {}}
        for name in tensors.keys():
            array = tensors.get_tensor(name)
            found[file]["tensors"][name] = {
                "dtype": str(array.dtype),
                "shape": list(array.shape),
                "sha256": hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).hexdigest(),
                "sum": float(array.sum(dtype=numpy.float64)),
            }
print(json.dumps(found))
