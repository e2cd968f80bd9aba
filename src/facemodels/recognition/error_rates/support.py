"""Which error rates a number of trials can show: the rule of three.

If no error is seen in n independent trials, the upper end of the 95 % interval of the error
rate is about 3 / n; a lower rate cannot be told from it. Source: Mansfield and Wayman, "Best
Practices in Testing and Reporting Performance of Biometric Devices", NPL Report CMSC 14/02,
2002, and ISO/IEC 19795-1. Trials that share a person are not independent, so the rule is the
least that must hold: an interval over people says more.
"""

from __future__ import annotations

from facemodels.errors import InputError


def least_rate(trials: int) -> float:
    """The lowest error rate, 0..1, that `trials` can show; 1 where there are too few for any."""
    return min(1.0, 3 / trials) if trials else 1.0


def is_supported(rate: float, trials: int) -> bool:
    """Whether `trials` can show an error rate of `rate`."""
    return rate * trials >= 3 * (1 - 1e-12)  # 3e-5 of 100,000 trials must pass


def require_supported(rate: float, trials: int, name: str) -> None:
    """Check that a rate is in 0..1 and that the trials can show it.

    Args:
        rate: the error rate, for example an FMR.
        trials: how many trials there were, for example impostor pairs.
        name: of the rate, with the kind of its trials, for the message.

    Raises:
        InputError: the rate is out of range or too low for so few trials.
    """
    if not 0 <= rate <= 1:
        raise InputError(f"{name} of {rate} is not in 0..1.")
    if not is_supported(rate, trials):
        raise InputError(
            f"{name} of {rate:g} cannot be shown by {trials} trials: by the rule of three "
            f"they reach down to {least_rate(trials):.2g}.",
            "Ask for a higher rate, or evaluate on more people.",
        )
