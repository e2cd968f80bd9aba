"""Confidence intervals of shares, without SciPy, which servers do not load. Pure."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(part: float, whole: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Source: "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    It keeps its confidence for shares near 0 and 1, where the normal approximation does not. Of a
    mean of scores between 0 and 1 it is too wide rather than too narrow: no such scores vary more
    than those that are 0 or 1.

    Args:
        part: the sum, 0 to `whole`.
        whole: the number, above 0.
        confidence: of the interval, 0 < confidence < 1.

    Returns:
        The lower and the upper end, 0 to 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, square = part / whole, z**2 / whole
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / whole + square / (4 * whole)) / (1 + square)
    # The ends are exact where nothing, or all, is of the share.
    return (middle - half if part > 0 else 0.0), (middle + half if part < whole else 1.0)
