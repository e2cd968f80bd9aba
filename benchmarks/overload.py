"""What becomes of one version that is asked for ten times what it can do.

python -m benchmarks.overload [--seconds 300]

A model that computes some 100 ms a row, one server, a real controller and router. First as many
clients as fill the server's batches find how much it does, which is its capacity; then more
clients keep a pace that would offer a multiple of it. Clients, router and server share the
machine. An answer 503 says that the server is overloaded, and counts neither as goodput nor as a
failure; every other answer but 200 is a failure.

offered   requests a second, and their ratio to the capacity
goodput   answers a second, and their ratio to the capacity; the goal is 0.8
kills     servers that the controller started anew; the goal is none
health    the longest answer of the server to a request for its health; the goal is 100 ms
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from tests.functional.deployment.overload import MODEL, overload
from tests.functional.deployment.site import EnvironmentSite

from facemodels.text import markdown


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--clients", type=int, default=128)
    parser.add_argument("--times", type=float, default=12.0, help="of the capacity")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HOME"] = scratch
        for key, value in (("user.name", "Benchmark"), ("user.email", "b@example.org")):
            subprocess.run(("git", "config", "--global", key, value), check=True)
        site = EnvironmentSite.make(Path(scratch))
        site.in_production(MODEL, "slow")
        env = site.up()
        try:
            env.wait_for(v1_0_0=100)
            seen = overload(
                env, clients=options.clients, seconds=options.seconds, measure_s=15.0,
                times=options.times,
            )  # fmt: skip
        finally:
            env.end()
    print(
        markdown(
            [
                {"what": "capacity", "value": f"{seen.capacity:.1f} a second"},
                {
                    "what": "offered",
                    "value": f"{seen.offered:.1f} a second, {seen.offered / seen.capacity:.1f} x",
                },
                {
                    "what": "goodput",
                    "value": f"{seen.goodput:.1f} a second, {seen.goodput / seen.capacity:.2f} x",
                },
                {"what": "failed", "value": f"{seen.failed}"},
                {"what": "kills", "value": f"{seen.kills}"},
                {"what": "health, slowest", "value": f"{1000 * seen.health_s:.0f} ms"},
            ]
        )
    )


if __name__ == "__main__":
    main()
