"""What processes send to each other in a step, in our order of sums and in DDP's.

python -m benchmarks.exchange [--processes 2 4 8] [--million 11] [--rounds N]

Each process has one micro-batch, whose gradient is there already. `ordered` is what a step of
ours then does between processes of a launcher: parts of gradients to those who add them up by
the tree, sums to all. `ddp` is the sum of the same numbers as torch's DistributedDataParallel
makes it, by `all_reduce` of gloo in buckets of 25 MB. Both take turns in the same processes on
loopback; a row is the median of the rounds, as the first process sees them.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

BUCKET = 25 * 2**20 // 4  # numbers; DDP's default


def serve(numbers: int, rounds: int) -> None:
    """Be one process of the group; that of rank 0 prints the seconds of every round."""
    import torch
    from torch import distributed

    from facemodels.training.flat import FlatLayout
    from facemodels.training.launch import launched
    from facemodels.training.process_group import ProcessGroupTeam
    from facemodels.training.tree_sum import tree_sum

    torch.set_num_threads(1)
    with launched() as process:
        size = distributed.get_world_size()
        team = ProcessGroupTeam(micro_batches=size)
        layout = FlatLayout([torch.empty(-(-numbers // 64)) for _ in range(64)])
        runs = [layout.span(run) for run in layout.runs(size)]
        slots, total = torch.zeros(size, layout.size), torch.zeros(layout.size)
        buckets = list(torch.zeros(layout.size).split(BUCKET))  # type: ignore[no-untyped-call]

        def ordered() -> None:
            team.share([[slot[run] for run in runs] for slot in slots], lambda _: None, parted=True)
            team.share(
                [[total[run]] for run in runs],
                lambda index: tree_sum([slot[runs[index]] for slot in slots], total[runs[index]]),
            )

        def ddp() -> None:
            sums = [distributed.all_reduce(bucket, async_op=True) for bucket in buckets]
            for work in sums:
                work.wait()
            for bucket in buckets:
                bucket.div_(size)

        times = [[_seconds(one) for one in (ordered, ddp)] for _ in range(rounds + 1)]
        if process.leads:
            print(json.dumps(times[1:]))  # the first one connects


def _seconds(work: Callable[[], None]) -> float:
    from torch import distributed

    distributed.barrier()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(processes: int, million: float, rounds: int) -> dict[str, object]:
    """Milliseconds of both among so many processes, and the bytes that one of them sends."""
    numbers = int(million * 1e6)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    call = [sys.executable, "-m", "benchmarks.exchange", "--serve", str(numbers), str(rounds)]
    members = [
        subprocess.Popen(
            call,
            env={**os.environ, **common, "RANK": str(rank)},
            stdout=subprocess.PIPE if rank == 0 else None,
            text=True,
        )
        for rank in range(processes)
    ]
    answer, _ = members[0].communicate()
    if any(member.wait() for member in members):
        raise SystemExit(f"A process of {processes} failed.")
    ours, ddp = zip(*json.loads(answer), strict=True)
    return {
        "processes": processes,
        "MB sent a process": 8e-6 * numbers * (processes - 1) / processes,
        "ordered ms": 1e3 * statistics.median(ours),
        "ddp ms": 1e3 * statistics.median(ddp),
        "ordered/ddp": statistics.median(a / b for a, b in zip(ours, ddp, strict=True)),
    }


def main() -> None:
    """Print one row a number of processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--million", type=float, default=11.0, help="parameters of the network")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(*given.serve)
        return
    from facemodels.text import markdown

    print(markdown([measure(one, given.million, given.rounds) for one in given.processes]))


if __name__ == "__main__":
    main()
