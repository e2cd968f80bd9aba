"""Too many requests kill no server, however long its answers take then."""

from __future__ import annotations

import pytest

from tests.functional.deployment.conftest import Up
from tests.functional.deployment.overload import MODEL, overload
from tests.functional.deployment.site import EnvironmentSite


@pytest.mark.parametrize("seconds", [3.0, pytest.param(300.0, marks=pytest.mark.full)])
def test_a_version_that_is_asked_for_far_more_than_it_can_do_is_not_killed(
    site: EnvironmentSite, up: Up, seconds: float
) -> None:
    site.configure("production", hang_s=2.0)
    site.in_production(MODEL, "slow")
    production = up(site)
    production.wait_for(v1_0_0=100)
    seen = overload(production, clients=32, seconds=seconds, measure_s=1.0)
    assert seen.kills == 0
    assert seen.goodput > 0
