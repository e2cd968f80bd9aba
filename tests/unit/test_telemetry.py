"""Libraries that report their use to a vendor are told not to, in every process of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper


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
