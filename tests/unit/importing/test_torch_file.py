"""Weights of a known architecture, in torch's form or in safetensors', become ONNX."""

from __future__ import annotations

import io
import json
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from facemodels.cli.main import main
from facemodels.errors import FacemodelsError, InputError
from facemodels.importing.safetensors import tensors
from facemodels.importing.torch_file import export
from facemodels.models import architecture
from facemodels.package.load import open_package
from facemodels.runtime import open_graph, torch_run


def arcface() -> Any:
    from facemodels.params import load_yaml

    conf = load_yaml(Path(__file__).parents[3] / "params.yaml")
    values = conf["models"]["recognition-arcface"]["network"]
    return architecture("recognition", "arcface").of(values)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return arcface().build().state_dict()


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def safetensors(state: dict[str, torch.Tensor]) -> bytes:
    names = {torch.float32: "F32", torch.int64: "I64"}
    header, body = {}, b""
    for key, value in state.items():
        raw = value.contiguous().numpy().tobytes()
        header[key] = {
            "dtype": names[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps({**header, "__metadata__": {"format": "pt"}}).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.pt", saved),
        ("x.pth", lambda state: saved({"epoch": 3, "state_dict": dict(state)})),
        ("x.pt", lambda state: saved({f"module.{key}": value for key, value in state.items()})),
        ("x.safetensors", safetensors),
    ],
)
def test_every_form_of_the_weights_gives_the_same_network(state, name: str, form: Any) -> None:
    made = export(form(state), name, arcface(), drop_unexpected=False)
    network = arcface().build()
    network.load_state_dict(state)
    side = arcface().image_size
    batch = np.random.default_rng(0).uniform(-1, 1, (3, 3, side, side)).astype(np.float32)
    got = open_graph(made.graph, threads=1).run(batch)
    np.testing.assert_allclose(got, torch_run(network.eval())(batch), atol=1e-5)
    assert made.max_abs_error < 1e-4
    assert made.left_out == ()


def test_missing_and_unexpected_keys_are_named(state) -> None:
    first, *rest = state
    changed = OrderedDict((key, state[key]) for key in rest)
    changed["head.weight"] = torch.zeros(2)
    with pytest.raises(InputError) as caught:
        export(saved(changed), "x.pt", arcface(), drop_unexpected=True)
    assert f"1 missing: {first}" in caught.value.what
    assert "unexpected" not in caught.value.what
    with pytest.raises(InputError, match=r"1 unexpected: head\.weight"):
        export(saved({**state, "head.weight": torch.zeros(2)}), "x.pt", arcface(), drop_unexpected=False)  # fmt: skip


def test_weights_without_a_place_are_left_out_if_asked(state) -> None:
    more = {**state, "head.weight": torch.zeros(2)}
    made = export(saved(more), "x.pt", arcface(), drop_unexpected=True)
    assert made.left_out == ("head.weight",)


def test_a_weight_of_another_shape_is_named(state) -> None:
    key = next(key for key in state if state[key].ndim == 4)
    with pytest.raises(InputError, match=f"of another shape: {key}"):
        export(saved({**state, key: torch.zeros(1)}), "x.pt", arcface(), drop_unexpected=False)


class Surprise:
    def __reduce__(self) -> Any:
        return (print, ("run!",))


def test_a_file_that_would_run_code_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="would run code"):
        export(saved({"x": Surprise()}), "x.pt", arcface(), drop_unexpected=False)
    assert "run!" not in capsys.readouterr().out


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a file", saved([1, 2])])
def test_a_file_that_holds_no_weights_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        export(data, "x.pt", arcface(), drop_unexpected=False)


@given(st.binary(max_size=120))
def test_bytes_that_are_no_safetensors_are_refused_in_words(data: bytes) -> None:
    try:
        tensors(data, "x.safetensors")
    except FacemodelsError:
        return
    assert data[8:10] == b"{}" or b"{" in data


@given(st.binary(min_size=1, max_size=60), st.integers(0, 400), st.integers(0, 400))
def test_a_damaged_safetensors_is_refused_in_words_or_read(
    patch: bytes, place: int, cut: int
) -> None:
    whole = bytearray(safetensors({"a": torch.arange(12.0).reshape(3, 4), "b": torch.zeros(2)}))
    whole[place % len(whole) : place % len(whole) + len(patch)] = patch
    try:
        found = tensors(bytes(whole[: cut or len(whole)]), "x.safetensors")
    except InputError:
        return
    assert all(isinstance(value, np.ndarray) for value in found.values())


def test_brain_floats_are_read_as_float32() -> None:
    values = torch.tensor([1.0, -2.5, 3e8, 0.0])
    raw = values.to(torch.bfloat16).view(torch.int16).numpy().tobytes()
    text = json.dumps({"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    found = tensors(struct.pack("<Q", len(text)) + text + raw, "x")["a"]
    np.testing.assert_array_equal(found, values.to(torch.bfloat16).float().numpy())


def test_the_command_takes_the_preprocessing_of_the_architecture(
    state, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pt").write_bytes(saved(state))
    values = arcface().network.model_dump(mode="json")
    network = [f"--network={key}={json.dumps(value)}" for key, value in values.items()]
    command = ["import", "--torch", "x.pt", "--architecture", "arcface", *network]
    done = CliRunner().invoke(
        main,
        [*command, "--name", "recognition-y", "--version", "1.0.0", "--license", "MIT",
         "--data", str(faces), "--no-trial", "--threads", "1"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    package = open_package(tmp_path / "models/recognition/y-v1.0.0")
    assert package.config["preprocessing"] == arcface().preprocessing()
    training = package.metadata["training"]
    assert (training["architecture"], training["initial_weights"]["kind"]) == ("arcface", "torch")
    assert 0 < package.metadata["onnx_max_abs_error"] < 1e-4
    assert package.runtimes == ("onnx",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--torch", "x.pt"], "not stated"),
        (["--torch", "x.pt", "--onnx", "x.onnx"], "2 files"),
        ([], "0 files"),
        (["--torch", "x.pt", "--architecture", "nothing"], "no architecture 'nothing'"),
        (["--torch", "x.pt", "--architecture", "arcface", "--network", "size"], "KEY=VALUE"),
    ],
)
def test_what_is_not_stated_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pt").write_bytes(b"")
    more = ["--name", "recognition-y", "--version", "1.0.0", "--license", "MIT"]
    done = CliRunner().invoke(main, ["import", *options, *more])
    assert done.exit_code == 2
    assert words in done.output
