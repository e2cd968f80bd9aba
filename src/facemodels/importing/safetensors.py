"""Reads a `.safetensors` file: named tensors, and nothing that could run.

The format: https://huggingface.co/docs/safetensors. 8 bytes, the length of the header (unsigned,
little-endian); the header, JSON: for each tensor its `dtype`, `shape` and `data_offsets` into what
follows; the bytes of the tensors.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import InputError

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U8": "u1", "BOOL": "?",
}  # fmt: skip
_BRAIN_FLOAT = "BF16"  # the upper half of a float32
_MOST_HEADER = 100_000_000  # bytes, as the format's own library has it


def tensors(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Read all tensors.

    Args:
        data: the bytes of the file.
        name: the file's name, for messages.

    Raises:
        InputError: the bytes are no such file, or one that contradicts itself.
    """
    try:
        header, start = _header(data)
        return {
            key: _tensor(value, memoryview(data)[start:])
            for key, value in header.items()
            if key != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, struct.error, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(f"{name} is no safetensors file: {reason}.", "Save it again.") from error


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    (length,) = struct.unpack_from("<Q", data)
    if length > min(len(data) - 8, _MOST_HEADER):
        raise ValueError("its header is cut short")
    header = json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise TypeError("its header is no mapping")
    return header, 8 + length


def _tensor(described: Any, data: memoryview) -> NDArray[Any]:
    kind, shape = described["dtype"], tuple(described["shape"])
    begin, end = described["data_offsets"]
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)) or end > len(data):
        raise ValueError("a tensor lies outside of the file")
    stored = "<u2" if kind == _BRAIN_FLOAT else _TYPES[kind]
    if begin + math.prod(shape) * np.dtype(stored).itemsize != end:
        raise ValueError("a tensor has another size than its shape")
    values = np.frombuffer(data[begin:end], stored).reshape(shape)
    if kind == _BRAIN_FLOAT:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.copy()
