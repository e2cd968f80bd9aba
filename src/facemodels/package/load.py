"""Opens a package: its files are verified before any of them is parsed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from facemodels.errors import InputError
from facemodels.files import sha256
from facemodels.models import architecture, served, served_graphs, served_members
from facemodels.names import ModelId, ModelName, Version
from facemodels.package.verify import CHECKSUMS, GRAPH, MEMBERS, ONNX, verify
from facemodels.params import load_yaml
from facemodels.runtime import Runtime, open_graph, open_graphs


class Signature(Protocol):
    """What opening a package asks of a `facemodels.package.signature.SignaturePolicy`.

    A protocol, as the stages that open packages do not depend on how they are signed.
    """

    @property
    def required(self) -> bool:
        """Whether an unsigned package is refused."""

    def check(self, folder: Path, digests: Mapping[str, str]) -> str:
        """Who signed the package whose checksums were verified; errors if nobody did."""


@dataclass(frozen=True)
class Package:
    """A verified package.

    Attributes:
        folder: the folder that it lies in.
        id: the version that it holds.
        config: config.yaml.
        metadata: metadata.json.
        digest: SHA-256 of its checksums, hence of all its files.
        signed_by: who signed it, where a signature was required; else empty.
    """

    folder: Path
    id: ModelId
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    digest: str
    signed_by: str = ""

    @property
    def task(self) -> str:
        """`detection`, `recognition`, `landmarks` or `system`."""
        return self.id.name.task

    @property
    def runtimes(self) -> tuple[Runtime, ...]:
        """The forms in which it can run, the served one first."""
        return tuple(self.config["runtimes"])

    @property
    def graphs(self) -> dict[str, Path]:
        """The files of a package with several ONNX graphs, by name of the graph; else none.

        Raises:
            InputError: config.yaml names a file that is no graph of the package.
        """
        files: Mapping[str, str] = self.config.get("graphs", {})
        for file in files.values():
            if not GRAPH.fullmatch(str(file)) or not (self.folder / file).is_file():
                raise InputError(f"{self.folder} has no graph {file}, which its config.yaml names.")
        return {name: self.folder / file for name, file in files.items()}

    @property
    def members(self) -> dict[str, Package]:
        """The packages that a system is made of, by task; none for a model.

        Raises:
            InputError: config.yaml names a member that is not there, or is another version.
            IntegrityError: a member is not what its own checksums say.
        """
        found = {}
        for task, pinned in self.config.get("members", {}).items():
            package = open_package(self.folder / MEMBERS / str(task))
            if (str(package.id), f"sha256:{package.digest}") != (pinned["id"], pinned["digest"]):
                raise InputError(
                    f"{self.folder} pins {pinned['id']} for {task}, and holds {package.id} with "
                    f"the digest sha256:{package.digest}."
                )
            found[str(task)] = package
        return found

    def predictor(self, runtime: Runtime | None = None, *, threads: int = 1) -> Any:
        """Load the model; the served form unless `runtime` names another.

        Raises:
            InputError: the package has no form for that runtime.
        """
        chosen = runtime or self.runtimes[0]
        if chosen not in self.runtimes:
            raise InputError(
                f"{self.folder} does not run on {chosen}.", f"Use {', '.join(self.runtimes)}."
            )
        if chosen == "onnx":
            run = open_graph(self.folder / ONNX, threads=threads).run
            return served(self.task, run, self.config, self.metadata)
        if chosen == "graphs":
            graphs = open_graphs(self.graphs, threads=threads)
            return served_graphs(self.task, graphs, self.config, self.metadata)
        if chosen == "members":
            members = {
                task: package.predictor(threads=threads) for task, package in self.members.items()
            }
            return served_members(self.task, members, self.config)
        model = architecture(self.task, self.id.name.architecture).of(self.config["network"])
        return model.load(self.folder / self.config["weights"], threads=threads)


def open_package(path: Path, *, signature: Signature | None = None) -> Package:
    """Verify and open a package, given its folder or the weights file in it.

    Args:
        path: the folder, or a file in it.
        signature: the policy that says who must have signed it; none asks for no signature.

    Raises:
        InputError: no package is there, or it describes itself wrongly.
        IntegrityError: it is not what its checksums say, or not signed as required.
    """
    folder = path.parent if path.is_file() else path
    if not folder.is_dir():
        raise InputError(f"{path} does not exist.", "Point to a package or the model.pt in it.")
    digests = verify(folder)
    required = signature is not None and signature.required
    signed_by = signature.check(folder, digests) if signature and required else ""
    config = load_yaml(folder / "config.yaml")
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    try:
        version = Version.parse(metadata["version"])
        model = ModelId(ModelName.parse(metadata["name"]), version, metadata["variant"])
    except KeyError as error:
        raise InputError(f"{folder / 'metadata.json'} has no {error}.") from error
    return Package(folder, model, config, metadata, sha256(folder / CHECKSUMS), signed_by)
