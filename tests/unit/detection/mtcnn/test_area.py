from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from facemodels.detection.mtcnn.area import AreaSums

sides = st.integers(1, 70)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_torch(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    planes = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
    return interpolate(planes, size=(height, width), mode="area").numpy()


@given(height=sides, width=sides, new_height=sides, new_width=sides)
def test_a_picture_is_resized_to_the_last_bit_as_torch_does(
    height: int, width: int, new_height: int, new_width: int
) -> None:
    picture = noise(height, width)
    resized = AreaSums(picture).resized(new_height, new_width)
    # torch takes another way to one single pixel, where the last bit differs.
    np.testing.assert_array_max_ulp(resized, by_torch(picture, new_height, new_width), 1)


@given(data=st.data(), size=st.sampled_from([7, 24, 48]))
def test_each_crop_of_many_is_what_torch_makes_of_it_alone(data: st.DataObject, size: int) -> None:
    picture = noise(60, 80)
    lefts = data.draw(st.lists(st.integers(0, 70), min_size=1, max_size=5))
    boxes = np.array([[x, x // 2, x + 1 + x % 10, 60 - x % 7] for x in lefts])
    crops = AreaSums(picture).crops(boxes, size)
    for crop, (left, top, right, bottom) in zip(crops, boxes, strict=True):
        np.testing.assert_array_equal(
            crop, by_torch(picture[top:bottom, left:right], size, size)[0]
        )


def test_sums_over_more_than_32_bits_still_give_the_means() -> None:
    picture = np.full((4200, 4200, 3), 255, np.uint8)  # 255 * 4200^2 is more than 2^32
    assert (AreaSums(picture).resized(12, 12) == 255).all()
