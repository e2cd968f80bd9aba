"""Collects the evidence for a version: digests, metrics and gates, read at its commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facemodels import dvc_files
from facemodels.errors import GateError, InputError, IntegrityError
from facemodels.evaluate.gates import GateResult, judge, require
from facemodels.files import list_files
from facemodels.git import Git
from facemodels.importing.settings import IMPORTED_KINDS, ImportSettings
from facemodels.importing.settings import PATH as IMPORT_GATES
from facemodels.names import ModelName
from facemodels.package.load import Package
from facemodels.params import Gate, Params, parse
from facemodels.registry.state import Entry
from facemodels.yaml_text import parse_yaml

SUITES = ("benchmark", "benchmark_system")  # the stages that run the suite on a package
_FIELDS = (
    "created_at", "parent_version", "changelog", "author", "license", "description",
    "training_dataset", "framework", "framework_version", "stamp",
)  # fmt: skip


def collect(git: Git, package: Package, commit: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Collect the evidence and the entry of a version before it is registered at a commit.

    Args:
        git: runs commands in the repository that holds the package.
        package: a package that was verified.
        commit: the id of the commit that has the package's DVC entry.

    Returns:
        The evidence (digests) and the entry (what the registry says of the version).

    Raises:
        InputError: DVC does not track the package at the commit.
        IntegrityError: it tracks another package under that path.
    """
    path = package.folder.resolve().relative_to(git.root.resolve()).as_posix()
    digest = _tracked(git, package, commit, path)
    name = str(package.id.name)
    stages = dvc_files.read_lock(git, commit)
    report = git.file(commit, f"reports/validate/{name}.json")
    evidence: dict[str, Any] = {
        "package": f"sha256:{package.digest}",
        "dvc": f"md5:{digest}",
        "metrics": _sha256(json.dumps(dict(package.metadata["accuracy_metrics"]), sort_keys=True)),
        "suite": [
            *(s for s in dvc_files.stages_passed_on(stages, path, digest) if _is_suite(s)),
            *_suite_of_import(git, commit, package),
        ],
    }
    if report is not None and _is_report_of(report, name, package):
        evidence["validation"] = _sha256(report)
    entry = {
        "path": path,
        "dvc": digest,
        "storage_path": _storage_path(git.root, digest, path),
        "metrics": _metrics(git, commit, package),
        "interface": interface(package),
        **_judge(git, commit, package),
        **_imported(package),
        **facts_of_a_system(package),
        **{key: package.metadata[key] for key in _FIELDS if key in package.metadata},
    }
    return evidence, entry


def facts_of_a_system(package: Package) -> dict[str, Any]:
    """What a system pins, and by which bounds it decides; nothing for a model."""
    if package.task != "system":
        return {}
    config, members = package.config, package.members
    claimed = {
        task: {"claims": named["id"]}
        for task, member in members.items()
        if (named := member.metadata.get("compatible_with"))
    }
    return {
        "members": {
            task: {**pin, **claimed.get(task, {})} for task, pin in config["members"].items()
        },
        "decides_by": {
            key: config[key]
            for key in ("min_score", "quality", "fmr", "threshold")
            if key in config
        },
    }


def _imported(package: Package) -> dict[str, Any]:
    """The file that `facemodels import` made the package of; nothing for other packages."""
    training = package.metadata.get("training", {})
    file = training.get("initial_weights") or {}
    if training.get("origin") != "imported" or file.get("kind") not in IMPORTED_KINDS:
        return {}
    kept = ("kind", "name", "size", "sha256", "source")
    return {"imported": {key: file[key] for key in kept if key in file}}


def interface(package: Package) -> dict[str, Any]:
    """The properties that callers and stored data rely on: the keys that `semver.rule` compares."""
    metadata = package.metadata
    own: dict[str, Any] = {"architecture": metadata["architecture"]}
    if package.task == "system":
        # Callers see photos and faces, whichever detector finds them. What is cut out of a photo
        # decides which embeddings may be compared.
        preprocessing = package.members["recognition"].config["preprocessing"]
        own = {"crop": preprocessing.get("crop", {}).get("name", "")}
    return {
        **own,
        "input_shape": list(metadata["input_shape"]),
        "output_shape": list(metadata["output_shape"]),
        "embedding_space": metadata.get("embedding_space"),
        "runtimes": list(package.config["runtimes"]),
    }


def require_gates(entry: Entry) -> None:
    """Stop a version that was not tested, or is below a gate of the commit it comes from.

    Raises:
        InputError: the registry knows nothing of the version but its number.
        GateError: a gate was not passed, or the suite did not run on this package.
    """
    if not entry.evidence:
        raise InputError(
            f"{entry.id} was registered without evidence (by GTO, perhaps).",
            "Register the next version with `facemodels registry register`.",
        )
    unmeasured = entry.facts.get("unmeasured_gates")
    if unmeasured:
        raise GateError(
            f"{entry.id} was not measured on its gates {', '.join(unmeasured)}.",
            "Validate it before it is packaged, and register a new version.",
        )
    require(_judgements(entry), entry.id)
    if not entry.evidence.get("suite"):
        suite = SUITES[ModelName.parse(entry.model).task == "system"]
        raise GateError(
            f"the suite did not run on the package of {entry.id}.",
            f"Run `dvc repro {suite}@{entry.model}`, commit dvc.lock, register a new version.",
        )


def _judgements(entry: Entry) -> list[GateResult]:
    return [GateResult(**row) for row in entry.facts.get("gates", ())]


def _tracked(git: Git, package: Package, commit: str, path: str) -> str:
    recorded = dvc_files.find_hash(git, commit, path)
    if recorded is None:
        stage = "bundle" if package.task == "system" else "package"
        raise InputError(
            f"DVC does not track {path} at commit {commit[:10]}, so nobody else could have it.",
            f"Run `dvc repro {stage}@{package.id.name}` or `dvc add {path}`, and commit.",
        )
    actual = dvc_digest(package.folder)
    if recorded != actual:
        raise IntegrityError(
            f"{path} is not the package that commit {commit[:10]} tracks: {actual} instead of "
            f"{recorded}.",
            "Commit dvc.lock, or restore the folder with `dvc checkout`.",
        )
    return recorded


def dvc_digest(folder: Path) -> str:
    """The digest that DVC 3 gives a folder: the MD5 of the sorted list of its files' MD5s."""
    from dvc_data.hashfile.hash import file_md5
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.fs.local import localfs

    tree = Tree()  # type: ignore[no-untyped-call]
    for name in list_files(folder):
        value = file_md5(str(folder / name), localfs)
        tree.add(tuple(name.split("/")), None, HashInfo("md5", value))
    tree.digest()
    return str(tree.oid)


def _is_suite(stage: str) -> bool:
    return stage.split("@", maxsplit=1)[0] in SUITES


def _suite_of_import(git: Git, commit: str, package: Package) -> list[str]:
    """The import, if its report says that the suite ran on this package; it has no stage."""
    name = str(package.id.name)
    try:
        report = json.loads(git.file(commit, f"reports/import/{name}.json") or "{}")
        passed = report.get("package") == f"sha256:{package.digest}" and bool(report["suite"])
    except (ValueError, KeyError, AttributeError):
        return []
    return [f"import@{name}"] if passed else []


def _is_report_of(report: str, name: str, package: Package) -> bool:
    """Whether a report of validate has the package's own figures."""
    try:
        metrics = json.loads(report)[name]["metrics"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(metrics == package.metadata["accuracy_metrics"])


def _judge(git: Git, commit: str, package: Package) -> dict[str, Any]:
    """The package's metrics against the gates of its commit."""
    gates = {name: gate for name, gate in _gates(git, commit, package).items() if gate}
    metrics = package.metadata["accuracy_metrics"]
    measured = {name: gate for name, gate in gates.items() if name in metrics}
    return {
        "gates": [asdict(row) for row in judge(metrics, measured)],
        "unmeasured_gates": sorted(gates.keys() - measured.keys()),
    }


def _gates(git: Git, commit: str, package: Package) -> Mapping[str, Gate | None]:
    """Those of params.yaml; for an imported model that it does not have, of conf/import.yaml."""
    text = git.file(commit, "params.yaml")
    if text is None:
        return {}
    where = f"params.yaml at {commit[:10]}"
    params, name = parse(Params, parse_yaml(text, where), where), str(package.id.name)
    if name in {**params.models, **params.systems}:
        return params.candidate(name).gates
    imported = package.metadata.get("training", {}).get("origin") == "imported"
    text = git.file(commit, IMPORT_GATES.as_posix()) if imported else None
    if text is None:
        return {}
    where = f"{IMPORT_GATES} at {commit[:10]}"
    return parse(ImportSettings, parse_yaml(text, where), where).of(package.task)


def _metrics(git: Git, commit: str, package: Package) -> dict[str, float]:
    """Accuracy as validated, size, and the time of one image if it was measured there."""
    metrics = dict(package.metadata["accuracy_metrics"])
    metrics["model_size_mb"] = package.metadata["file_size_mb"]
    name = str(package.id.name)
    text = git.file(commit, f"reports/benchmark/{name}.json")
    try:
        measured = json.loads(text or "{}").get(name, {})
        if measured.get("package_digest") == package.digest:
            metrics["inference_time_ms"] = round(measured["served"]["p50_ms"], 3)
    except (ValueError, KeyError, AttributeError):
        pass  # a measurement is no evidence; a version without one has no such metric
    return metrics


def _storage_path(root: Path, digest: str, path: str) -> str:
    """Where the remote keeps the package's list of files; its path here if there is no remote."""
    remotes = dvc_files.read_remotes(root)
    url = remotes.settings.get(remotes.default, {}).get("url")
    return f"{url}/files/md5/{digest[:2]}/{digest[2:]}" if url else path


def _sha256(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
