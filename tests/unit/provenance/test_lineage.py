"""Where versions come from, in real repositories with small dvc.lock files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from tests.unit.provenance.workshop import FOLDER, MODEL, Workshop, digest, parameters, pipeline

from facemodels.errors import InputError, NameFormatError, ParamsError
from facemodels.provenance import lineage
from facemodels.provenance.lineage import dvc_lock
from facemodels.provenance.lineage.ancestry import LineageEnd
from facemodels.provenance.lineage.graph import build
from facemodels.provenance.lineage.inputs import Artifact, Inputs
from facemodels.yaml_text import parse_yaml

ROOT = Path(__file__).resolve().parents[3]
V = "rec-facenet-v"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "repository")


@pytest.fixture
def family(workshop: Workshop) -> lineage.Lineage:
    """Three versions: the second has other parameters, the third other data and code."""
    workshop.build("1.0.0")
    workshop.build("1.1.0", "1.0.0", steps=240)
    return workshop.trace(workshop.build("2.0.0", "1.1.0", steps=240, data=2, code=2))


# --- the chain of parents ------------------------------------------------------------------


def test_parents_are_followed_to_the_first(family: lineage.Lineage) -> None:
    assert [version.id for version in family.versions] == [f"{V}2.0.0", f"{V}1.1.0", f"{V}1.0.0"]
    assert family.end == LineageEnd("first")


@pytest.mark.parametrize(
    ("parent", "end"),
    [
        ("0.9.0", LineageEnd("not registered", f"{V}0.9.0")),
        ("1.0.0", LineageEnd("cycle", f"{V}1.0.0")),
        ("one", LineageEnd("malformed", "one")),
        ("", LineageEnd("first")),
    ],
)
def test_the_end_of_the_chain_is_named(workshop: Workshop, parent: str, end: LineageEnd) -> None:
    found = workshop.trace(workshop.build("1.0.0", parent))
    assert found.end == end
    assert str(end) in lineage.text(found)


def test_a_circle_of_two_ends_at_the_one_met_before(workshop: Workshop) -> None:
    workshop.build("1.0.0", "1.1.0")
    found = workshop.trace(workshop.build("1.1.0", "1.0.0"))
    assert [version.id for version in found.versions] == [f"{V}1.1.0", f"{V}1.0.0"]
    assert found.end == LineageEnd("cycle", f"{V}1.1.0")


def test_a_parent_is_of_the_same_variant(workshop: Workshop) -> None:
    workshop.build("1.0.0")
    workshop.commit({}, "For the GPU")
    model = workshop.register("1.1.0-gpu", "1.0.0")
    assert workshop.trace(model).end == LineageEnd("not registered", f"{V}1.0.0-gpu")


def test_generations_stop_the_chain(workshop: Workshop, family: lineage.Lineage) -> None:
    found = workshop.trace(f"{V}2.0.0", generations=2)
    assert [version.id for version in found.versions] == [f"{V}2.0.0", f"{V}1.1.0"]
    assert found.end == LineageEnd("not asked for", f"{V}1.0.0")


def test_an_unknown_version_and_a_broken_id_are_refused(workshop: Workshop) -> None:
    workshop.build("1.0.0")
    with pytest.raises(InputError, match="not registered"):
        workshop.trace(f"{V}3.0.0")
    with pytest.raises(NameFormatError):
        workshop.trace("../etc")


# --- what a version was made of ------------------------------------------------------------


def test_the_stages_are_walked_back_to_their_inputs(family: lineage.Lineage) -> None:
    version = family.versions[0]
    inputs = version.inputs
    assert version.revision.subject == "Build 2.0.0"
    assert version.revision.time == "2023-07-22T04:26:40Z"
    assert version.revision.branches == ("main",)
    assert [stage.name for stage in inputs.stages] == [
        "prepare@recognition", "train@recognition-facenet", "package@recognition-facenet",
    ]  # fmt: skip
    assert inputs.data == (
        Artifact("data/prepared/recognition", digest("d2", folder=True), 2_000_000,
                 "prepare@recognition"),
        Artifact("data/raw/faces", digest("r2", folder=True)),
    )  # fmt: skip
    assert [artifact.path for artifact in inputs.built] == [f"build/{MODEL}/model"]
    assert [artifact.path for artifact in inputs.code] == ["src/net.py", "stages/prepare.py"]
    assert inputs.package is not None
    assert inputs.package.size == 94_100_000
    assert inputs.parameters[("train", "steps")] == 240
    assert inputs.parameters[("data", "seed")] == 1
    assert inputs.parameters_from == "dvc.lock"
    assert inputs.notes == version.notes == ()


def test_the_files_of_a_list_of_code_stand_in_its_place_and_the_stage_that_makes_it_is_left_out(
    workshop: Workshop,
) -> None:
    lock = pipeline("1.0.0")
    path = f"reports/code/train/{MODEL}.json"
    lock["stages"]["train@recognition-facenet"]["deps"][1] = {"path": path, "md5": digest("l")}
    lock["stages"]["code"] = {
        "cmd": "python stages/code.py",
        "deps": [{"path": "src/other.py", "md5": digest("x")}],
        "outs": [{"path": "reports/code", "md5": digest("f", folder=True)}],
    }
    workshop.commit({"dvc.lock": lock, path: json.dumps({"src/loop.py": digest("m")})})
    workshop.register("1.0.0")
    inputs = workshop.trace(f"{V}1.0.0").versions[0].inputs
    assert [(one.path, one.md5) for one in inputs.code] == [
        ("src/loop.py", digest("m")), ("src/net.py", digest("c1")),
        ("stages/prepare.py", digest("s1")),
    ]  # fmt: skip
    assert "code" not in [stage.name for stage in inputs.stages]


def test_the_code_digest_is_of_digests_and_paths(family: lineage.Lineage) -> None:
    lines = f"{digest('c2')}  src/net.py\n{digest('s1')}  stages/prepare.py\n"
    inputs = family.versions[0].inputs
    assert inputs.code_digest == hashlib.sha256(lines.encode()).hexdigest()
    assert Inputs().code_digest == ""


def test_differences_are_from_the_parent(family: lineage.Lineage) -> None:
    third, second, first = (version.differences for version in family.versions)
    assert first is None
    assert second is not None
    assert (second.data, second.code) == ((), ())
    assert [str(change) for change in second.parameters or ()] == ["train.steps 100 → 240"]
    assert third is not None
    assert third.data == ("data/prepared/recognition", "data/raw/faces")
    assert third.code == ("src/net.py",)
    assert third.parameters == ()


def test_a_version_of_gto_has_what_git_has(workshop: Workshop) -> None:
    workshop.commit({"dvc.lock": pipeline("1.0.0")})
    workshop.git.text("tag", "-a", f"{MODEL}@v1.0.0", "-m", "Registering artifact version")
    found = workshop.trace(f"{V}1.0.0")
    assert found.end == LineageEnd("not recorded")
    version = found.versions[0]
    assert version.path == f"{FOLDER}1.0.0"
    assert version.inputs.package is not None
    assert len(version.inputs.stages) == 3
    assert version.dvc == ""
    assert dict(version.evidence) == {}
    assert any("without facts" in note for note in version.notes)


def test_a_commit_without_dvc_lock_says_so(workshop: Workshop) -> None:
    workshop.commit({"README.md": "Nothing"})
    version = workshop.trace(workshop.register("1.0.0")).versions[0]
    assert version.inputs.stages == ()
    assert version.inputs.parameters_from == ""
    assert any("there is no dvc.lock" in note for note in version.inputs.notes)
    assert version.dvc == digest("p1.0.0", folder=True)


def test_params_yaml_stands_in_for_dvc_lock(workshop: Workshop) -> None:
    workshop.commit({"params.yaml": parameters("1.0.0")})
    inputs = workshop.trace(workshop.register("1.0.0")).versions[0].inputs
    assert inputs.parameters_from == "params.yaml"
    assert inputs.parameters[("train", "steps")] == 100
    assert inputs.parameters[("data", "seed")] == 1
    assert ("code",) not in inputs.parameters


def test_params_yaml_of_another_version_does_not(workshop: Workshop) -> None:
    workshop.commit({"params.yaml": parameters("2.0.0")})
    inputs = workshop.trace(workshop.register("1.0.0")).versions[0].inputs
    assert inputs.parameters_from == ""
    assert any(f"{MODEL} 2.0.0" in note for note in inputs.notes)


@pytest.mark.parametrize("file", [f"{FOLDER}1.0.0.dvc", "models/recognition.dvc"])
def test_a_frozen_package_has_its_digest_alone(workshop: Workshop, file: str) -> None:
    frozen = {"outs": [{"md5": digest("p1.0.0", folder=True), "size": 7, "path": "it"}]}
    workshop.commit({file: frozen, "dvc.lock": pipeline("2.0.0")})
    inputs = workshop.trace(workshop.register("1.0.0")).versions[0].inputs
    assert inputs.source == ".dvc"
    assert inputs.stages == ()
    assert any("earlier dvc.lock" in note for note in inputs.notes)
    # The digest of a folder above is not the package's.
    own = Artifact(f"{FOLDER}1.0.0", digest("p1.0.0", folder=True), 7)
    assert inputs.package == (own if file.startswith(FOLDER) else None)


def test_another_package_than_the_committed_one_is_named(workshop: Workshop) -> None:
    workshop.commit({"dvc.lock": pipeline("1.0.0", package="other")})
    version = workshop.trace(workshop.register("1.0.0")).versions[0]
    assert any("not the one that was committed" in note for note in version.notes)


def test_a_stale_dvc_lock_is_named(workshop: Workshop) -> None:
    lock = pipeline("1.0.0")
    lock["stages"]["train@recognition-facenet"]["deps"][0] = {
        "path": "data/prepared/recognition", "md5": digest("old", folder=True),
    }  # fmt: skip
    workshop.commit({"dvc.lock": lock})
    inputs = workshop.trace(workshop.register("1.0.0")).versions[0].inputs
    assert any("out of date" in note and "train@" in note for note in inputs.notes)


def test_a_commit_on_no_branch_is_named(workshop: Workshop) -> None:
    workshop.commit({})
    workshop.git.text("checkout", "--quiet", "--detach")
    model = workshop.build("1.0.0")
    workshop.git.text("checkout", "--quiet", "main")
    version = workshop.trace(model).versions[0]
    assert version.revision.branches == ()
    assert any("no branch" in note for note in version.notes)


def test_a_tag_on_no_commit_is_no_traceback(workshop: Workshop) -> None:
    workshop.commit({"a": "b"})
    workshop.git.text("tag", "-a", f"{MODEL}@v1.0.0", "-m", "odd", "HEAD^{tree}")
    version = workshop.trace(f"{V}1.0.0").versions[0]
    assert version.revision.time == ""
    assert any("not in this clone" in note for note in version.notes)


def test_stages_in_a_circle_are_each_met_once() -> None:
    lock = {"schema": "2.0", "stages": {
        "a": {"cmd": "a", "deps": [{"path": "data/y"}], "outs": [{"path": "data/x"}]},
        "b": {"cmd": "b", "deps": [{"path": "data/x"}], "outs": [{"path": "data/y"}]},
        "c": {"cmd": "c", "deps": [{"path": "data/x/part"}], "outs": [{"path": "models/m"}]},
    }}  # fmt: skip
    inputs = dvc_lock.from_lock(yaml.safe_dump(lock), "models/m", MODEL, "dvc.lock", lambda _: None)
    assert inputs is not None
    assert sorted(stage.name for stage in inputs.stages) == ["a", "b", "c"]
    assert inputs.stages[-1].name == "c"


def test_stages_that_disagree_on_a_parameter_are_named() -> None:
    lock = pipeline("1.0.0")
    package = lock["stages"]["package@recognition-facenet"]
    package["params"]["params.yaml"][f"models.{MODEL}.train"] = {"steps": 7}
    inputs = dvc_lock.from_lock(
        yaml.safe_dump(lock), f"{FOLDER}1.0.0", MODEL, "dvc.lock", lambda _: None
    )
    assert inputs is not None
    assert inputs.parameters[("train", "steps")] == 100
    assert inputs.notes == ("package@recognition-facenet ran with train.steps 7.",)


# --- broken files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("dvc.lock", "stages: [unclosed"),
        ("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n=======\n"),
        ("dvc.lock", "- a\n- b\n"),
        ("dvc.lock", "schema: '2.0'\nstages: [a]\n"),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {outs: [{md5: x}]}}\n"),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {outs: 5}}\n"),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {params: {params.yaml: [1]}}}\n"),
        ("dvc.lock", "&a [*a]"),
        ("dvc.lock", "a: &a {b: *a}"),
        ("dvc.lock", "a: !!python/object:os.system {}"),
        ("dvc.lock", "when: 2026-99-99"),
        ("dvc.lock", b"\xff\xfe\x00"),
        (f"{FOLDER}1.0.0.dvc", "outs: {}"),
        (f"{FOLDER}1.0.0.dvc", "outs: [5]"),
        ("params.yaml", "models: ["),
        ("params.yaml", "5"),
    ],
)
def test_a_broken_file_is_named_with_its_commit(
    workshop: Workshop, file: str, content: str | bytes
) -> None:
    commit = workshop.commit({file: content})
    model = workshop.register("1.0.0")
    with pytest.raises(ParamsError) as caught:
        workshop.trace(model)
    assert f"{file} at commit {commit[:10]}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "schema: '2.0'\n", "{}"])
def test_an_empty_dvc_lock_has_no_stage(workshop: Workshop, content: str) -> None:
    workshop.commit({"dvc.lock": content})
    inputs = workshop.trace(workshop.register("1.0.0")).versions[0].inputs
    assert any("no stage of dvc.lock" in note for note in inputs.notes)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/", "a\0b", "--help", "x\ny", "é" * 300])
def test_an_odd_path_in_the_facts_reaches_nothing(workshop: Workshop, path: str) -> None:
    workshop.commit({})
    model = workshop.register("1.0.0", path=path)
    try:
        found = workshop.trace(model)
    except ParamsError:
        return
    assert found.versions[0].inputs.package is None


def test_facts_that_are_no_mapping_are_none(workshop: Workshop) -> None:
    workshop.commit({})
    model = workshop.register("1.0.0")
    state = workshop.repository.state()
    record = dict(state.entry(model).event.record or {})
    object.__setattr__(state.entry(model).event, "record", {**record, "entry": ["odd"]})
    assert lineage.trace(workshop.git, state, model).end == LineageEnd("not recorded")


def test_numbers_of_yaml_1_2_are_numbers() -> None:
    assert parse_yaml("{a: 1e-05, b: 1.5E+3, c: 1e5x, d: .5e1, e: 2026-01-02, f: .nan}", "x") == {
        "a": 1e-05, "b": 1500.0, "c": "1e5x", "d": 5.0, "e": "2026-01-02", "f": "nan",
    }  # fmt: skip


# --- this repository's own dvc.lock --------------------------------------------------------


@pytest.mark.parametrize("name", ["detection-yolov8", "recognition-facenet", "landmark-dlib"])
def test_our_own_dvc_lock(name: str) -> None:
    own = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["models"][name]
    text = (ROOT / "dvc.lock").read_text(encoding="utf-8")
    inputs = dvc_lock.from_lock(text, own["package"], name, "dvc.lock", lambda _: None)
    assert inputs is not None
    assert [stage.name for stage in inputs.stages] == [
        f"prepare@{own['task']}", f"train@{name}", f"validate@{name}", f"gate@{name}",
        f"package@{name}",
    ]  # fmt: skip
    assert f"data/prepared/{own['task']}" in [artifact.path for artifact in inputs.data]
    assert [a.path for a in inputs.built] == [
        f"build/{name}/model", f"reports/gate/{name}.json", f"reports/validate/{name}.json"
    ]  # fmt: skip
    assert own["code"] in [artifact.path for artifact in inputs.code]
    assert inputs.parameters[("train", "threads")] == own["train"]["threads"]
    assert inputs.notes == ()
    # What params.yaml says is what dvc.lock recorded.
    assert inputs.package is not None
    assert inputs.package.md5.endswith(".dir")


# --- forms ---------------------------------------------------------------------------------


def test_json_is_plain_and_whole(family: lineage.Lineage) -> None:
    value = json.loads(json.dumps(family.as_json(), allow_nan=False))
    assert value["model_id"] == f"{V}2.0.0"
    assert value["end"] == {"why": "first", "parent": ""}
    first = value["versions"][0]
    assert first["inputs"]["parameters"]["train.steps"] == 240
    assert first["inputs"]["code"]["files"] == 2
    assert first["inputs"]["stages"][0]["cmd"] == "python stages/prepare.py recognition && true"
    assert first["differences"]["code"] == ["src/net.py"]
    assert first["evidence"] == {"package": "ab" * 32}


def test_text_marks_what_changed(family: lineage.Lineage) -> None:
    lines = lineage.text(family).splitlines()
    marked = [line.split()[1:3] for line in lines if line.endswith("*")]
    assert marked == [
        ["data", "data/prepared/recognition"], ["data", "data/raw/faces"], ["code", "2"],
        ["parameters", "7"],
    ]  # fmt: skip
    assert "│             * train.steps 100 → 240" in lines
    assert lines[-1] == "○ the first version"


def test_mermaid_has_a_node_for_everything(family: lineage.Lineage) -> None:
    lines = lineage.mermaid(family).splitlines()
    assert lines[0] == "flowchart LR"
    assert "  v0 ==> v1" in lines
    assert "  v1 ==> v2" in lines
    changed = [line.split()[0][:2] for line in lines if ":::changed" in line]
    assert changed == ["p1", "d2", "d2", "c2"]


def test_words_of_others_steer_neither_terminal_nor_mermaid(workshop: Workshop) -> None:
    workshop.commit({"dvc.lock": pipeline("1.0.0")}, 'x\x1b[2J"]; <b>&`#')
    found = workshop.trace(workshop.register("1.0.0", "0.1.0\n", changelog="a\x1b]0;b\nc\x07"))
    assert "\x1b" not in lineage.text(found)
    assert "\x07" not in lineage.text(found)
    drawn = lineage.mermaid(found)
    assert "\x1b" not in drawn
    assert "[2J#quot;]; #lt;b#gt;#amp;#96;#35;" in drawn


def test_svg_shows_every_node(family: lineage.Lineage, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lineage.svg"
    lineage.draw(family, path)
    text = path.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    for words in (f"{V}1.0.0", f"{V}2.0.0", "data/raw/faces", "train.steps 100 → 240"):
        assert f"<!-- {words} -->" in text
    assert text.count("<!-- changed -->") == 4
    assert "<dc:date>" not in text


def test_nothing_in_the_drawing_overlaps(workshop: Workshop) -> None:
    workshop.build("1.0.0", "0.1.0", steps="x" * 200)
    workshop.build("1.1.0", "1.0.0", data=2)
    graph = build(workshop.trace(f"{V}1.1.0"))
    nodes = list(dict(graph.nodes(data="node")).values())
    for place, one in enumerate(nodes):
        for other in nodes[place + 1 :]:
            apart = one.right <= other.left or other.right <= one.left
            assert apart or one.top <= other.bottom or other.top <= one.bottom, (one, other)
    assert set(graph.predecessors(f"{V}1.1.0")) >= {f"{V}1.0.0", f"{V}1.1.0 code"}


@pytest.mark.parametrize(
    "subject", ["$x^2$ -- 顔 \N{GRINNING FACE}", "<svg onload=x> &amp; ]]>", "x" * 500]
)
def test_odd_subjects_can_be_drawn(workshop: Workshop, tmp_path: Path, subject: str) -> None:
    workshop.commit({}, subject)
    lineage.draw(workshop.trace(workshop.register("1.0.0")), tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "inputs not recorded" in text


_AGAIN = """
import sys
from pathlib import Path
from facemodels.git import Git
from facemodels.provenance import lineage
from facemodels.registry import policy, tag_store
git = Git(Path(sys.argv[1]))
state = tag_store.TagStore(git, policy.RegistryPolicy()).state()
found = lineage.trace(git, state, sys.argv[2])
lineage.draw(found, Path(sys.argv[3]))
sys.stdout.write(lineage.text(found) + lineage.mermaid(found))
"""


def test_two_processes_write_the_same_bytes(
    workshop: Workshop, family: lineage.Lineage, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours.svg", tmp_path / "theirs.svg"
    done = subprocess.run(
        [sys.executable, "-c", _AGAIN, str(workshop.root), f"{V}2.0.0", str(theirs)],
        env={**os.environ, "PYTHONHASHSEED": "1"},  # here it is another, by chance
        capture_output=True,
        check=True,
    )
    lineage.draw(family, ours)
    assert done.stdout.decode() == lineage.text(family) + lineage.mermaid(family)
    assert theirs.read_bytes() == ours.read_bytes()


def test_importing_it_is_light() -> None:
    code = (
        "import facemodels.provenance.lineage, facemodels.provenance.difference, sys;"
        "print(sorted({'matplotlib', 'networkx', 'numpy', 'pandas', 'pydantic'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
