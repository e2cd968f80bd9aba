"""All pairs of very many faces, counted: pairs a second of one process, and its memory.

python -m benchmarks.all_pairs [--faces 100000] [--size 128] [--seconds 60]

The faces are drawn and do not have to be compared to the end: after `--seconds` the rate of the
pairs that were compared is given, and the time that all of 1,000,000 would take at that rate.
"""

from __future__ import annotations

import argparse
import resource
import time
from contextlib import suppress

import numpy as np

from facemodels.recognition.error_rates.score_counts import count_scores

_EACH = 10  # faces of a person


class _Over(Exception):  # noqa: N818  (no error)
    """The time is over."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((given.faces, given.size), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    compared, start, cpu = 0, time.perf_counter(), time.process_time()

    def advance(pairs: int) -> None:
        nonlocal compared
        compared += pairs
        if time.perf_counter() - start > given.seconds:
            raise _Over

    with suppress(_Over):
        count_scores(vectors, np.arange(given.faces) // _EACH, advance=advance)
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole = given.faces * (given.faces - 1) / 2
    hours = 1e6 * (1e6 - 1) / 2 / (compared / used) / 3600
    print(
        f"{given.faces} faces of {given.size} numbers: "
        f"{compared / whole:.0%} of {whole:.3g} pairs, {wall:.0f} s, "
        f"{compared / used / 1e6:.0f} million pairs a CPU second, "
        f"{most / 1e3:.0f} MB, of which {before / 1e3:.0f} before; "
        f"a million faces take {hours:.1f} CPU hours"
    )


if __name__ == "__main__":
    main()
