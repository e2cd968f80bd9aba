"""dlib's face embedder as a torch module, and its weights from dlib's file.

Sources: dlib's example dnn_face_recognition_ex.cpp (the layout); He et al., "Deep Residual
Learning for Image Recognition", CVPR 2016, whose 34-layer network it shortens to 29
convolutions with half the filters.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facemodels.errors import DataError
from facemodels.recognition.dlib.dat_file import (
    ADD,
    AFFINE,
    CONVOLUTION,
    DENSE,
    MAX_POOL,
    MEAN_POOL,
    RELU,
    DatFile,
    Kernel,
    Layer,
)

SIZE = 150  # pixels, side of the chip
EMBEDDING_SIZE = 128
MEAN = (122.782, 117.001, 104.298)  # of red, green and blue
SCALE = 1 / 256
_STEM = 32  # channels
# Each stage: channels, whether its first block halves the plane, and the blocks after it.
_STAGES = ((32, False, 3), (64, True, 3), (128, True, 2), (256, True, 2), (256, True, 0))


class Affine(nn.Module):
    """A factor and an offset for each channel: a batch norm whose statistics are fixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, planes: Tensor) -> Tensor:
        """Scale and shift (N, C, H, W)."""
        return planes * self.weight[:, None, None] + self.bias[:, None, None]


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, channels: int, *, side: int, down: bool) -> None:
        """Make the block.

        Args:
            inputs: channels that come in.
            channels: channels that go out.
            side: pixels, side of the plane that comes in.
            down: whether the block halves the plane. Then the shortcut is a 2×2 mean pool,
                and where the two differ in channels, rows or columns the smaller one is
                filled up with zeros at its end.
        """
        super().__init__()
        stride, padding = (2, 0) if down else (1, 1)
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding)
        self.affine1 = Affine(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.affine2 = Affine(channels)
        self.pool = nn.AvgPool2d(2, 2) if down else None
        convolved, pooled = ((side - 3) // 2 + 1, side // 2) if down else (side, side)
        self.side = max(convolved, pooled)
        self.fill_convolved = _fill(self.side - convolved, 0)
        self.fill_shortcut = _fill(self.side - pooled, channels - inputs)

    def forward(self, planes: Tensor) -> Tensor:
        """(N, C, H, W) to (N, channels, side, side), not negative."""
        convolved = functional.relu(self.affine1(self.conv1(planes)))
        convolved = self.affine2(self.conv2(convolved))
        shortcut = planes if self.pool is None else self.pool(planes)
        if any(self.fill_convolved):
            convolved = functional.pad(convolved, self.fill_convolved)
        if any(self.fill_shortcut):
            shortcut = functional.pad(shortcut, self.fill_shortcut)
        return functional.relu(convolved + shortcut)


class DlibResNet(nn.Module):
    """Chips float32 (N, 3, 150, 150), (RGB - MEAN) * SCALE, to embeddings (N, 128)."""

    def __init__(self, *, unit: bool = True) -> None:
        """Make the layers.

        Args:
            unit: whether the embeddings have unit length, as everything here has. dlib's own
                descriptors do not; faces of one person are less than 0.6 apart.
        """
        super().__init__()
        self.unit = unit
        self.conv = nn.Conv2d(3, _STEM, 7, 2)
        self.affine = Affine(_STEM)
        self.pool = nn.MaxPool2d(3, 2)
        blocks: list[Residual] = []
        inputs, side = _STEM, ((SIZE - 7) // 2 + 1 - 3) // 2 + 1
        for channels, down, more in _STAGES:
            for first in [down] * down + [False] * more:
                blocks.append(Residual(inputs, channels, side=side, down=first))
                inputs, side = channels, blocks[-1].side
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Linear(inputs, EMBEDDING_SIZE, bias=False)

    def forward(self, chips: Tensor) -> Tensor:
        """Return the embeddings (N, 128)."""
        planes = self.pool(functional.relu(self.affine(self.conv(chips))))
        described: Tensor = self.dense(self.blocks(planes).mean(dim=(2, 3)))
        return functional.normalize(described) if self.unit else described


def load_dat(network: DlibResNet, dat: DatFile, where: str) -> None:
    """Take the weights from dlib's file, whose layers must be those of the network.

    Args:
        network: gets the weights.
        dat: the parsed file.
        where: its name, for messages.

    Raises:
        DataError: the file holds another network, mean or size; the message names the first
            layer that differs.
    """
    mean = tuple(round(value, 3) for value in dat.mean)
    if (mean, dat.size) != (MEAN, (SIZE, SIZE)):
        raise DataError(f"{where} takes images of {dat.size} with mean {mean}, not dlib's chip.")
    modules = list(_modules(network))
    if len(modules) != len(dat.layers):
        raise DataError(f"{where} has {len(dat.layers)} layers, the network {len(modules)}.")
    with torch.no_grad():
        for number, (module, layer) in enumerate(zip(modules, dat.layers, strict=True), start=1):
            wanted, found = _shape(module), (layer.name, layer.window, layer.weights.shape)
            if wanted != found:
                raise DataError(f"{where}, layer {number}: {found}, but the network has {wanted}.")
            _fill_module(module, layer)


def _modules(network: DlibResNet) -> Iterator[nn.Module | str]:
    """What corresponds to each layer of the file: a module, or the name of a layer without one."""
    yield from (network.conv, network.affine, RELU, network.pool)
    for block in network.blocks:
        assert isinstance(block, Residual)  # noqa: S101
        yield from (block.conv1, block.affine1, RELU, block.conv2, block.affine2)
        yield from ([block.pool] if block.pool is not None else [])
        yield from (ADD, RELU)
    yield from (MEAN_POOL, network.dense)


def _shape(module: nn.Module | str) -> tuple[str, Kernel | None, tuple[int, ...]]:
    """Name, window and shape of the weights of the layer that belongs to a module."""
    if isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        down, right = module.stride
        above, left = (int(value) for value in module.padding)
        window = Kernel((height, width), (down, right), (above, left))
        return CONVOLUTION, window, tuple(module.weight.shape)
    if isinstance(module, Affine):
        return AFFINE, None, tuple(module.weight.shape)
    if isinstance(module, nn.Linear):
        return DENSE, None, tuple(module.weight.shape)
    if isinstance(module, nn.MaxPool2d):
        return MAX_POOL, Kernel((3, 3), (2, 2), (0, 0)), (0,)
    if isinstance(module, nn.AvgPool2d):
        return MEAN_POOL, Kernel((2, 2), (2, 2), (0, 0)), (0,)
    whole_plane = Kernel((0, 0), (1, 1), (0, 0))
    return str(module), whole_plane if module == MEAN_POOL else None, (0,)


def _fill_module(module: nn.Module | str, layer: Layer) -> None:
    if isinstance(module, nn.Conv2d | Affine | nn.Linear):
        module.weight.copy_(torch.from_numpy(np.ascontiguousarray(layer.weights)))
    if isinstance(module, nn.Conv2d | Affine) and module.bias is not None:
        module.bias.copy_(torch.from_numpy(np.ascontiguousarray(layer.bias)))


def _fill(rows: int, channels: int) -> tuple[int, int, int, int, int, int]:
    """What `functional.pad` takes: zeros behind the last column, row and channel."""
    return (0, rows, 0, rows, 0, channels)
