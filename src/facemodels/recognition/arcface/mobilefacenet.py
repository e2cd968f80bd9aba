"""MobileFaceNet, a network of a million parameters for faces.

Source: Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face
Verification on Mobile Devices", CCBR 2018, table 1. Neither torchvision nor timm has it.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

# Table 1: expansion, output channels, repetitions, stride of the first.
_BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
_STRIDE = 16  # pixels of the input that become one cell of the last map


class MobileFaceNet(nn.Module):
    """A batch float32 (N, 3, S, S) to embeddings (N, D)."""

    def __init__(self, image_size: int, embedding_size: int, *, unit: bool) -> None:
        """Make the layers.

        Args:
            image_size: S, pixels, a multiple of 16; the paper's is 112.
            embedding_size: D; the paper's is 128.
            unit: whether embeddings have the length 1.
        """
        super().__init__()
        self.unit = unit
        last_map = image_size // _STRIDE
        self.stem = nn.Sequential(
            *_convolution(3, 64, 3, stride=2), *_convolution(64, 64, 3, groups=64)
        )
        blocks: list[nn.Module] = []
        channels = 64
        for expansion, width, repetitions, stride in _BOTTLENECKS:
            for repetition in range(repetitions):
                step = stride if repetition == 0 else 1
                blocks.append(Bottleneck(channels, width, expansion=expansion, stride=step))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            *_convolution(channels, 512, 1),
            # One weight for each cell of a channel: the middle of a face counts more than its
            # edge, which an average would not know (section 3.1 of the paper).
            nn.Conv2d(512, 512, last_map, groups=512, bias=False),
            nn.BatchNorm2d(512),
            nn.Conv2d(512, embedding_size, 1, bias=False),
            nn.Flatten(),
            nn.BatchNorm1d(embedding_size),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (N, D) of images (N, 3, S, S)."""
        features: Tensor = self.head(self.blocks(self.stem(images)))
        return functional.normalize(features) if self.unit else features


class Bottleneck(nn.Module):
    """MobileNetV2's inverted residual with PReLU; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.layers = nn.Sequential(
            *_convolution(inputs, width, 1),
            *_convolution(width, width, 3, stride=stride, groups=width),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (N, outputs, S / stride, S / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


def _convolution(
    inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.PReLU(outputs),
    ]
