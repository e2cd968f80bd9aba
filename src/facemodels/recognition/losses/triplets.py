"""The triplet loss: crops of one person together, others apart by a margin.

Source: Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering",
CVPR 2015.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from facemodels.recognition.losses.settings import TripletSettings


class TripletHead(nn.Module):
    """The semi-hard triplets of a batch; it has no weights of its own."""

    def __init__(self, settings: TripletSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the mean loss of features (N, D) of people (N,)."""
        embeddings = functional.normalize(features, p=2, dim=1)
        return semi_hard_triplet_loss(embeddings, classes, self.settings.margin)


def semi_hard_triplet_loss(embeddings: Tensor, identities: Tensor, margin: float) -> Tensor:
    """Triplet loss of unit embeddings (N, D), mined by pytorch-metric-learning.

    Semi-hard (Schroff et al., section 3.2): negatives farther than the positive, but
    within the margin. A batch without any such triplet has no loss. The distance is not
    squared: its gradient does not vanish where embeddings have almost met.
    """
    from pytorch_metric_learning import distances, losses, miners

    distance = distances.LpDistance(normalize_embeddings=False, p=2)
    miner = miners.TripletMarginMiner(margin, type_of_triplets="semihard", distance=distance)
    measure = losses.TripletMarginLoss(margin, distance=distance)
    value: Tensor = measure(embeddings, identities, miner(embeddings, identities))
    return value
