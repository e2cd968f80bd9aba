"""The licence of what is made of several parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.package.licences import strictest


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["MIT", "CC0-1.0"], "MIT"),
        (["Apache-2.0", "AGPL-3.0", "Apache-2.0"], "AGPL-3.0"),
        (["AGPL-3.0", "LicenseRef-300-W-non-commercial"], "LicenseRef-300-W-non-commercial"),
        (["CC0-1.0"], "CC0-1.0"),
    ],
)
def test_the_part_that_allows_the_least_decides(parts: list[str], whole: str) -> None:
    assert strictest(parts) == whole


@given(
    st.lists(
        st.sampled_from(["CC0-1.0", "MIT", "AGPL-3.0", "LicenseRef-x", "LicenseRef-y"]), min_size=1
    )
)
def test_the_order_of_the_parts_does_not_matter(parts: list[str]) -> None:
    assert strictest(parts) == strictest(sorted(parts))
    assert strictest(parts) in parts
