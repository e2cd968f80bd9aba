"""dlib's 29-layer residual network with batch norms: the fastest to train on a CPU.

Sources: the layout is that of dlib's example dnn_face_recognition_ex.cpp, which shortens
the network of He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, and
halves its filters. Shortcuts that shrink are a mean pool and a 1x1 convolution (He et al.,
"Bag of Tricks for Image Classification", CVPR 2019), where dlib pads with zeros.

Its plain convolutions take a quarter of the time of MobileFaceNet's depthwise ones on a CPU,
though it has four times the parameters (docs/results.md).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

_STEM = 32  # channels
# Each stage: channels, stride of its first block, blocks.
_STAGES = ((32, 1, 3), (64, 2, 4), (128, 2, 3), (256, 2, 3))


class ResNet29(nn.Module):
    """A batch float32 (N, 3, S, S) to embeddings (N, D)."""

    def __init__(self, embedding_size: int, *, unit: bool) -> None:
        """Make the layers.

        Args:
            embedding_size: D; dlib's is 128.
            unit: whether embeddings have the length 1.
        """
        super().__init__()
        self.unit = unit
        self.stem = nn.Sequential(
            nn.Conv2d(3, _STEM, 7, 2, 3, bias=False),
            nn.BatchNorm2d(_STEM),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        blocks: list[nn.Module] = []
        channels = _STEM
        for width, stride, repetitions in _STAGES:
            for repetition in range(repetitions):
                step = stride if repetition == 0 else 1
                blocks.append(ResidualBlock(channels, width, stride=step))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Linear(channels, embedding_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (N, D) of images (N, 3, S, S)."""
        features: Tensor = self.dense(self.blocks(self.stem(images)).mean(dim=(2, 3)))
        return functional.normalize(features) if self.unit else features


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(2, 2, ceil_mode=True),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (N, outputs, S / stride, S / stride), not negative."""
        return functional.relu(self.convolutions(x) + self.shortcut(x))
