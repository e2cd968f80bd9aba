"""A file of weights is taken whole or refused, whatever its bytes are."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples
from torch import nn

from facemodels.errors import DataError
from facemodels.training.weights import load_state

# torch remarks on odd files (another protocol of pickle, old storages) before it refuses them.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def written(*, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(nn.Linear(3, 2).state_dict(), buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


FILES = [written(zipped=True), written(zipped=False)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights") / "model.pt"


def taken_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        load_state(nn.Linear(3, 2), path, leave_out="logits.")
    except DataError as error:
        assert "does not hold weights of Linear: " in str(error)  # noqa: PT017
        assert "weights_only" not in str(error)  # noqa: PT017  (torch's advice runs the file's code)


@given(
    st.sampled_from(FILES), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4)
)
@settings(max_examples=examples(150))
def test_altered_bytes_end_in_no_traceback(
    path: Path, content: bytes, changes: list[tuple[float, int]]
) -> None:
    altered = bytearray(content)
    for place, value in changes:
        altered[int(place * (len(altered) - 1))] = value
    taken_or_refused(path, bytes(altered))


@given(st.sampled_from(FILES), st.floats(0, 1))
@settings(max_examples=examples(100))
def test_a_file_that_was_cut_ends_in_no_traceback(path: Path, content: bytes, share: float) -> None:
    taken_or_refused(path, content[: int(share * len(content))])


@given(st.binary(max_size=64))
@settings(max_examples=examples(150))
def test_any_bytes_end_in_no_traceback(path: Path, content: bytes) -> None:
    taken_or_refused(path, content)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model.backbone."])
def test_prefixes_of_wrappers_are_taken_off(path: Path, prefix: str) -> None:
    state = nn.Linear(3, 2).state_dict()
    torch.save({prefix + name: value for name, value in state.items()}, path)
    network = nn.Linear(3, 2)
    load_state(network, path)
    assert torch.equal(network.weight, state["weight"])


def test_a_misfit_names_what_is_too_many_missing_or_of_another_shape(path: Path) -> None:
    state = {"weight": torch.zeros(4, 3), "head.weight": torch.zeros(1)}
    torch.save(state, path)
    with pytest.raises(
        DataError, match=r"too many: head.weight; missing: bias; .*weight is \(4, 3\) and"
    ):
        load_state(nn.Linear(3, 2), path)
