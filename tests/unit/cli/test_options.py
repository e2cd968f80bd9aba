"""No command takes a folder for a file or a file for a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from facemodels.cli.main import main
from facemodels.cli.options import FILE, FILE_OR_FOLDER, FOLDER, require_pulled
from facemodels.errors import InputError


def _paths(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple]:
    """Every parameter that is a path, with the words that call its command."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _paths(inner, (*words, name))
    for one in command.params:
        if isinstance(one.type, click.Path):
            yield words, one


PATHS = list(_paths(main))
# What is asked for before the path is looked at.
BEFORE = {
    "prepare": ["landmarks"],
    "identify": ["--gallery", "staff", "--system", "sys-x-v1.0.0"],
    "recover": ["--url", "s3://backup/faces"],
}
OF_ONE_KIND = [
    pytest.param(words, one, id=f"{' '.join(words)} {one.opts[0]}")
    for words, one in PATHS
    if one.type is not FILE_OR_FOLDER
]


def test_every_path_says_whether_it_is_a_file_or_a_folder() -> None:
    assert len(OF_ONE_KIND) > 30
    assert [one.name for _, one in PATHS if one.type not in (FILE, FOLDER, FILE_OR_FOLDER)] == []


@pytest.mark.parametrize(("words", "parameter"), OF_ONE_KIND)
def test_the_other_kind_is_refused_and_the_option_is_named(
    words: tuple[str, ...], parameter: click.Parameter, tmp_path: Path
) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.touch()
    wrong, kind, other = (
        (folder, "folder", "file") if parameter.type is FILE else (file, "file", "folder")
    )
    is_option = isinstance(parameter, click.Option)  # an argument has no name to give
    before = BEFORE.get(words[-1], [])
    given = [parameter.opts[0], str(wrong)] if is_option else [str(wrong)]
    done = CliRunner().invoke(main, [*words, *before, *given])
    where = f" to {parameter.opts[0]}" if is_option else ""
    expected = f"Error: {wrong} is a {kind}. Give a {other}{where}.\n"
    assert (done.exit_code, done.output) == (2, expected)
    assert list(folder.iterdir()) == []


def test_a_path_of_the_right_kind_or_of_nothing_is_let_through(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for kind, found in ((FILE, tmp_path / "file"), (FOLDER, tmp_path)):
        assert kind.convert(str(found), None, None) == found
        assert kind.convert(str(tmp_path / "new"), None, None) == tmp_path / "new"


def test_a_path_in_a_config_file_is_looked_at_too(tmp_path: Path) -> None:
    output = tmp_path / "file"
    output.touch()
    config = tmp_path / "config.yaml"
    words = {"task": "recognition", "architecture": "facenet", "network": {}, "train": {}}
    config.write_text("".join(f"{k}: {v}\n" for k, v in (words | {"output": output}).items()))
    done = CliRunner().invoke(main, ["train", "--config", str(config)])
    assert (done.exit_code, done.output) == (
        2,
        f"Error: {output} is a file. Choose another --output.\n",
    )


def test_what_dvc_pull_would_bring_is_named_with_that_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages: {x: {cmd: x, outs: [{path: models/x}]}}\n"
    )
    monkeypatch.chdir(tmp_path)
    for path in ("models/x", "models/x/model.pt"):
        with pytest.raises(InputError, match=r"dvc pull models/x$"):
            require_pulled(Path(path))
    require_pulled(Path("models/y"))
