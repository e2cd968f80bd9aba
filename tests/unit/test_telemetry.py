"""Libraries that report their use to a vendor are told not to, in every process of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.traced import outside, plain_environment, traced


def test_opening_a_graph_leaves_nothing_of_the_vendor_in_the_home_folder(tmp_path: Path) -> None:
    path, home = tmp_path / "graph.onnx", tmp_path / "home"
    home.mkdir()
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    script = (
        "from pathlib import Path; from facemodels.runtime import open_graph; "
        f"open_graph(Path({str(path)!r}), threads=1)"
    )
    clean = {key: text for key, text in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}
    subprocess.run([sys.executable, "-c", script], env={**clean, "HOME": str(home)}, check=True)
    assert sorted(home.rglob("*")) == []


_WORK = """
import sys
from facemodels.detection.yolov8.network import build
import dvc.repo, dvclive, gto.api, hydra, onnxruntime
from dvc.analytics import is_enabled
build()
assert not is_enabled()
from pathlib import Path
from facemodels.package.load import open_package
open_package(Path(sys.argv[1])).predictor()
from facemodels.serving.server import serve_package
import iterative_telemetry
assert not iterative_telemetry.IterativeTelemetryLogger("t", "1", "", "").is_enabled()
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_library_of_ours_speaks_to_anything_beyond_this_machine(tmp_path: Path) -> None:
    golden = Path(__file__).resolve().parents[1] / "golden/dlib-v1.0.0"
    trace = tmp_path / "trace"
    subprocess.run(
        traced([sys.executable, "-c", _WORK, str(golden)], trace),
        check=True, env=plain_environment(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    assert outside(trace) == set()
