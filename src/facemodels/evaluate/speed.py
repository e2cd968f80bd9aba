"""Latency, throughput and memory of a package in each of its runtimes."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.determinism import as_served
from facemodels.errors import FacemodelsError
from facemodels.evaluate.timed_image import timed_image
from facemodels.models import predict
from facemodels.package.load import Package
from facemodels.package.verify import ONNX
from facemodels.progress import Advance
from facemodels.runtime import PRECISION, Runtime

Images = list[NDArray[np.uint8]]
# Pixels of the side of the test image.
_SIZE = {"detection": 320, "recognition": 112, "landmarks": 160, "system": 320}


def workload(task: str, predictor: Any) -> Callable[[int], Any]:
    """Return a function that predicts `n` times the image of `timed_image`.

    It runs all of the model: decoding is left out; resizing and post-processing are in.
    """
    image = timed_image(_SIZE[task])
    return lambda n: predict(task, predictor, [image] * n)


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 in milliseconds."""
    p50, p95, p99 = np.percentile(np.asarray(seconds) * 1e3, [50, 95, 99])
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99)}


def time_runs(run: Callable[[int], Any], *, warmup: int, runs: int, batch: int) -> list[float]:
    """Return the seconds of each of `runs` calls, after `warmup` calls that are not counted."""
    for _ in range(warmup):
        run(batch)
    return [_timed(run, batch) for _ in range(runs)]


def time_interleaved(
    one: Callable[[int], Any], other: Callable[[int], Any], *, warmup: int, runs: int
) -> tuple[list[float], list[float]]:
    """Time single-image calls of two models in turn, so that both meet the same noise."""
    for _ in range(warmup):
        one(1)
        other(1)
    pairs = [(_timed(one, 1), _timed(other, 1)) for _ in range(runs)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _timed(run: Callable[[int], Any], batch: int) -> float:
    start = time.perf_counter()
    run(batch)
    return time.perf_counter() - start


def measure(
    package: Package,
    runtimes: Sequence[Runtime],
    *,
    threads: int,
    warmup: int,
    runs: int,
    batch_sizes: Sequence[int],
    advance: Advance,
) -> dict[str, Any]:
    """Measure runtimes of a package, each in a process of its own.

    Args:
        package: what is measured.
        runtimes: some of the package's; the first is the one that it is served by.
        threads: of the runtime.
        warmup: runs that are not counted.
        runs: runs that are.
        batch_sizes: numbers of images in a run; each is timed.
        advance: is told each runtime that was measured.

    Returns:
        Machine, settings and, by runtime: p50/p95/p99 of one image in ms, images a second
        by batch size, load time in ms, peak resident memory in MB, and file size in MB; of a
        system also the time of each step of a photo, see `system.steps`.
    """
    results: dict[str, Any] = {}
    settings = {"threads": threads, "warmup": warmup, "runs": runs}
    for runtime in runtimes:
        results[runtime] = _in_child(package, runtime, **settings, batch_sizes=batch_sizes)
        advance(1)
    served = results[runtimes[0]]
    return {
        "model": str(package.id),
        "package_digest": package.digest,
        "machine": machine(),
        "settings": {**settings, "precision": package.config.get("precision", PRECISION)},
        "served": {k: v for k, v in served.items() if isinstance(v, float)},
        "runtimes": results,
    }


def measure_served(package: Package, *, threads: int, warmup: int, runs: int) -> dict[str, Any]:
    """Measure the served form alone, with single images; see `measure`."""
    served = package.runtimes[0]
    settings = {"threads": threads, "warmup": warmup, "runs": runs}
    return _in_child(package, served, **settings, batch_sizes=[1])


def file_size_mb(package: Package, runtime: Runtime) -> float:
    """Return the size of the file or files that a runtime loads, in units of 10^6 bytes."""
    if runtime == "members":
        members = package.members.values()
        return sum(file_size_mb(member, member.runtimes[0]) for member in members)
    if runtime == "graphs":
        return sum(path.stat().st_size for path in package.graphs.values()) / 1e6
    name = ONNX if runtime == "onnx" else package.config["weights"]
    return (package.folder / name).stat().st_size / 1e6


def machine() -> dict[str, Any]:
    """Describe the machine that a time was measured on."""
    import psutil

    return {
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count() or 0,
        "python": platform.python_version(),
        "gpu": _gpu_name(),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu_name() -> str | None:
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    except pynvml.NVMLError:
        return None
    return str(pynvml.nvmlDeviceGetName(handle))


def _in_child(package: Package, runtime: Runtime, **settings: Any) -> dict[str, Any]:
    """Measure in a fresh process, so that peak memory and load time are this runtime's alone."""
    job = {"folder": str(package.folder), "runtime": runtime, **settings}
    done = subprocess.run(
        [sys.executable, "-m", "facemodels.evaluate.speed_child"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        env=as_served(os.environ),
    )
    if done.returncode != 0:
        raise FacemodelsError(
            f"the process that measures {package.id} on {runtime} died:\n{done.stderr}"
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_child(package: Package, runtime: Runtime, job: dict[str, Any]) -> dict[str, Any]:
    """Measure one runtime, in the process that is measured."""
    import psutil

    process = psutil.Process()
    before = process.memory_info().rss
    start = time.perf_counter()
    predictor = package.predictor(runtime, threads=job["threads"])
    run = workload(package.task, predictor)
    run(1)
    load_ms = (time.perf_counter() - start) * 1e3
    singles = time_runs(run, warmup=job["warmup"], runs=job["runs"], batch=1)
    throughput = {}
    for batch in job["batch_sizes"]:
        runs = max(3, job["runs"] // (2 * batch))
        seconds = time_runs(run, warmup=1, runs=runs, batch=batch)
        throughput[str(batch)] = batch / float(np.median(seconds))
    return {
        **percentiles(singles),
        **_steps(package.task, predictor, job["runs"]),
        "images_per_second": max(throughput.values()),
        "images_per_second_by_batch": throughput,
        "load_ms": load_ms,
        "peak_rss_mb": _peak_rss_mb(),
        "rss_before_load_mb": before / 1e6,
        "file_size_mb": file_size_mb(package, runtime),
        **_gpu_use(),
    }


def _steps(task: str, predictor: Any, runs: int) -> dict[str, Any]:
    """Return the time of each step of a photo in ms, of a system."""
    if task != "system":
        return {}
    from facemodels.system.steps import step_times

    return {"steps_ms": step_times(predictor, [timed_image(_SIZE[task])] * runs)}


def _peak_rss_mb() -> float:
    """Return the peak of this program's resident memory.

    Linux's `ru_maxrss` does not do: it starts at the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _gpu_use() -> dict[str, float]:
    """Return memory and utilisation of the first GPU; nothing where there is none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
    except pynvml.NVMLError:
        return {}
    return {
        "gpu_memory_mb": float(memory.used) / 1e6,
        "gpu_utilisation_percent": float(rates.gpu),
    }
