"""What was published, and what a router may still go by."""

from __future__ import annotations

from pathlib import Path

from facemodels.deployment.router.published import PublishedRoutes
from facemodels.deployment.router.routes import Route, RouteArm
from facemodels.deployment.router.traffic import Traffic

MODEL = "recognition-facenet"


def test_the_versions_of_earlier_routes_are_known_until_all_routers_use_the_new_ones(
    tmp_path: Path,
) -> None:
    """Their servers end only then: one may have to answer for another that died."""
    published = PublishedRoutes(tmp_path, lambda routes, *_: str(routes))

    def serve(*versions: str) -> None:
        arms = tuple(
            RouteArm(f"rec-facenet-v{one}", 100 if one == versions[0] else 0, ("http://a",))
            for one in versions
        )
        route = Route(MODEL, "recognition", arms)
        published.publish([route], {MODEL: Traffic(MODEL, arms[0].id)}, MODEL)

    serve("1.1.0", "1.0.0")
    assert published.past(applied=False) == set()
    serve("1.2.0", "1.1.0")
    serve("1.2.0")
    old = {"rec-facenet-v1.0.0", "rec-facenet-v1.1.0"}
    assert published.past(applied=False) >= old
    published = PublishedRoutes(tmp_path, lambda routes, *_: str(routes))  # the next controller
    serve("1.3.0")
    assert published.past(applied=False) == {"rec-facenet-v1.2.0"}
    assert published.past(applied=True) == set()
    assert published.past(applied=False) == set()
