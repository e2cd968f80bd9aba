from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facemodels.data.sample.generate import detection_split
from facemodels.errors import InputError
from facemodels.package.load import open_package
from facemodels.package.verify import write_checksums


def test_both_forms_of_a_package_give_the_same_embeddings(facenet_package: Path) -> None:
    package = open_package(facenet_package)
    assert package.runtimes == ("onnx", "torch")
    image = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    one, other = (package.predictor(runtime).embed([image]) for runtime in package.runtimes)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_both_forms_of_a_package_of_several_graphs_find_the_same_faces(
    mtcnn_package: Path,
) -> None:
    package = open_package(mtcnn_package)
    assert package.runtimes == ("graphs", "torch")
    images = list(detection_split("test", seed=3, scenes=2, image_size=200, workers=1).images)
    one, other = (package.predictor(runtime).detect(images) for runtime in package.runtimes)
    assert all(len(faces) for faces in one)
    for served, weights in zip(one, other, strict=True):
        np.testing.assert_allclose(served.boxes, weights.boxes, atol=0.01)
        np.testing.assert_allclose(served.points, weights.points, atol=0.01)


@pytest.mark.parametrize("file", ["../model.onnx", "model.pt", "absent.onnx"])
def test_a_graph_that_is_none_of_the_package_is_refused(
    mtcnn_package: Path, tmp_path: Path, file: str
) -> None:
    folder = Path(shutil.copytree(mtcnn_package, tmp_path / mtcnn_package.name))
    text = (folder / "config.yaml").read_text().replace("pnet.onnx", file)
    (folder / "config.yaml").write_text(text)
    write_checksums(folder)
    with pytest.raises(InputError, match="no graph"):
        open_package(folder).predictor()


def test_a_form_that_the_package_lacks_is_refused(facenet_package: Path) -> None:
    with pytest.raises(InputError, match="native"):
        open_package(facenet_package).predictor("native")


@pytest.mark.parametrize("kind", ["facenet_package", "dlib_package", "mtcnn_package"])
def test_the_served_form_loads_without_torch(kind: str, request: pytest.FixtureRequest) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from facemodels.package.load import open_package\n"
        "open_package(Path(sys.argv[1])).predictor()\n"
        "sys.exit('imported torch' if 'torch' in sys.modules else 0)\n"
    )
    folder = request.getfixturevalue(kind)
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
