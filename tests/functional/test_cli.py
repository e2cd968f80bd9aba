"""The commands as a user types them: flags, messages, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from facemodels.cli.main import main
from facemodels.data.sample.generate import (
    detection_split,
    landmark_split,
    recognition_split,
)
from tests.traced import outside, plain_environment, traced

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).parent / "facemodels")


FACENET = """\
task: recognition
architecture: facenet
name: recognition-facenet
network: {image_size: 80, dropout: 0.0}
train:
  {seed: 1, threads: 1, device: cpu, mixed_precision: false, steps: 2, learning_rate: 0.001,
   warmup_steps: 1, final_learning_rate: 0.1, weight_decay: 0.01, clip_norm: 5.0, ema_decay: 0.0,
   validate_every: 2, checkpoint_every: 2, patience: 0, batch_people: 3, batch_images: 2,
   loss: triplet, augmentation: {flip: 0.5, shift: 0, zoom: 0, brightness: 0, contrast: 0, tint: 0}}
"""
YOLO = """\
task: detection
architecture: yolov8
network: {scale: n, image_size: 64}
train:
  {seed: 1, threads: 1, device: cpu, mixed_precision: false, steps: 2, learning_rate: 0.001,
   warmup_steps: 1, final_learning_rate: 0.1, weight_decay: 0.01, clip_norm: 5.0, ema_decay: 0.0,
   validate_every: 2, checkpoint_every: 2, patience: 0, batch_size: 2,
   augmentation: {flip: 0.5, scale: 0, translate: 0, hue: 0, saturation: 0, value: 0, mosaic: 0}}
"""
DLIB = """\
task: landmarks
architecture: dlib
network: {tree_depth: 2, cascade_depth: 2, trees_per_cascade: 5, feature_pool_size: 50,
          feature_pool_padding: 0.1}
train: {seed: 1, threads: 1, mirror: true, nu: 0.1, oversampling: 2, oversampling_jitter: 0.0,
        lambda_param: 0.1, test_splits: 5}
"""


def started(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """A command in a process of its own."""
    done = subprocess.run(
        [COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def facemodels(*arguments: str, cwd: Path, code: int = 0) -> Result:
    """A command in this process, which has imported what takes a process half a second."""
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(main, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code, f"{arguments}: {done.exit_code}\n{done.output}"
    return done


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw datasets in the layouts that users have."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "facenet.yaml").write_text(FACENET)
    (folder / "dlib.yaml").write_text(DLIB)
    faces = recognition_split(
        "train", seed=1, identities=15, images_per_identity=3, image_size=90,
        folds=2, pairs_per_fold=4, workers=1,
    )  # fmt: skip
    for row, (image, person) in enumerate(zip(faces.images, faces.identities, strict=True)):
        path = folder / "people" / f"person{person}" / f"{row:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    points = landmark_split("train", seed=1, faces=14, image_size=120, workers=1)
    (folder / "points").mkdir()
    for row, (image, shape) in enumerate(zip(points.images, points.points, strict=True)):
        Image.fromarray(image).save(folder / "points" / f"{row:03}.jpg", quality=95)
        lines = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in shape)
        text = f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n"
        (folder / "points" / f"{row:03}.pts").write_text(text)
    scenes = detection_split("train", seed=1, scenes=20, image_size=96, workers=1)
    for part in ("images", "labels"):
        (folder / "scenes" / part).mkdir(parents=True)
    (folder / "yolo.yaml").write_text(YOLO)
    for row, image in enumerate(scenes.images):
        Image.fromarray(image).save(folder / "scenes/images" / f"{row:02}.jpg", quality=95)
        boxes = scenes.boxes_of(row) / 96
        lines = [f"0 {(a + c) / 2} {(b + d) / 2} {c - a} {d - b}" for a, b, c, d in boxes]
        (folder / "scenes/labels" / f"{row:02}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def packages(work: Path) -> tuple[str, str]:
    """Two versions of a landmark model, made by the guide's commands."""
    first, second = (f"models/landmarks/dlib-v{version}" for version in ("1.0.0", "1.1.0"))
    started("train", "--config", "dlib.yaml", "--dataset", "points", "--output", first, cwd=work)
    started("validate", "--model", f"{first}/model.dat", "--test-data", "points", cwd=work)
    shutil.copytree(work / first, work / second)
    for folder in (first, second):
        started(
            "package", "--model", f"{folder}/model.dat", "--name", "landmark-dlib",
            "--version", folder[-5:], "--output", folder, cwd=work,
        )  # fmt: skip
    return f"{first}/model.dat", f"{second}/model.dat"


def by_the_guide(work: Path, config: str, data: str, name: str, metric: str, version: str) -> Path:
    """Train, validate, package and verify with the guide's commands; the package's folder."""
    architecture = name.partition("-")[2]
    folder = f"models/{name.replace('-', '/')}-v{version}"
    started(
        "train", "--model", architecture, "--config", config, "--dataset", data,
        "--epochs", "1", "--output", folder, cwd=work,
    )  # fmt: skip
    done = facemodels(
        "validate", "--model", f"{folder}/model.pt", "--test-data", data, "--json", cwd=work
    )
    result = json.loads(done.stdout)
    assert 0 <= result["metrics"][metric] <= 1
    assert result["untrained"].keys() == result["metrics"].keys()
    facemodels(
        "package", "--model", f"{folder}/model.pt", "--name", name,
        "--version", version, "--training-dataset", "my own", "--output", f"{folder}/", cwd=work,
    )  # fmt: skip
    shown = json.loads(facemodels("verify", folder, "--json", cwd=work).stdout)
    assert shown["id"] == f"{name[:3]}-{architecture}-v{version}"
    metadata = json.loads((work / folder / "metadata.json").read_text())
    assert metadata["accuracy_metrics"] == result["metrics"]
    # Nothing is inherited from the card of params.yaml, which is of other weights.
    words = [metadata[key] for key in ("training_dataset", "author", "license")]
    assert words == ["my own", "unknown", "unknown"]
    return work / folder


@pytest.mark.full
def test_the_guides_commands_train_validate_and_package_a_facenet(work: Path) -> None:
    by_the_guide(work, "facenet.yaml", "people", "recognition-facenet", "accuracy", "2.2.0")


@pytest.mark.full
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    "config", [("facenet.yaml", "people"), ("yolo.yaml", "scenes"), ("dlib.yaml", "points")]
)
def test_a_whole_training_speaks_to_nothing_beyond_this_machine(
    config: tuple[str, str], work: Path, tmp_path: Path
) -> None:
    command = [COMMAND, "train", "--config", config[0], "--dataset", config[1]]
    subprocess.run(
        traced([*command, "--output", str(tmp_path / "out")], tmp_path / "trace"),
        check=True, cwd=work, env=plain_environment(tmp_path), capture_output=True,
    )  # fmt: skip
    assert outside(tmp_path / "trace") == set()


def test_the_guides_commands_train_validate_and_package_a_detector(work: Path) -> None:
    folder = by_the_guide(work, "yolo.yaml", "scenes", "detection-yolov8", "ap50", "1.0.0")
    # The card's example runs in the package's folder and prints a line a face, if any.
    example = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    image = work / "scenes/images/00.jpg"
    subprocess.run([sys.executable, "-c", example, image], cwd=folder, check=True)


def test_a_benchmark_runs_the_suite_and_prints_json(work: Path, packages) -> None:
    done = started(
        "benchmark", "--model", packages[0], "--test-suite", str(ROOT / "tests/model_tests"),
        "--runs", "3", "--warmup", "0", "--batch-sizes", "1,2", "--json", cwd=work,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert set(result["suite"].values()) <= {"passed", "skipped"}
    assert len(result["suite"]) > 15
    figures = result["runtimes"]["native"]
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert figures["peak_rss_mb"] > figures["rss_before_load_mb"] > 0
    assert set(figures["images_per_second_by_batch"]) == {"1", "2"}
    assert result["settings"]["precision"] == "float32"


def test_a_package_that_fails_a_test_of_the_suite_fails_the_benchmark(
    work: Path, packages, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text("def test_never():\n    assert 1 == 2\n")
    done = facemodels(
        "benchmark", "--model", packages[0], "--test-suite", str(tmp_path), cwd=work, code=1
    )
    assert "test_never" in done.stderr
    facemodels(
        "benchmark", "--model", packages[0], "--test-suite", str(tmp_path / "none"), cwd=work,
        code=2,
    )  # fmt: skip


def test_two_packages_of_the_same_weights_show_no_difference(work: Path, packages) -> None:
    done = facemodels(
        "compare", "--model-a", packages[0], "--model-b", packages[1],
        "--metrics", "accuracy,size", "--test-data", "points", "--json", cwd=work,
    )  # fmt: skip
    result = json.loads(done.stdout)
    accuracy, size = result["rows"]
    assert (accuracy["metric"], size["metric"]) == ("nme", "file_size_mb")
    assert accuracy["difference"] == accuracy["low"] == accuracy["high"] == 0
    assert result["verdict"] == "no difference shown"


def test_speed_and_memory_are_compared_without_data(work: Path, packages) -> None:
    done = facemodels(
        "compare", "--model-a", packages[0], "--model-b", packages[1],
        "--metrics", "speed,memory", "--runs", "5", cwd=work,
    )  # fmt: skip
    assert "latency_p50_ms" in done.stdout
    assert "peak_rss_mb" in done.stdout


def test_a_changed_byte_is_exit_code_3_and_names_the_file(work: Path, packages, tmp_path) -> None:
    folder = tmp_path / "dlib-v1.0.0"
    shutil.copytree((work / packages[0]).parent, folder)
    data = bytearray((folder / "model.dat").read_bytes())
    data[100] ^= 1
    (folder / "model.dat").write_bytes(data)
    done = facemodels("verify", str(folder), cwd=work, code=3)
    assert "changed: model.dat" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--model", "facenet"], "params.yaml"),
        (["train"], "--model or --config"),
        (["train", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["train", "--config", "dlib.yaml", "--model", "facenet", "--output", "x"], "dlib"),
        (["train", "--config", "dlib.yaml", "--output", "x", "--dataset", "none"], "none"),
        (["train", "--config", "dlib.yaml", "--dataset", "points", "--epochs", "0"], "--epochs"),
        (["validate", "--model", "nowhere/model.pt"], "does not exist"),
        (["validate", "--model", "people"], "config.yaml"),
        (["package", "--model", "people", "--name", "facenet", "--version", "1.0.0"], "model name"),
        (
            ["package", "--model", "x", "--name", "recognition-facenet", "--version", "2.2"],
            "not a version",
        ),
        (["verify", "people"], "is not a package"),
        (["benchmark", "--model", "nowhere"], "does not exist"),
        (["compare", "--model-a", "a", "--model-b", "b", "--metrics", "beauty"], "beauty"),
        (["prepare", "telepathy", "--output", "x"], "telepathy"),
        (["params", "--conf", "people"], "config.yaml"),
        (["nonesuch"], "nonesuch"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_wrong_input_is_one_clear_line_and_exit_code_2(work: Path, arguments, words: str) -> None:
    done = facemodels(*arguments, cwd=work, code=2)
    assert words in done.stderr
    assert done.stdout == ""


def test_a_dataset_of_no_known_layout_names_the_page_that_lists_them(work: Path) -> None:
    (work / "empty").mkdir(exist_ok=True)
    done = facemodels(
        "train", "--config", "dlib.yaml", "--dataset", "empty", "--output", "x", cwd=work, code=1
    )
    assert "docs/datasets.md" in done.stderr


def test_training_into_a_finished_package_is_refused(work: Path, packages) -> None:
    folder = str(Path(packages[0]).parent)
    done = facemodels(
        "train", "--config", "dlib.yaml", "--dataset", "points", "--output", folder, cwd=work,
        code=2,
    )  # fmt: skip
    assert "finished package" in done.stderr
    facemodels("verify", folder, cwd=work)


def test_every_command_has_help_with_an_example(tmp_path: Path) -> None:
    listed = facemodels("--help", cwd=tmp_path).stdout
    for command in main.list_commands(None):
        assert command in listed
        assert "Example:" in facemodels(command, "--help", cwd=tmp_path).stdout


def test_readme_covers_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in main.list_commands(None) if f"facemodels {name}" not in readme] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(tmp_path: Path, shell: str) -> None:
    assert "_FACEMODELS_COMPLETE" in facemodels("completion", shell, cwd=tmp_path).stdout
    env = {
        "_FACEMODELS_COMPLETE": "bash_complete",
        "COMP_WORDS": "facemodels val",
        "COMP_CWORD": "1",
    }

    done = subprocess.run(
        [COMMAND], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert "validate" in done.stdout


def test_the_cli_imports_nothing_heavy_before_a_command_needs_it() -> None:
    script = "import sys, facemodels.cli.main; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {
        "torch", "dvc", "gto", "ultralytics", "numpy", "pandas", "cv2", "onnxruntime", "hydra",
        "rich", "pydantic", "yaml", "dvclive", "PIL",
    }  # fmt: skip
    assert heavy & set(loaded) == set()


def test_an_images_sheet_can_be_drawn_from_params(work: Path, tmp_path: Path) -> None:
    import yaml

    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["data"]["landmarks"] |= {"train": 6, "val": 2, "test": 2}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    started(
        "prepare", "landmarks", "--output", "out", "--picture", "sheet.png",
        "--report", "report.json", cwd=tmp_path,
    )  # fmt: skip
    assert np.asarray(Image.open(tmp_path / "sheet.png")).std() > 10
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["splits"]["train"]["images"] == 6
    assert report["problems"] == []
