"""`dvc repro` and its users' other commands, on a real clone with small parameters."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from facemodels.package.load import open_package
from facemodels.system.calibration import Calibration

from .conftest import SMOKE, Clone, stages_run

pytestmark = pytest.mark.timeout(1500)

PACKAGES = (
    "models/detection/yolov8-v1.0.0",
    "models/detection/mtcnn-v1.0.0",
    "models/recognition/facenet-v1.0.0",
    "models/recognition/arcface-v1.0.0",
    "models/recognition/dlib-v1.0.0",
    "models/landmarks/dlib-v1.0.0",
    "models/system/faces-v1.0.0",
    "models/system/faces-sample-v1.0.0",
)


def test_repro_builds_a_verified_package_of_every_model_and_system(built: Clone) -> None:
    for package in PACKAGES:
        open_package(built.folder / package)  # it verifies
        # names are relative to the package:
        built.run("sh", "-c", f"cd {package} && sha256sum --check --strict checksums.sha256")


def test_every_package_is_measured_as_it_is_served(built: Clone) -> None:
    for folder in PACKAGES:
        package = open_package(built.folder / folder)
        name = str(package.id.name)
        measured = json.loads(built.read(f"reports/benchmark/{name}.json"))[name]
        assert list(measured["runtimes"]) == [package.runtimes[0]]  # `runtimes: served`
        assert measured["served"]["p50_ms"] > 0
        assert measured["served"]["file_size_mb"] > 0


def test_a_second_repro_runs_nothing(copy: Clone) -> None:
    assert stages_run(copy.run("dvc", "repro").stdout) == []


def test_the_committed_thresholds_are_of_the_recogniser_that_is_built(built: Clone) -> None:
    known = Calibration.of_json(yaml.safe_load(built.read("conf/calibration/faces.yaml")))
    metadata = json.loads(built.read("models/recognition/dlib-v1.0.0/metadata.json"))
    assert known.embedding_space == metadata["embedding_space"]
    assert known.threshold(0.01) == pytest.approx(0.91, abs=0.01)  # conf's operating point


def test_a_build_leaves_no_clock_in_the_lock_file(built: Clone) -> None:
    outs = {
        out["path"]
        for stage in yaml.safe_load(built.read("dvc.lock"))["stages"].values()
        for out in stage.get("outs", [])
    }
    measured = [path for path in outs if "benchmark" in path or "measured" in path]
    assert not [path for path in measured if not path.startswith("reports/sealed/")]
    assert (built.folder / "reports/benchmark/recognition-facenet.json").is_file()


@pytest.mark.parametrize("of_models", ["small", pytest.param("copy", marks=pytest.mark.full)])
def test_editing_one_models_hyperparameters_rebuilds_that_model_alone(
    request: pytest.FixtureRequest, of_models: str
) -> None:
    clone: Clone = request.getfixturevalue(of_models)  # two models, or all and their systems
    clone.compose(**{"models.landmark-dlib.train.nu": "0.2"})
    train = "train@landmark-dlib"  # one stage of one model can be asked for
    assert stages_run(clone.run("dvc", "repro", "--single-item", train).stdout) == [train]
    assert clone.run("dvc", "status", train).stdout.strip().endswith("up to date.")
    ran = stages_run(clone.run("dvc", "repro").stdout)
    assert "validate@landmark-dlib" in ran
    assert train not in ran
    of_it = {"landmark-dlib", "landmarks", "system-faces-sample", "system"}  # whose member it is
    assert {name.split("@")[1] for name in ran} <= of_it


def test_a_version_bump_reruns_package_and_what_follows_but_not_train(small: Clone) -> None:
    small.compose(
        **{
            "models.landmark-dlib.version": "1.0.1",
            "compare.baselines.landmarks": "models/landmarks/dlib-v1.0.0",
        }
    )
    ran = stages_run(small.run("dvc", "repro").stdout)
    assert ran == ["package@landmark-dlib", "benchmark@landmark-dlib", "compare@landmarks"]
    open_package(small.folder / "models/landmarks/dlib-v1.0.1")  # it verifies
    # The pinned baseline is set beside the candidate:
    report = small.read("reports/compare/landmarks.md")
    assert "lmk-dlib-v1.0.1 against lmk-dlib-v1.0.0: " in report
    for metric in ("nme", "latency_p50_ms", "peak_rss_mb", "file_size_mb"):
        assert f"| {metric} " in report
    rows = json.loads(small.read("reports/compare/landmarks.json"))["differences"]
    (row,) = rows["lmk-dlib-v1.0.1"]
    assert row["low"] <= row["difference"] <= row["high"]


def test_a_model_below_its_gate_stops_the_pipeline_before_package(small: Clone) -> None:
    small.compose(**{"models.landmark-dlib.gates": "{nme: {max: 0.0001}}"})
    done = small.run("dvc", "repro", "package@landmark-dlib", check=False)
    assert done.returncode != 0
    assert "below its gates" in done.stderr
    assert "≤ 0.0001" in done.stdout
    assert stages_run(done.stdout) == ["gate@landmark-dlib"]  # nothing is measured again
    assert json.loads(small.read("reports/gate/landmark-dlib.json"))["landmark-dlib"]["nme"] > 0


def test_an_experiment_below_its_gate_can_be_kept_and_looked_at(small: Clone) -> None:
    changes = (
        "-S",
        "models.landmark-dlib.gates.nme.max=0.0001",
        "-S",
        "models.landmark-dlib.train.nu=0.3",
    )
    failed = small.run(
        "dvc", "exp", "run", "-S", SMOKE, *changes, "package@landmark-dlib", check=False
    )
    assert failed.returncode != 0
    assert "`dvc exp save` keeps its figures" in failed.stderr
    small.run("dvc", "exp", "save", "--name", "below")
    shown = json.loads(small.run("dvc", "exp", "show", "--json").stdout)
    kept = next(one for one in shown[1]["experiments"] or () if one["name"] == "below")
    metrics = kept["revs"][0]["data"]["metrics"]["reports/gate/landmark-dlib.json"]["data"]
    measured = json.loads(small.read("reports/validate/landmark-dlib.json"))["landmark-dlib"]
    nme = metrics["landmark-dlib"]["nme"]
    assert nme == measured["metrics"]["nme"]
    assert "models.landmark-dlib.train.nu" in small.run("dvc", "params", "diff", "HEAD").stdout


def test_a_queued_experiment_runs(small: Clone) -> None:
    # `dvc exp run` composes conf/ anew: the small values must stand there.
    flags = ("-S", SMOKE, "-S", "models.landmark-dlib.train.nu=0.4")
    small.run("dvc", "exp", "run", "--queue", "--name", "later", *flags, "train@landmark-dlib")
    assert "later" in small.run("dvc", "queue", "status").stdout
    small.run("dvc", "exp", "run", "--run-all")
    assert "later" in small.run("dvc", "exp", "list", "--name-only").stdout


def test_metrics_diff_shows_accuracy_and_speed(copy: Clone) -> None:
    path = copy.folder / "reports/speed/landmark-dlib.json"
    measured = json.loads(path.read_text())
    measured["landmark-dlib"]["p50_ms"] += 1
    path.write_text(json.dumps(measured))
    shown = copy.run("dvc", "metrics", "diff", "HEAD").stdout
    assert "landmark-dlib.p50_ms" in shown
    everything = copy.run("dvc", "metrics", "show", "--json").stdout
    files = json.loads(everything)[""]["data"]
    few = {name: one["data"] for name, one in files.items()}
    assert "nme" in few["reports/gate/landmark-dlib.json"]["landmark-dlib"]
    assert "ap50_95" in few["reports/gate/detection-yolov8.json"]["detection-yolov8"]
    assert all(len(values) <= 8 for one in few.values() for values in one.values())


def test_plots_open_without_a_network(copy: Clone) -> None:
    copy.run("dvc", "plots", "show", "--out", "plots")
    page = copy.read("plots/index.html")
    assert "vegaEmbed" in page
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=[\"']https?:", page)
    for word in ("on test (roc)", "landmark-dlib on test (ced)", '"text": "landmark-dlib"'):
        assert word in page, word
    assert page.count('"format": ".4~g"') >= 8  # a constant 0.94 is not called 1


def test_a_wiped_workspace_comes_back_from_the_cache(copy: Clone) -> None:
    copy.run("git", "clean", "-dfxq", "--exclude", ".dvc", "--exclude", ".cache")
    copy.run("dvc", "checkout")
    for package in PACKAGES:
        open_package(copy.folder / package)  # it verifies


def test_an_unknown_key_in_params_is_refused_in_one_line(small: Clone) -> None:
    text = small.read("params.yaml").replace("  cascade_depth: 2", "  cascade_dept: 2")
    text = text.replace("compare:\n", "compare:\n  resample: 3\n")
    (small.folder / "params.yaml").write_text(text)
    done = small.run("python", "stages/train.py", "landmark-dlib", check=False)
    assert done.returncode == 2
    assert "compare.resample" in done.stderr
    assert "Traceback" not in done.stderr
