"""Deployments by the commands of the guide, seen through the router."""

from __future__ import annotations

from collections import Counter

import httpx

from tests.functional.rollout.conftest import Up
from tests.functional.rollout.site import Site


def test_the_guides_way_from_staging_over_a_canary_to_production_and_back(
    site: Site, up: Up
) -> None:
    site.in_production("rec-facenet-v2.1.3")
    site.register("rec-facenet-v2.2.0")
    production = up(site)
    production.wait_for(v2_1_3=100)
    assert production.version() == "2.1.3"

    refused = site.run(
        "deploy", "--model-id", "rec-facenet-v2.2.0", "--environment", "production", code=5
    )
    assert "never in staging" in refused.stderr
    site.deploy("rec-facenet-v2.2.0", environment="staging")
    site.deploy("rec-facenet-v2.2.0", "--strategy", "canary", "--canary-percent", "10")
    production.wait_for(v2_1_3=90, v2_2_0=10)
    with httpx.Client() as client:
        seen = Counter(
            production.ask(client=client).json()["model_version"] for _ in range(100)
        )
    assert seen == {"2.1.3": 90, "2.2.0": 10}
    site.deploy("rec-facenet-v2.2.0", "--strategy", "complete")
    production.wait_for(v2_2_0=100)
    assert production.version() == "2.2.0"

    site.run(
        "rollback", "--model-type", "recognition", "--to-version", "2.1.3",
        "--reason", "High error rate detected",
    )  # fmt: skip
    production.wait_for(v2_1_3=100)
    info = httpx.get(f"{production.url}/api/model/info").json()
    assert (info["version"], info["status"]) == ("2.1.3", "production")
    assert site.findings() == []
    acts = [event.act for event in site.state().events]
    assert acts == [
        "register", "promote", "promote", "register", "promote", "rollout", "promote", "rollback",
    ]  # fmt: skip
