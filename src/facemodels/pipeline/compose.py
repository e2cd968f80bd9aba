"""Composes conf/ into params.yaml with DVC's own function, so that the bytes are the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from facemodels import params
from facemodels.errors import InputError, ParamsError
from facemodels.files import write_bytes
from facemodels.names import TASKS


def compose(conf: Path, output: Path, overrides: list[str], *, dry_run: bool) -> bool:
    """Write params.yaml if conf/ composes to something else.

    `dvc exp run` composes by itself; `dvc repro` never does, so `make repro` calls this.

    Args:
        conf: folder with config.yaml.
        output: the file to write.
        overrides: Hydra's overrides, such as `data=real`.
        dry_run: write nothing.

    Returns:
        Whether conf/ composes to something else than `output` held.

    Raises:
        InputError: `conf` is no folder with a config.yaml.
        ParamsError: conf/ does not compose, or the result does not fit the schemas.
    """
    if not (conf / "config.yaml").is_file():
        raise InputError(f"{conf} has no config.yaml.", "Run it in the repository's root.")
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from facemodels.data.datasets import dataset_of

    with tempfile.TemporaryDirectory() as scratch:
        composed = Path(scratch, "params.yaml")
        try:
            compose_and_dump(composed, str(conf.resolve()), None, "config", "", overrides)
        except (DvcException, HydraException, OmegaConfBaseException) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ParamsError(f"{conf} does not compose: {reason}.") from error
        loaded = params.load(composed)
        for task in TASKS:
            dataset_of(loaded.data, task)
        data = composed.read_bytes()
    changed = not output.is_file() or output.read_bytes() != data
    if changed and not dry_run:
        write_bytes(output, data)
    return changed
