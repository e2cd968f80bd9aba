from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemodels.errors import DataError
from facemodels.recognition.dlib import PRETRAINED, dat_file
from facemodels.recognition.dlib.dat_file import CONVOLUTION, DENSE, DatFile, parse, read
from facemodels.recognition.dlib.network import DlibResNet, load_dat

PATH = PRETRAINED.locate()
CONTENT = PATH.read_bytes()
FILE = parse(CONTENT, "the file")
SEVERAL = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def structure() -> list[int]:
    """The positions of all bytes that are not weights."""
    is_weight = np.zeros(len(CONTENT), np.bool_)
    start = 0
    for layer in FILE.layers:
        if layer.weights.size:
            weights = layer.weights.T if layer.name == DENSE else layer.weights
            raw = weights.tobytes() + layer.bias.tobytes()
            start = CONTENT.index(raw, start)
            is_weight[start : start + len(raw)] = True
    return np.flatnonzero(~is_weight).tolist()


def state(file: DatFile) -> dict[str, torch.Tensor]:
    network = DlibResNet()
    load_dat(network, file, "the file")
    return network.state_dict()


STRUCTURE = structure()
STATE = state(FILE)


def test_the_file_holds_29_convolutions_and_one_dense_layer_for_chips_of_150_pixels() -> None:
    names = [layer.name for layer in FILE.layers]
    assert names.count(CONVOLUTION) == 29
    assert names.count(DENSE) == 1
    assert FILE.size == (150, 150)
    assert FILE.mean == pytest.approx((122.782, 117.001, 104.298))
    assert FILE.threshold == pytest.approx(0.6)


def test_reading_a_file_is_parsing_its_bytes(tmp_path: Path) -> None:
    assert all(torch.equal(STATE[key], value) for key, value in state(read(PATH)).items())
    with pytest.raises(DataError, match=r"none\.dat cannot be read"):
        read(tmp_path / "none.dat")


@SEVERAL
@given(st.one_of(st.integers(0, len(CONTENT) - 1), st.sampled_from(STRUCTURE)))
def test_a_file_that_is_cut_short_is_refused_wherever_it_ends(length: int) -> None:
    with pytest.raises(DataError):
        state(parse(CONTENT[:length], "the file"))


@SEVERAL
@given(st.binary(min_size=1, max_size=40))
def test_a_file_that_goes_on_behind_the_last_layer_is_refused(tail: bytes) -> None:
    with pytest.raises(DataError):
        parse(CONTENT + tail, "the file")


@SEVERAL
@given(st.sampled_from(STRUCTURE), st.integers(1, 255))
def test_an_altered_byte_outside_of_the_weights_is_refused_or_changes_no_weight(
    position: int, change: int
) -> None:
    altered = bytearray(CONTENT)
    altered[position] ^= change
    try:
        found = state(parse(bytes(altered), "the file"))
    except DataError:
        return
    assert all(torch.equal(STATE[key], value) for key, value in found.items())


@SEVERAL
@given(st.binary(max_size=300))
def test_bytes_of_anything_else_are_refused(content: bytes) -> None:
    with pytest.raises(DataError):
        parse(content, "the file")


def test_a_weight_that_is_no_number_is_refused_with_its_place() -> None:
    first = CONTENT.index(FILE.layers[0].weights.tobytes())
    altered = CONTENT[:first] + np.float32(np.nan).tobytes() + CONTENT[first + 4 :]
    with pytest.raises(DataError, match="no finite number at byte"):
        parse(altered, "the file")


def test_the_message_names_the_file_the_place_and_the_remedy() -> None:
    with pytest.raises(DataError, match=r"faces\.dat has .* at byte \d+.*as dlib\.net publishes"):
        parse(CONTENT[:5000], "faces.dat")


def test_a_file_of_other_layers_is_refused_with_the_first_that_differs() -> None:
    swapped = (FILE.layers[0], *FILE.layers[2:3], *FILE.layers[1:2], *FILE.layers[3:])
    file = DatFile(FILE.mean, FILE.size, FILE.threshold, swapped)
    with pytest.raises(DataError, match="layer 2"):
        state(file)


def test_a_file_of_another_mean_is_refused() -> None:
    with pytest.raises(DataError, match="mean"):
        state(DatFile((127.5, 127.5, 127.5), FILE.size, FILE.threshold, FILE.layers))


def test_the_names_of_the_layers_are_those_of_the_format() -> None:
    known = {value for key, value in vars(dat_file).items() if key.isupper()}
    assert {layer.name for layer in FILE.layers} <= known
