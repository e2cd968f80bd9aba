from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facemodels.errors import InputError
from facemodels.package.load import open_package


def test_both_forms_of_a_package_give_the_same_embeddings(facenet_package: Path) -> None:
    package = open_package(facenet_package)
    assert package.runtimes == ("onnx", "torch")
    image = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    one, other = (package.predictor(runtime).embed([image]) for runtime in package.runtimes)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_form_that_the_package_lacks_is_refused(facenet_package: Path) -> None:
    with pytest.raises(InputError, match="native"):
        open_package(facenet_package).predictor("native")


@pytest.mark.parametrize("kind", ["facenet_package", "dlib_package"])
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
