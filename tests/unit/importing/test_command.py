"""`facemodels import`: from a file to a package, or to nothing at all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from facemodels.cli.main import main
from facemodels.data.splits import RecognitionSplit
from facemodels.files import sha256
from facemodels.package.load import open_package
from tests.unit.importing.graphs import linear

TRUE = {"crop": "arcface112", "colour": "RGB", "mean": "127.5", "scale": "0.0078125"}


@pytest.fixture
def place(tmp_path: Path, network: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the network's file and gates, in which the command runs."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/import.yaml").write_text("recognition: {auc: {min: 0.6}}\n")
    (tmp_path / "conf/registry.yaml").write_text("licenses: [MIT]\n")
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite/test_it.py").write_text(
        "import os, pathlib\n"
        "def test_it(): assert pathlib.Path(os.environ['FACEMODELS_PACKAGE']).is_dir()\n"
    )
    (tmp_path / "x.onnx").write_bytes(network)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(faces: Path, *more: str, name: str = "recognition-x", **changes: str) -> Result:
    stated = {**TRUE, "onnx": "x.onnx", "version": "1.0.0", "license": "MIT", **changes}
    options = [f"--{key}={value}" for key, value in stated.items() if value]
    command = ["import", "--name", name, "--data", str(faces), "--threads", "1", *options, *more]
    return CliRunner().invoke(main, command)


def files(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def test_a_network_becomes_a_package_with_its_origin(place: Path, faces: Path) -> None:
    done = run(faces, "--test-suite", "suite", source="https://example.org/x", title="One layer")
    assert done.exit_code == 0, done.output
    package = open_package(place / "models/recognition/x-v1.0.0")
    assert package.runtimes == ("onnx",)
    training = package.metadata["training"]
    assert training["origin"] == "imported"
    assert training["initial_weights"] == {
        "kind": "onnx", "name": "x.onnx", "size": (place / "x.onnx").stat().st_size,
        "sha256": sha256(place / "x.onnx"), "source": "https://example.org/x", "license": "MIT",
        "training_dataset": "unknown",
    }  # fmt: skip
    assert package.metadata["architecture"] == "One layer"
    assert package.config["preprocessing"]["crop"]["name"] == "arcface112"
    assert "Imported, not trained" in (package.folder / "README.md").read_text()
    report = json.loads((place / "reports/validate/recognition-x.json").read_text())
    values = report["recognition-x"]
    assert values["metrics"] == package.metadata["accuracy_metrics"]
    assert values["stamp"] == package.metadata["stamp"]
    assert values["stamp"]["crop"] == "arcface112"
    assert package.config["faces_found_by"] == values["stamp"]["detector"]
    assert "accuracy" in values["intervals"]
    kept = json.loads((place / "reports/import/recognition-x.json").read_text())
    assert kept["package"] == f"sha256:{package.digest}"
    assert kept["suite"] == {"test_it": "passed"}
    assert [row["way"] for row in kept["preprocessing"]][:2] == ["as stated", "colour BGR"]
    assert "facemodels registry register --path" in done.output


def test_the_package_answers_as_the_network_did(place: Path, faces: Path, network: bytes) -> None:
    assert run(faces, "--no-trial").exit_code == 0
    package = open_package(place / "models/recognition/x-v1.0.0")
    images = list(RecognitionSplit.load(faces / "test", "arcface112").images[:3])
    got = package.predictor(threads=1).embed(images)
    import onnxruntime

    pixels = [
        np.asarray(Image.fromarray(i).resize((12, 12), Image.Resampling.BILINEAR)) for i in images
    ]
    batch = ((np.stack(pixels) - 127.5) / 128).transpose(0, 3, 1, 2).astype(np.float32)
    raw = onnxruntime.InferenceSession(network).run(None, {"x": batch})[0]
    np.testing.assert_allclose(got, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-5)


def test_a_package_of_a_graph_says_that_it_has_no_weights_to_validate(
    place: Path, faces: Path
) -> None:
    assert run(faces, "--no-trial").exit_code == 0
    package = str(place / "models/recognition/x-v1.0.0")
    done = CliRunner().invoke(main, ["validate", "--model", package, "--test-data", str(faces)])
    assert done.exit_code == 2
    assert "imported as a graph" in done.output
    more = ["--metrics", "accuracy,size", "--test-data", str(faces)]
    done = CliRunner().invoke(main, ["compare", "--model-a", package, "--model-b", package, *more])
    assert done.exit_code == 0, done.output


def test_a_dry_run_shows_everything_and_writes_nothing(place: Path, faces: Path) -> None:
    before = files(place)
    done = run(faces, "--dry-run", "--test-suite", "suite")
    assert done.exit_code == 0, done.output
    for word in ("opset", "determinism", "as stated", "colour BGR", "accuracy", "Would write"):
        assert word in done.output
    assert files(place) == before


def test_swapped_channels_are_refused_with_both_figures(place: Path, faces: Path) -> None:
    before = files(place)
    done = run(faces, colour="BGR")
    assert done.exit_code == 5
    message = re.search(r"colour RGB gives an AUC of (0\.\d+), as stated (0\.\d+)", done.output)
    assert message is not None, done.output
    assert float(message[1]) > float(message[2])
    assert "--colour RGB" in done.output
    assert "--as-stated" in done.output
    assert files(place) == before


def test_who_insists_gets_the_stated_preprocessing(place: Path, faces: Path) -> None:
    assert run(faces, "--as-stated", colour="BGR").exit_code == 0
    config = open_package(place / "models/recognition/x-v1.0.0").config
    assert config["preprocessing"]["color"] == "BGR"


def test_a_network_below_a_gate_leaves_nothing(place: Path, faces: Path) -> None:
    (place / "conf/import.yaml").write_text("recognition: {auc: {min: 1.0}}\n")
    before = files(place)
    done = run(faces, "--no-trial")
    assert done.exit_code == 4
    assert "auc" in done.output
    assert files(place) == before


def test_a_package_that_fails_its_suite_leaves_nothing(place: Path, faces: Path) -> None:
    (place / "suite/test_it.py").write_text("def test_it(): assert False\n")
    before = files(place)
    done = run(faces, "--no-trial", "--test-suite", "suite")
    assert done.exit_code == 1
    assert files(place) == before


def test_a_report_that_cannot_be_written_takes_the_package_back(place: Path, faces: Path) -> None:
    (place / "reports").write_text("in the way")
    done = run(faces, "--no-trial")
    assert done.exit_code == 2
    assert not (place / "models/recognition/x-v1.0.0").exists()


def test_the_digits_on_a_program_are_one_document(place: Path, faces: Path) -> None:
    done = run(faces, "--no-trial", "--json", "--dry-run")
    values = json.loads(done.stdout)
    assert values["id"] == "rec-x-v1.0.0"
    assert values["dry_run"] is True
    assert {"checks", "gates", "validation", "package", "path"} <= values.keys()


@pytest.mark.parametrize(
    ("changes", "more", "code", "words"),
    [
        ({"license": "GPL-3.0"}, (), 5, "GPL-3.0"),
        ({"license": ""}, (), 2, "--license"),
        ({"colour": ""}, (), 2, "--colour is not stated"),
        ({"crop": "face99"}, (), 2, "no crop 'face99'"),
        ({"mean": "1,2"}, (), 2, "not one number or three"),
        ({"scale": "nan"}, (), 2, "not one number or three"),
        ({"name": "landmark-x"}, (), 2, "landmark-x"),
        ({"version": "1"}, (), 2, "not a version"),
        ({"onnx": "nothing.onnx"}, (), 2, "nothing.onnx cannot be read"),
        ({"onnx": "conf/import.yaml"}, (), 2, "no ONNX file"),
    ],
)
def test_wrong_input_is_refused_before_any_work(
    place: Path, faces: Path, changes: dict[str, str], more: tuple[str, ...], code: int, words: str
) -> None:
    before = files(place)
    done = run(faces, *more, **changes)
    assert done.exit_code == code, done.output
    assert words in done.output
    assert files(place) == before


def test_a_version_that_is_there_is_left_alone(place: Path, faces: Path) -> None:
    folder = place / "models/recognition/x-v1.0.0"
    folder.mkdir(parents=True)
    done = run(faces)
    assert done.exit_code == 2
    assert "never changes" in done.output
    assert list(folder.iterdir()) == []


def test_a_network_that_fails_a_check_says_which(place: Path, faces: Path) -> None:
    (place / "x.onnx").write_bytes(linear(batch=4))
    done = run(faces)
    assert done.exit_code == 2
    assert "batch axis: fixed to 4" in done.output


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_the_cards_example_gives_what_the_package_gives(
    place: Path, faces: Path, colour: str
) -> None:
    """It once took every network for one of RGB."""
    assert run(faces, "--no-trial", "--as-stated", colour=colour).exit_code == 0
    package = open_package(place / "models/recognition/x-v1.0.0")
    script = re.search(
        r"```python\n(.*?)```", (package.folder / "README.md").read_text(), re.DOTALL
    )
    assert script is not None
    images = list(RecognitionSplit.load(faces / "test", "arcface112").images[[0, 5]])
    for name, image in zip("ab", images, strict=True):
        Image.fromarray(image).save(place / f"{name}.png")
    done = subprocess.run(
        [sys.executable, "-c", script[1], place / "a.png", place / "b.png"],
        cwd=package.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    one, other = package.predictor(threads=1).embed(images)
    told = re.search(r"similarity: (\S+)", done.stdout)
    assert told is not None
    assert float(told[1]) == pytest.approx(float(one @ other), abs=1e-4)
