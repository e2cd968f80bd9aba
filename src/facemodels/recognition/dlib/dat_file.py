"""Reading the file of dlib's face embedder without dlib.

Source of the format: dlib's `serialize` functions (dlib/serialize.h, dlib/dnn/layers.h,
dlib/dnn/core.h, dlib/cuda/gpu_data.h), release 19 and later. Its parts:

    integer  one byte of length, with 0x80 set for a negative one, and that many bytes,
             least significant first
    number   mantissa and exponent, two integers: mantissa * 2**exponent
    text     its length as an integer, then the bytes
    flag     the character 0 or 1
    tensor   the integer 2, four dimensions, then float32, least significant byte first
    alias    the integer 1, four dimensions: a view of a part of a tensor

The file is the loss layer with its margin and threshold, a version of the format for each
layer of the network, the input with its mean and its size, and then the layers from the input
to the last. Behind each layer stand three flags and three tensors that are empty in a file
that was cleaned (`net.clean()`) before it was written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError

LOSS, INPUT = "loss_metric_2", "input_rgb_image_sized"
CONVOLUTION, AFFINE, DENSE = "con_4", "affine_", "fc_2"
MAX_POOL, MEAN_POOL = "max_pool_2", "avg_pool_2"
RELU, ADD = "relu_", "add_prev_"
_NO_BIAS = 1
_NO_TENSOR = (0, 0, 0, 0)
_LONGEST_INTEGER = 8  # bytes
_LONGEST_NAME = 64  # bytes


@dataclass(frozen=True)
class Kernel:
    """What a convolution or a pool sees: (rows, columns) each, 0 for the whole plane."""

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of the file.

    Attributes:
        name: dlib's name of the kind of layer, with its version.
        window: of a convolution or a pool.
        weights: float32; (outputs, inputs, rows, columns) of a convolution, (channels,) of an
            affine layer, (outputs, inputs) of a dense one, empty for the others.
        bias: float32 (outputs,) of a convolution or an affine layer, empty for the others.
    """

    name: str
    window: Kernel | None
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DatFile:
    """What the file holds.

    Attributes:
        mean: of red, green and blue, which is taken from the pixels before they are divided
            by 256.
        size: pixels, rows and columns of the input.
        threshold: Euclidean distance of two descriptors, below which dlib trained them to be
            of one person.
        layers: from the input to the last.
    """

    mean: tuple[float, float, float]
    size: tuple[int, int]
    threshold: float
    layers: tuple[Layer, ...]


def read(path: Path) -> DatFile:
    """Read the file of a network for faces as dlib wrote it.

    Raises:
        DataError: the file cannot be read, is cut short, goes on after the last layer, or
            differs from the format; the message names the place in the file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    return parse(content, str(path))


def parse(content: bytes, where: str) -> DatFile:
    """Parse the bytes of the file; see `read`.

    Args:
        content: all bytes of the file.
        where: its name, for messages.
    """
    reader = _Reader(content, where)
    reader.expect(reader.integer(), 1, "the version of the loss")
    reader.expect(reader.text(), LOSS, "the loss layer")
    reader.number()  # margin, used by training alone
    threshold = reader.number()
    while not reader.is_at(INPUT):
        version = reader.integer()
        if version not in (1, 2, 3):
            raise reader.error(f"a layer of version {version}")
    reader.text()
    red, green, blue = (reader.number() for _ in range(3))
    size = reader.integer(), reader.integer()
    layers = []
    while not reader.is_at_end():
        layers.append(_layer(reader))
        if len(layers) == 1:
            reader.expect(reader.integer(), 1, "the samples that an image gives")
    return DatFile((red, green, blue), size, threshold, tuple(layers))


class _Reader:
    """Reads dlib's primitive values one after the other."""

    def __init__(self, content: bytes, where: str) -> None:
        self.content, self.where, self.position = content, where, 0

    def error(self, what: str) -> DataError:
        return DataError(
            f"{self.where} has {what} at byte {self.position}, which is not the format of "
            "dlib's face embedder.",
            "Take dlib_face_recognition_resnet_model_v1.dat as dlib.net publishes it.",
        )

    def expect(self, found: object, wanted: object, what: str) -> None:
        if found != wanted:
            raise self.error(f"{found!r} and not {wanted!r} for {what}")

    def is_at_end(self) -> bool:
        return self.position == len(self.content)

    def is_at(self, name: str) -> bool:
        encoded = bytes([1, len(name)]) + name.encode()
        return self.content.startswith(encoded, self.position)

    def take(self, count: int) -> bytes:
        if count > len(self.content) - self.position:
            raise self.error(f"{len(self.content) - self.position} bytes left of {count}")
        taken = self.content[self.position : self.position + count]
        self.position += count
        return taken

    def integer(self) -> int:
        (control,) = self.take(1)
        length = control & 0x7F
        if not 1 <= length <= _LONGEST_INTEGER:
            raise self.error(f"an integer of {length} bytes")
        value = int.from_bytes(self.take(length), "little")
        return -value if control & 0x80 else value

    def number(self) -> float:
        mantissa, exponent = self.integer(), self.integer()
        if not -1074 <= exponent <= 960:
            raise self.error(f"the exponent {exponent}")
        return math.ldexp(mantissa, exponent)

    def text(self) -> str:
        length = self.integer()
        if not 0 <= length <= _LONGEST_NAME:
            raise self.error(f"a name of {length} bytes")
        return self.take(length).decode("ascii", "replace")

    def flags(self, count: int) -> None:
        for flag in self.take(count):
            if flag not in b"01":
                raise self.error(f"the flag {flag}")

    def dimensions(self) -> tuple[int, ...]:
        found = tuple(self.integer() for _ in range(4))
        if min(found) < 0:
            raise self.error(f"the shape {found}")
        return found

    def tensor(self) -> NDArray[np.float32]:
        """One dimension; its place in the layer gives it its shape."""
        self.expect(self.integer(), 2, "the version of a tensor")
        values = np.frombuffer(self.take(4 * math.prod(self.dimensions())), "<f4")
        if not np.isfinite(values).all():
            raise self.error("a weight that is no finite number")
        return values.astype(np.float32)

    def alias(self, *shape: int) -> None:
        self.expect(self.integer(), 1, "the version of an alias")
        self.expect(self.dimensions(), shape, "the shape of a part of the weights")

    def multipliers(self) -> None:
        """How fast training moves and decays weights and bias."""
        for _ in range(4):
            self.number()

    def window(self) -> Kernel:
        values = [self.integer() for _ in range(6)]
        if min(values) < 0:
            raise self.error(f"the window {values}")
        rows, columns, down, right, above, left = values
        return Kernel((rows, columns), (down, right), (above, left))


def _layer(reader: _Reader) -> Layer:
    name = reader.text()
    if name == CONVOLUTION:
        layer = _convolution(reader)
    elif name == AFFINE:
        layer = _affine(reader)
    elif name == DENSE:
        layer = _dense(reader)
    elif name in (MAX_POOL, MEAN_POOL):
        layer = Layer(name, reader.window(), *_none())
    elif name in (RELU, ADD):
        layer = Layer(name, None, *_none())
    else:
        raise reader.error(f"a layer {name!r}")
    reader.flags(3)
    for _ in range(3):
        reader.expect(len(reader.tensor()), 0, "the values of a tensor that training uses")
    return layer


def _convolution(reader: _Reader) -> Layer:
    values = reader.tensor()
    outputs = reader.integer()
    window = reader.window()
    inputs, rest = divmod(len(values) - outputs, max(1, outputs * math.prod(window.size)))
    if outputs < 1 or inputs < 1 or rest:
        raise reader.error(f"{len(values)} weights for {outputs} filters of {window.size}")
    shape = (outputs, inputs, *window.size)
    reader.alias(*shape)
    reader.alias(1, outputs, 1, 1)
    reader.multipliers()
    weights, bias = values[:-outputs].reshape(shape), values[-outputs:]
    return Layer(CONVOLUTION, window, weights, bias)


def _affine(reader: _Reader) -> Layer:
    values = reader.tensor()
    channels = len(values) // 2
    reader.alias(1, channels, 1, 1)
    reader.alias(1, channels, 1, 1)
    reader.expect(reader.integer(), 0, "the mode of an affine layer behind convolutions")
    reader.expect(2 * channels, len(values), "the number of its weights")
    return Layer(AFFINE, None, values[:channels], values[channels:])


def _dense(reader: _Reader) -> Layer:
    outputs, inputs = reader.integer(), reader.integer()
    values = reader.tensor()
    reader.alias(inputs, outputs, 1, 1)
    reader.alias(*_NO_TENSOR)
    reader.expect(reader.integer(), _NO_BIAS, "the mode of the bias")
    reader.multipliers()
    reader.expect(len(values), inputs * outputs, "the number of weights of the last layer")
    return Layer(DENSE, None, values.reshape(inputs, outputs).T.copy(), _none()[1])


def _none() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return np.empty(0, np.float32), np.empty(0, np.float32)
