"""`facemodels registry` as a user types it, on a real Git and DVC repository."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from click.testing import CliRunner
from dvc.repo import Repo

from facemodels.cli.main import main
from facemodels.package.verify import write_checksums

from .dvc_here import dvc

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/dlib-v1.0.0"
BIN = Path(sys.executable).parent
DVC_YAML = """\
stages:
  benchmark:
    foreach:
      landmark-dlib: models/landmarks/dlib-v{version}
    do:
      cmd: {bin}/facemodels verify ${{item}} --json > suite.json
      deps: ["${{item}}"]
      outs: [{{suite.json: {{cache: false}}}}]
artifacts:
  landmark-dlib: {{path: models/landmarks/dlib-v{version}}}
"""
FIELDS = {
    "model_id", "name", "version", "status", "created_at", "deployed_at", "storage_path",
    "metrics", "tags", "parent_version", "changelog",
}  # fmt: skip


class Answer(NamedTuple):
    """What a command said."""

    stdout: str
    stderr: str


class Work:
    """A clone with a remote, in which versions can be made and commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, code: int = 0) -> Answer:
        """A command of Git or DVC, or ours in a process of its own."""
        program = command[0] if command[0] == "git" else str(BIN / command[0])
        done = subprocess.run(
            [program, *command[1:]], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return Answer(done.stdout, done.stderr)

    def facemodels(self, *arguments: str, code: int = 0) -> Answer:
        """A command of ours in this process, which has imported what it takes half a second for."""
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(main, arguments)
        assert done.exit_code == code, f"{arguments}: {done.exit_code}\n{done.output}"
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Answer(done.stdout, done.stderr)

    def registry(self, *arguments: str, code: int = 0) -> Answer:
        return self.facemodels("registry", *arguments, code=code)

    def json(self, *arguments: str) -> object:
        return json.loads(self.registry(*arguments, "--json").stdout)

    def package(self, version: str, change: Callable[[dict], None] = lambda metadata: None) -> Path:
        """A package of the golden weights under another number, tracked and committed."""
        path = self.folder / "models/landmarks" / f"dlib-v{version}"
        shutil.copytree(GOLDEN, path)
        metadata = json.loads((path / "metadata.json").read_text())
        metadata["version"] = version
        change(metadata)
        (path / "metadata.json").write_text(json.dumps(metadata))
        write_checksums(path)
        (self.folder / "dvc.yaml").write_text(DVC_YAML.format(version=version, bin=BIN))
        name = str(path.relative_to(self.folder))
        with contextlib.chdir(self.folder), Repo(str(self.folder)) as repo:
            repo.add(name)
            repo.reproduce()
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", f"dlib {version}")
        return Path(name)

    def gate(self, metric: str, highest: float) -> None:
        """Give the model one gate; the golden package is a toy that passes no real one."""
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["models"]["landmark-dlib"]["gates"] = {metric: {"max": highest}}
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params))

    def register(self, version: str, *options: str) -> Path:
        path = self.package(version)
        self.registry("register", "--path", str(path), *options)
        return path


def make_work(folder: Path) -> Work:
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", folder / "origin.git"], check=True)
    subprocess.run(["git", "clone", "-q", folder / "origin.git", folder / "work"], check=True)
    work = Work(folder / "work")
    Repo.init(str(work.folder)).close()
    work.gate("nme", 0.9)
    return work


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """1.0.0 was in production, 1.0.1 is, 1.1.0 is in development."""
    work = make_work(tmp_path_factory.mktemp("released") / "x")
    work.register("1.0.0", "--tag", "small", "--tag", "cpu")
    for status in ("staging", "production"):
        work.registry("update-status", "--model-id", "lmk-dlib-v1.0.0", "--status", status)
    work.register("1.0.1")
    for status in ("staging", "production"):
        work.registry(
            "update-status", "--model-id", "lmk-dlib-v1.0.1", "--status", status, "-m", "good"
        )
    work.register("1.1.0", "--reason", "a try")
    return work


def copied(source: Work, target: Path) -> Work:
    """A private copy, remote included."""
    shutil.copytree(source.folder.parent, target, symlinks=True)
    work = Work(target / "work")
    work.run("git", "remote", "set-url", "origin", str(target / "origin.git"))
    return work


@pytest.fixture
def copy(released: Work, tmp_path: Path) -> Work:
    return copied(released, tmp_path / "x")


NEXT = Path("models/landmarks/dlib-v1.2.0")


@pytest.fixture(scope="module")
def with_next(released: Work, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """The package of 1.2.0 is committed as well."""
    work = copied(released, tmp_path_factory.mktemp("next") / "x")
    assert work.package("1.2.0") == NEXT
    return work


@pytest.fixture
def packaged(with_next: Work, tmp_path: Path) -> Work:
    return copied(with_next, tmp_path / "x")


def test_the_commands_of_the_guide_register_a_version(tmp_path: Path) -> None:
    work = make_work(tmp_path / "x")
    path = work.package("2.1.3")
    done = work.registry(
        "register", "--name", "landmark-dlib", "--version", "2.1.3",
        "--path", str(path / "model.dat"), "--metadata", str(path / "metadata.json"), "--json",
    )  # fmt: skip
    entry = json.loads(done.stdout)
    assert entry.keys() == FIELDS
    assert (entry["model_id"], entry["status"]) == ("lmk-dlib-v2.1.3", "development")
    assert "landmark-dlib@v2.1.3" in work.run("git", "ls-remote", "--tags", "origin").stdout
    again = work.registry("register", "--path", str(path), code=2)
    assert "registered already" in again.stderr


def test_list_filters_and_sorts(released: Work) -> None:
    def ids(*options: str) -> list[str]:
        return [entry["model_id"] for entry in released.json("list", *options)]

    assert ids() == ["lmk-dlib-v1.0.0", "lmk-dlib-v1.0.1", "lmk-dlib-v1.1.0"]
    assert ids("--status", "production") == ["lmk-dlib-v1.0.1"]
    assert ids("--status", "staging") == ["lmk-dlib-v1.0.0"]
    assert ids("--tag", "cpu") == ["lmk-dlib-v1.0.0"]
    assert ids("--task", "recognition") == []
    assert len(ids("--where", "nme<0.9", "--where", "model_size_mb>0")) == 3
    assert ids("--where", "nme > 0.9") == []
    assert "Did you mean nme?" in released.registry("list", "--where", "nmee<1", code=2).stderr
    assert (
        "Did you mean landmark-dlib?" in released.registry("list", "--name", "landmark-dlip").stderr
    )
    assert ids("--sort", "version", "--reverse")[0] == "lmk-dlib-v1.1.0"
    lines = released.registry("list").stdout.splitlines()
    assert lines[0].split("\t")[:2] == ["model_id", "status"]
    assert len(lines) == 4


def test_models_are_told_in_one_line_each(released: Work) -> None:
    lines = released.registry("models").stdout.splitlines()
    assert [line.split("\t")[:5] for line in lines] == [
        ["name", "latest", "staging", "production", "on its way"],
        ["landmark-dlib", "1.1.0", "1.0.1", "1.0.1", ""],
    ]


def test_an_alias_is_an_event_that_gto_reads_as_a_stage(copy: Work) -> None:
    copy.registry("alias", "lmk-dlib-v1.0.0", "--as", "champion")
    assert copy.json("info", "landmark-dlib@champion")["aliases"] == ["champion"]
    shown = json.loads(copy.run("gto", "show", "--json", "landmark-dlib#champion").stdout)
    assert shown[0]["version"] == "v1.0.0"
    assert "8 events" in copy.registry("audit").stdout


def test_every_form_of_an_id_is_understood(released: Work) -> None:
    for written in ("lmk-dlib-v1.0.1", "landmark-dlib-v1.0.1", "landmark-dlib@v1.0.1"):
        entry = released.json("info", written)
        assert released.json("info", "--model-id", written) == entry
        assert entry["model_id"] == "lmk-dlib-v1.0.1"
        assert entry["status"] == "production"
        assert entry["parent_version"] == "1.0.0"
        assert entry["evidence"]["comparison"]["accuracy"] == "same weights"
        assert entry["evidence"]["suite"] == ["benchmark@landmark-dlib"]


def test_history_tells_who_did_what_and_why_latest_first(released: Work) -> None:
    rows = released.json("history", "--name", "landmark-dlib")
    acts = [(row["act"], row["model_id"], row["status"]) for row in rows]
    assert acts == [
        ("register", "lmk-dlib-v1.1.0", "development"),
        ("promote", "lmk-dlib-v1.0.1", "production"),
        ("promote", "lmk-dlib-v1.0.1", "staging"),
        ("register", "lmk-dlib-v1.0.1", "development"),
        ("promote", "lmk-dlib-v1.0.0", "production"),
        ("promote", "lmk-dlib-v1.0.0", "staging"),
        ("register", "lmk-dlib-v1.0.0", "development"),
    ]
    assert rows[0]["reason"] == "a try"
    assert "<test@example.invalid>" in rows[0]["actor"]
    of_one = released.json("history", "--model-id", "lmk-dlib-v1.0.1")
    assert {row["model_id"] for row in of_one} == {"lmk-dlib-v1.0.1"}


def test_at_says_what_was_in_production_then(released: Work) -> None:
    rows = released.json("history")
    first = next(
        r for r in rows if (r["model_id"], r["status"]) == ("lmk-dlib-v1.0.0", "production")
    )
    then = released.json("at", first["time"])
    assert [(e["model_id"], e["status"]) for e in then] == [("lmk-dlib-v1.0.0", "production")]
    assert released.json("at", "2001-01-01") == []
    assert "not a time" in released.registry("at", "yesterday", code=2).stderr


def test_a_rollback_needs_a_reason_and_no_force(copy: Work) -> None:
    back = ("update-status", "--model-id", "lmk-dlib-v1.0.0", "--status", "production")
    assert "reason" in copy.registry(*back, code=2).stderr
    entry = json.loads(copy.registry(*back, "--reason", "High error rate", "--json").stdout)
    assert entry["status"] == "production"
    assert copy.json("history")[0]["act"] == "rollback"
    assert [e["model_id"] for e in copy.json("list", "--status", "production")] == [
        "lmk-dlib-v1.0.0"
    ]
    shown = json.loads(copy.run("gto", "show", "--json", "landmark-dlib#production").stdout)
    assert shown[0]["version"] == "v1.0.0"
    wanted = ("landmark-dlib", "--stage", "production", "-o", "x")
    dvc(copy.folder, "artifacts", "get", ".", *wanted)
    assert json.loads((copy.folder / "x/metadata.json").read_text())["version"] == "1.0.0"


def test_a_rollback_works_without_the_weights(copy: Work) -> None:
    shutil.rmtree(copy.folder / ".dvc/cache")
    shutil.rmtree(copy.folder / "models/landmarks/dlib-v1.0.0")
    copy.registry(
        "update-status", "--model-id", "lmk-dlib-v1.0.0", "--status", "production", "-m", "night"
    )


def test_production_refuses_a_version_that_was_never_in_staging(copy: Work) -> None:
    done = copy.registry(
        "update-status", "--model-id", "lmk-dlib-v1.1.0", "--status", "production", code=5
    )
    assert "--environment staging" in done.stderr


def test_the_live_version_is_deprecated_only_when_the_model_is_retired(copy: Work) -> None:
    live = ("deprecate", "--model-id", "lmk-dlib-v1.0.1", "--reason", "old")
    assert "in production" in copy.registry(*live, code=5).stderr
    copy.registry("deprecate", "--model-id", "lmk-dlib-v1.0.0", "--reason", "Superseded by v1.0.1")
    back = ("update-status", "--model-id", "lmk-dlib-v1.0.0", "--status", "production", "-m", "x")
    assert "deprecated" in copy.registry(*back, code=5).stderr
    copy.registry(*live, "--retire")
    assert copy.json("list", "--status", "production") == []
    assert "7" not in copy.registry("audit").stdout.split()[0]


def test_a_promotion_refuses_a_package_that_was_changed(copy: Work) -> None:
    shutil.rmtree(copy.folder / ".dvc/cache")
    weights = copy.folder / "models/landmarks/dlib-v1.1.0/model.dat"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    done = copy.registry(
        "update-status", "--model-id", "lmk-dlib-v1.1.0", "--status", "staging", code=3
    )
    assert "model.dat" in done.stderr
    assert len(copy.json("history")) == 7


def test_a_promotion_gets_the_package_from_the_cache_where_the_workspace_has_none(
    copy: Work,
) -> None:
    shutil.rmtree(copy.folder / "models/landmarks/dlib-v1.1.0")
    copy.registry("update-status", "--model-id", "lmk-dlib-v1.1.0", "--status", "staging")
    assert not (copy.folder / "models/landmarks/dlib-v1.1.0").exists()


def test_a_version_below_a_gate_of_its_commit_is_not_promoted(copy: Work) -> None:
    copy.gate("nme", 0.0001)
    copy.register("1.1.1")
    done = copy.registry(
        "update-status", "--model-id", "lmk-dlib-v1.1.1", "--status", "staging", code=4
    )
    assert "nme" in done.stderr


def test_a_version_that_was_not_measured_on_a_gate_is_not_promoted(copy: Work) -> None:
    copy.gate("failure_rate_at_0.08", 0.5)
    copy.register("1.1.1")
    done = copy.registry(
        "update-status", "--model-id", "lmk-dlib-v1.1.1", "--status", "staging", code=4
    )
    assert "failure_rate_at_0.08" in done.stderr


def test_a_version_whose_suite_did_not_run_is_not_promoted(copy: Work) -> None:
    path = copy.package("1.1.1")
    copy.run("git", "rm", "--quiet", "dvc.lock")
    copy.run("git", "commit", "--quiet", "--message", "Lose the lock")
    copy.registry("register", "--path", str(path))
    done = copy.registry(
        "update-status", "--model-id", "lmk-dlib-v1.1.1", "--status", "staging", code=4
    )
    assert "suite" in done.stderr


def test_a_smaller_bump_than_the_packages_ask_for_is_refused(copy: Work) -> None:
    path = copy.package("1.1.1", lambda metadata: metadata.update(output_shape=[5, 2]))
    done = copy.registry("register", "--path", str(path), code=5)
    assert "output shape" in done.stderr
    assert "2.0.0" in done.stderr
    assert len(copy.json("history")) == 7


@pytest.mark.parametrize(
    ("break_it", "code", "word"),
    [
        (lambda path: (path / "README.md").write_text("x"), 3, "README.md"),
        (lambda path: (path / "new.txt").write_text("x"), 3, "new.txt"),
        (shutil.rmtree, 2, "dvc pull models/landmarks/dlib-v1.2.0"),
    ],
)
def test_a_broken_package_is_not_registered(
    packaged: Work, break_it: Callable[[Path], None], code: int, word: str
) -> None:
    (packaged.folder / NEXT / "README.md").chmod(0o644)
    break_it(packaged.folder / NEXT)
    assert word in packaged.registry("register", "--path", str(NEXT), code=code).stderr
    assert len(packaged.json("history")) == 7


def test_a_package_that_dvc_does_not_track_at_the_commit_is_not_registered(packaged: Work) -> None:
    done = packaged.registry("register", "--path", str(NEXT), "--revision", "HEAD~1", code=2)
    assert "does not track" in done.stderr


def test_an_unsigned_package_is_neither_registered_nor_promoted_where_policy_asks(
    packaged: Work,
) -> None:
    conf = packaged.folder / "conf"
    conf.mkdir()
    (conf / "signing.yaml").write_text("required: true\nmethod: key\npublic_key: conf/key.pub\n")
    for form, name in (("-genkey", "key.pem"), ("-pubout", "key.pub")):
        source = ("-name", "prime256v1", "-noout") if form == "-genkey" else ("-in", "key.pem")
        program = "ecparam" if form == "-genkey" else "ec"
        command = ["openssl", program, form, *source, "-out", name]
        subprocess.run(command, cwd=conf, check=True, capture_output=True)
    promote = ("update-status", "--model-id", "lmk-dlib-v1.1.0", "--status", "staging")
    assert "sign" in packaged.registry(*promote, code=3).stderr
    assert "sign" in packaged.registry("register", "--path", str(NEXT), code=3).stderr
    for version in ("1.1.0", "1.2.0"):
        folder = f"models/landmarks/dlib-v{version}"
        packaged.facemodels("sign", folder, "--private-key", "conf/key.pem")
    packaged.registry("register", "--path", str(NEXT))
    shutil.rmtree(packaged.folder / "models/landmarks/dlib-v1.1.0")
    packaged.registry(*promote)


@pytest.mark.parametrize(
    "option",
    [("--name", "landmark-other"), ("--version", "9.9.9"), ("--metadata", "params.yaml")],
)
def test_words_that_contradict_the_package_are_refused(
    packaged: Work, option: tuple[str, str]
) -> None:
    packaged.registry("register", "--path", str(NEXT), *option, code=2)


@pytest.mark.parametrize(
    "written", ["", "x", "lmk-dlib-v1", "../../etc", "--help;ls", "lmk-dlib-v9.9.9"]
)
def test_an_id_that_is_none_or_unknown_is_refused(released: Work, written: str) -> None:
    released.registry("info", f"--model-id={written}", code=2)


def test_the_audit_names_a_tag_that_was_moved_and_fails(copy: Work) -> None:
    assert "7 events" in copy.registry("audit").stdout
    copy.run(
        "git", "tag", "--force", "--annotate", "--message", "x", "landmark-dlib@v1.0.0", "HEAD"
    )
    done = copy.registry("audit", "--offline", code=3)
    assert "landmark-dlib@v1.0.0" in done.stdout
    assert "landmark-dlib@v1.0.0" in copy.registry("audit", code=3).stderr
    copy.run("git", "tag", "--delete", "landmark-dlib@v1.0.0")
    copy.registry("sync")
    copy.registry("audit")


def test_a_fresh_clone_knows_the_whole_registry(copy: Work, tmp_path: Path) -> None:
    origin = copy.folder.parent / "origin.git"
    copy.run("git", "push", "--quiet", "origin", "HEAD")
    subprocess.run(["git", "clone", "-q", origin, tmp_path / "fresh"], check=True)
    fresh = Work(tmp_path / "fresh")
    assert fresh.json("list") == copy.json("list")
    fresh.registry("audit")


def test_difference_and_lineage_of_two_versions(released: Work, tmp_path: Path) -> None:
    found = released.json("diff", "lmk-dlib-v1.0.0", "lmk-dlib-v1.0.1")
    assert isinstance(found, dict)
    traced = json.dumps(released.json("lineage", "--model-id", "lmk-dlib-v1.0.1"))
    assert "lmk-dlib-v1.0.0" in traced
    drawing = tmp_path / "lineage.svg"
    released.registry("lineage", "--model-id", "lmk-dlib-v1.0.1", "--graph", str(drawing))
    assert drawing.read_text().startswith("<?xml")


def test_the_shell_completes_ids_and_names(released: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FACEMODELS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "facemodels registry info --model-id lmk-dlib-v1.0")
    monkeypatch.setenv("COMP_CWORD", "4")
    offered = released.run("facemodels").stdout
    assert "lmk-dlib-v1.0.0" in offered
    assert "lmk-dlib-v1.1.0" not in offered
    monkeypatch.setenv("COMP_WORDS", "facemodels registry history --name ")
    monkeypatch.setenv("COMP_CWORD", "4")
    assert "landmark-dlib" in released.run("facemodels").stdout


def test_reading_the_registry_imports_nothing_heavy(released: Work) -> None:
    code = (
        "import sys\n"
        "from facemodels.cli.main import main\n"
        "main(['registry', 'list', '--json'], standalone_mode=False)\n"
        "heavy = {'torch', 'dvc', 'gto', 'pydantic', 'pandas', 'numpy', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    released.run("python", "-c", code)


def test_outside_a_repository_the_error_says_so(tmp_path: Path) -> None:
    done = Work(tmp_path).registry("list", code=2)
    assert "no Git repository" in done.stderr
