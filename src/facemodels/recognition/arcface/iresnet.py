"""Improved residual networks with the names of InsightFace's checkpoints.

Sources: Duta et al., "Improved Residual Networks for Image and Video Recognition", ICPR
2020; the form for faces is section 3.2.2 of Deng et al., "ArcFace", CVPR 2019, as
InsightFace's arcface_torch has it: no pooling, a fully connected layer over the last map.
torchvision and timm have the ResNets of He et al. and none of these.

The state dict has arcface_torch's names, so that its checkpoints load.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

LAYERS = {"iresnet18": (2, 2, 2, 2), "iresnet50": (3, 4, 14, 3)}
_WIDTHS = (64, 128, 256, 512)
_STRIDE = 16  # pixels of the input that become one cell of the last map


class IResNet(nn.Module):
    """A batch float32 (N, 3, S, S) to embeddings (N, D)."""

    def __init__(
        self,
        layers: tuple[int, ...],
        image_size: int,
        embedding_size: int,
        *,
        dropout: float,
        unit: bool,
    ) -> None:
        """Make the layers.

        Args:
            layers: blocks of each of the four stages; see `LAYERS`.
            image_size: S, pixels, a multiple of 16; InsightFace's is 112.
            embedding_size: D; InsightFace's is 512.
            dropout: share of the last map's cells, 0..1.
            unit: whether embeddings have the length 1.
        """
        super().__init__()
        self.unit = unit
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        channels = 64
        stages = []
        for blocks, width in zip(layers, _WIDTHS, strict=True):
            rest = [Block(width, width, stride=1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(Block(channels, width, stride=2), *rest))
            channels = width
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels * (image_size // _STRIDE) ** 2, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size)
        nn.init.ones_(self.features.weight)
        self.features.weight.requires_grad = False
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.1)

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (N, D) of images (N, 3, S, S)."""
        x = self.prelu(self.bn1(self.conv1(images)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        embeddings: Tensor = self.features(self.fc(self.dropout(self.bn2(x)).flatten(1)))
        return functional.normalize(embeddings) if self.unit else embeddings


class Block(nn.Module):
    """Two 3x3 convolutions, each between batch norms, around a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (N, outputs, S / stride, S / stride)."""
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        y = self.bn3(self.conv2(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        output: Tensor = y + shortcut
        return output
