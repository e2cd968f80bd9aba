"""Images decoded and drawn by the tasks of a Ray cluster. Ray is an extra: `facemodels[ray]`.

A task whose node is lost is done again by another, as often as it takes, and so is one whose
finished result was lost with the node. The process that asked writes the images itself, in the
order of the jobs, so their bytes are those of one process.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from facemodels.data.executors import chunks, each, windowed
from facemodels.determinism import PORTABLE
from facemodels.errors import DataError, InputError
from facemodels.sealing.recording import VARIABLE

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")
_CHUNK = 16  # jobs of a task
_AHEAD = 4  # tasks under way for each processor of the cluster


class RayTasks:
    """An executor (see `facemodels.data.executors`); each node needs the same commit and data."""

    def __init__(self, address: str = "") -> None:
        """Connect to nothing yet.

        Args:
            address: of the cluster, such as `auto` or `ray://head:10001`; empty takes RAY_ADDRESS,
                a cluster that runs on this machine, or one that is started for the work.
        """
        self._address = address

    def in_order(
        self, work: Callable[[WorkT], ResultT], jobs: Iterable[WorkT], count: int
    ) -> Generator[ResultT, None, None]:
        """Do `work` on each job; see `Executor`.

        Raises:
            InputError: Ray is not installed, or there is no cluster at the address.
            DataError: the cluster is gone.
        """
        with _connected(self._address) as ray:
            task = ray.remote(num_cpus=1, max_retries=-1)(_each_there)
            sent, here = ray.put(work), str(Path.cwd())
            processors = int(ray.cluster_resources().get("CPU", 1))
            yield from windowed(
                lambda chunk: task.remote(here, sent, chunk),
                ray.get,
                chunks(jobs, _CHUNK),
                _AHEAD * max(1, processors),
            )


def _each_there(folder: str, work: Callable[[WorkT], ResultT], chunk: list[WorkT]) -> list[ResultT]:
    """Do the jobs of a chunk on a node; paths are relative to the folder of who asked."""
    os.chdir(folder)
    return each(work, chunk)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or it reports home
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "prepare.executor is ray, which is not installed.", "pip install 'facemodels[ray]'"
        ) from error
    ours = not ray.is_initialized()
    if ours:
        settled = {k: os.environ[k] for k in (*PORTABLE, VARIABLE) if k in os.environ}
        try:
            ray.init(
                address=address or None,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.WARNING,
                runtime_env={"env_vars": settled},
            )
        except (ConnectionError, ValueError) as error:
            raise InputError(
                f"there is no Ray cluster at {address or 'RAY_ADDRESS'}: {error}.",
                "Start one (`ray start --head`), or set prepare.ray_address.",
            ) from error
    try:
        yield ray
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise DataError(f"The Ray cluster is gone: {error}.", "Start it again.") from error
    finally:
        if ours:
            ray.shutdown()
