"""`facemodels pull`, as the container of a pod runs it: from a remote, without a clone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from facemodels.cli.main import main
from facemodels.errors import IntegrityError
from facemodels.package.verify import verify
from facemodels.registry.pull import pull
from tests.functional.storage.stores import VERSIONS, Store, s3_site


def test_a_pod_gets_the_registered_bytes_or_nothing(moto: Store, tmp_path: Path) -> None:
    site = s3_site(tmp_path, moto, versions=VERSIONS[:1], push=True)
    version, origin = VERSIONS[0], str(tmp_path / "origin.git")
    shutil.rmtree(site.folder)  # what is left is the Git remote and the bucket
    output = tmp_path / "packages" / "it"

    with pytest.raises(IntegrityError, match=r"is wanted"):
        pull(version, origin, output, digest=f"sha256:{'0' * 64}")
    assert not output.exists()

    digest = pull(version, origin, output)
    assert [path.name for path in output.parent.iterdir()] == ["it"]
    verify(output)
    # The container runs again: what is whole is kept, though no remote is there any more.
    assert pull(version, str(tmp_path / "gone"), output, digest=digest) == digest
    next(output.glob("*.onnx")).write_bytes(b"other")
    done = CliRunner().invoke(main, ["pull", version, "--output", str(output), "--digest", digest])
    assert (done.exit_code, "model.onnx" in done.output) == (3, True)
