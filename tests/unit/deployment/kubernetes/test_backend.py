"""The cluster follows the plan, whatever happens to it, to the API server and to the controller."""

from __future__ import annotations

import gc
import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.unit.deployment.kubernetes.api_server import ApiServer
from tests.unit.deployment.kubernetes.cluster import LEAST, ROOT, made, target
from tests.unit.deployment.kubernetes.site import LIMIT_S, MODEL, Site, until
from tests.unit.deployment.plans import promote, roll_out, withdraw
from tests.unit.registry.conftest import V1, V2, V3, Ledger, move, start

from facemodels.deployment.controller.backend import cluster_backend
from facemodels.deployment.controller.loop import Controller
from facemodels.deployment.kubernetes import reconciler
from facemodels.deployment.kubernetes.backend import GatewayRouter
from facemodels.deployment.kubernetes.client import ClusterClient
from facemodels.deployment.kubernetes.lease import EnvironmentLease
from facemodels.deployment.kubernetes.plan import plan
from facemodels.deployment.kubernetes.reconciler import MayStay, Reconciler
from facemodels.deployment.kubernetes.target import object_name
from facemodels.deployment.settings import FOLDER, load, state_folder
from facemodels.errors import FacemodelsError
from facemodels.files import write_yaml
from facemodels.monitoring.analysis.conduct import ServerConduct
from facemodels.registry.registry import Registry

pytest.importorskip("lightkube")
# lightkube leaves the connection of a watch that ends with an error to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.server.stop()
    found.end()
    for thread in threading.enumerate():  # also those of controllers that died
        if thread.name.startswith("watch "):
            thread.join(LIMIT_S)
    gc.collect()  # here, where the warnings of lightkube's sockets are expected


def test_a_canary_gets_its_share_when_it_is_ready_and_a_rollback_moves_one_route(
    site: Site,
) -> None:
    site.deploy(V1)
    site.until_weights(v1_0_0=100)
    site.ledger.add(roll_out(V2, 10))
    until(lambda: site.turned(object_name(V2) in site.server.names("Deployment")))
    site.turn()
    assert site.weights() == {object_name(V1): 100}  # it has no ready pod yet
    site.server.set_ready(object_name(V2))
    site.until_weights(v1_0_0=90, v1_1_0=10)
    site.settle()
    del site.server.requests[:]
    site.ledger.add(withdraw(V2))
    site.until_weights(v1_0_0=100)
    changed = [one for one in site.server.requests if one[0] == "apply"]
    assert changed == [("apply", "HTTPRoute", MODEL)]
    # What nobody wants any more goes, after it got its last request.
    until(lambda: site.turned(object_name(V2) not in site.server.names("Deployment")))
    until(lambda: site.turned(object_name(V2) not in site.server.names("HTTPRoute")))


def test_an_edit_by_hand_is_undone_and_the_number_of_pods_is_the_autoscalers(site: Site) -> None:
    site.deploy(V1)
    site.until_weights(v1_0_0=100)
    name = object_name(V1)
    site.server.edit("Deployment", name, "autoscaler", spec={"replicas": 7})
    site.server.edit("Service", name, "kubectl", spec={"type": "LoadBalancer"})
    site.server.edit("HTTPRoute", MODEL, "kubectl", spec={"rules": []})

    def mended() -> bool:
        service = site.server.get("Service", name)
        return site.turned(service is not None and service["spec"]["type"] == "ClusterIP")

    until(mended)
    site.until_weights(v1_0_0=100)
    deployment = site.server.get("Deployment", name)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 7
    managers = {one["manager"] for one in deployment["metadata"]["managedFields"]}
    assert managers == {"facemodels-production", "autoscaler"}


def test_a_version_in_a_rollout_keeps_the_pods_that_all_requests_need(site: Site) -> None:
    site.deploy(V1)
    site.until_weights(v1_0_0=100)
    site.server.edit("Deployment", object_name(V1), "autoscaler", spec={"replicas": 7})
    site.ledger.add(roll_out(V2, 10))

    def least(identity: str) -> int:
        site.turn()
        found = site.server.get("HorizontalPodAutoscaler", object_name(identity))
        return found["spec"]["minReplicas"] if found else 0

    until(lambda: least(V2) == 7)
    site.deploy(V2)
    until(lambda: least(V2) == 8)  # 7 do 90 % of the work
    site.server.set_ready(object_name(V1), 0)  # all of its pods die: theirs stay
    for _ in range(3):
        assert (least(V1), least(V2)) == (1, 8)


def test_a_refusal_is_told_and_hinders_no_other_object(site: Site) -> None:
    site.server.refused = {"HorizontalPodAutoscaler"}
    site.deploy(V1)
    site.until_weights(v1_0_0=100)
    until(lambda: "HorizontalPodAutoscaler" in site.cluster.reconciler.problem)
    assert "cannot apply" in site.cluster.reconciler.problem
    site.server.refused = set()
    until(lambda: not site.cluster.reconciler.problem)
    assert object_name(V1) in site.server.names("HorizontalPodAutoscaler")


def test_a_rollback_waits_for_no_object_that_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.server.refused = {"HorizontalPodAutoscaler"}
    site.deploy(V1)
    site.ledger.add(roll_out(V2, 10))
    monkeypatch.setattr(reconciler, "_FIRST_WAIT_S", 1000.0)  # the next try of what is refused
    site.deploy(V2)
    site.until_weights(v1_0_0=90, v1_1_0=10)
    site.ledger.add(withdraw(V2))
    site.until_weights(v1_0_0=100)
    assert "HorizontalPodAutoscaler" in site.cluster.reconciler.problem


def test_routes_are_applied_before_all_else_that_changed(site: Site) -> None:
    site.ledger.add(roll_out(V2, 10))
    site.deploy(V1, V2)
    site.until_weights(v1_0_0=90, v1_1_0=10)
    objects = made(site.state)
    site.settle()
    for one in objects:
        one["metadata"]["annotations"] = {"changed": "yes"}
    del site.server.requests[:]
    site.cluster.reconciler.want(objects, MayStay(everything=True))
    until(lambda: len(site.server.requests) == len(objects))
    order = [kind for _, kind, _ in site.server.requests]
    assert order == sorted(order, key=lambda kind: kind != "HTTPRoute")


def test_an_object_of_somebody_else_is_left_as_it_is_and_gets_no_requests(site: Site) -> None:
    name = object_name(V1)
    site.server.put("Service", name, "facemodels-staging", spec={"type": "LoadBalancer"})
    site.deploy(V1)
    until(lambda: "somebody else's" in site.cluster.problem)
    site.turn()
    assert (site.server.get("Service", name) or {})["spec"] == {"type": "LoadBalancer"}
    assert site.weights() == {}


def test_routes_count_when_the_gateway_uses_them_and_its_refusal_is_told(site: Site) -> None:
    router = GatewayRouter(site.cluster)
    site.server.gateway = None
    site.deploy(V1)
    site.until_weights(v1_0_0=100)
    until(lambda: site.cluster.reconciler.settled("HTTPRoute"))
    assert not router.applied("it")
    assert not router.problem
    site.server.set_gateway("False", "NotAllowedByListeners")
    until(lambda: "NotAllowedByListeners" in router.problem)
    site.server.set_gateway("True", "Accepted")
    until(lambda: site.turned(router.applied("it")))


def test_of_two_controllers_one_acts_until_it_ends_or_falls_silent(tmp_path: Path) -> None:
    server, where = ApiServer(), target(LEAST)
    client = ClusterClient(where.namespace, where.labels(), where.manager, server.kubeconfig)
    clock = [0.0]

    def lease(name: str) -> EnvironmentLease:
        return EnvironmentLease(client, where, tmp_path / name, lambda: clock[0])

    def tried(*asked: EnvironmentLease) -> list[bool]:
        clock[0] += 5.0
        for one in asked:
            one.try_once()
        return [first.is_held(), second.is_held()]

    first, second = lease("a"), lease("b")
    for _ in range(6):
        assert tried(first, second) == [True, False]
    assert "runs the environment; this one waits" in second.problem
    again = lease("a")  # after a kill: its state folder says that it is the same one
    again.try_once()
    assert again.is_held()
    held = [tried(second)[1] for _ in range(5)]  # nobody renews it
    assert held == [False, False, False, False, True]
    assert tried(first, second) == [False, True]  # the silent one learns that it was replaced
    server.stop()
    assert tried(second) == [False, True]  # for a while without the server
    clock[0] += 15.0
    assert not second.is_held()
    server.start()
    assert tried(first, second) == [False, True]
    second.close()
    assert tried(first)[0]
    client.close()
    server.stop()


def test_a_namespace_that_changes_while_it_runs_is_told_and_nothing_moves(site: Site) -> None:
    site.deploy(V1)
    site.until_weights(v1_0_0=100)
    site.settle()
    site.servers.configure(target({**LEAST, "namespace": "elsewhere"}).settings)
    assert "from the next start on" in site.cluster.problem
    site.turn()
    assert site.cluster.target.namespace == "facemodels-production"
    site.servers.configure(target({**LEAST, "max_replicas": 12}, drain_s=0.0).settings)
    site.settle()
    assert not site.cluster.problem
    found = site.server.get("HorizontalPodAutoscaler", object_name(V1)) or {}
    assert found["spec"]["maxReplicas"] == 12


def test_tags_that_name_no_version_end_nothing(site: Site) -> None:
    site.deploy(V1)
    site.until_weights(v1_0_0=100)
    site.ledger = Ledger()
    del site.server.requests[:]
    site.turn()
    until(lambda: "the tags name no version" in site.cluster.problem)
    site.cluster.reconciler._turn()
    assert [one for one in site.server.requests if one[0] == "delete"] == []


def test_a_watch_whose_network_is_cut_silently_is_begun_anew() -> None:
    server = ApiServer()
    where = target(LEAST)
    client = ClusterClient("n", where.labels(), "us", server.kubeconfig, watch_s=0.2)
    seen = Reconciler(client, ["Service"])
    seen.start()
    until(lambda: seen.has_seen("Service"))
    server.mute = True
    server.put("Service", "s", "us", metadata={"name": "s", "labels": where.labels()})
    until(lambda: len(seen.live("Service")) == 1)
    server.stop()
    seen.close()
    gc.collect()


def test_a_new_controller_deletes_nothing_before_it_has_seen_all(site: Site) -> None:
    site.deploy(V1)
    site.until_weights(v1_0_0=100)
    site.end()
    del site.server.requests[:]
    (site.folder / "serving.json").unlink()  # and its state folder is lost
    site.begin()
    until(lambda: bool(site.servers.urls()))
    site.until_weights(v1_0_0=100)
    assert [one for one in site.server.requests if one[0] == "delete"] == []


@pytest.mark.parametrize("seed", range(4))
def test_every_backend_with_a_share_is_ready_and_the_cluster_comes_to_what_the_tags_say(
    site: Site, seed: int
) -> None:
    """Operators, pods, hands and faults in random order; then the world holds still."""
    chance = random.Random(seed)
    server = site.server
    readied: set[str] = set()

    def pods() -> None:
        for name in server.names("Deployment") - readied:
            if chance.random() < 0.7:
                server.set_ready(name)
                readied.add(name)

    def operate() -> None:
        act = chance.choice(
            [
                roll_out(V2, chance.choice([5, 50])), roll_out(V3, 20, "shadow"),
                roll_out(V3, 0, "blue-green"), withdraw(V2), withdraw(V3),
                promote(V2), promote(V3), promote(V1),
            ]
        )  # fmt: skip
        with suppress(FacemodelsError):  # the rules refuse it now
            site.ledger.add(act)

    def hand() -> None:
        if MODEL in server.names("HTTPRoute"):
            server.edit("HTTPRoute", MODEL, "kubectl", spec={"rules": []})

    def busy() -> None:
        server.busy = chance.randint(1, 4)

    def restart_controller() -> None:
        site.end()
        site.begin()

    def restart_server() -> None:
        server.stop()
        server.start()

    acts = [pods, pods, operate, operate, hand, busy, server.forget, server.cut_watches]
    acts += [restart_controller, restart_server]
    for _ in range(25):
        chance.choice(acts)()
        for _ in range(3):
            site.turn()
            _shares_are_ready(site, readied)
    server.busy = 0

    def all_ready() -> bool:
        for name in server.names("Deployment") - readied:
            server.set_ready(name)
            readied.add(name)
        site.turn()
        _shares_are_ready(site, readied)
        wanted = plan(site.state, site.cluster.target)
        shares = {object_name(i): n for i, n in wanted.traffic[MODEL].shares.items()}
        names = {object_name(i) for i in wanted.versions}
        stand_ins = {object_name(i) for one in site.traffic.values() for i in one.stand_ins}
        return site.weights() == shares and names <= server.names("Deployment") <= names | stand_ins

    until(all_ready, f"seed {seed}: {site.weights()} {site.cluster.reconciler.problem}")


def _shares_are_ready(site: Site, readied: set[str]) -> None:
    """No request goes to a version that never had a ready pod."""
    assert set(site.weights()) <= readied
    assert sum(site.weights().values()) in (0, 100)


def test_the_controllers_loop_runs_a_cluster_from_the_tags_of_a_clone(tmp_path: Path) -> None:
    clone, server = start(tmp_path / "clone"), ApiServer()
    for version in (V1, V2):
        clone.register(version)
        clone.add(move(version, "staging"))
    clone.add(move(V1, "production"))
    path = clone.root / FOLDER / "production.yaml"
    ports = {"address": {"port": 0}, "control": {"port": 0}, "fetch_interval_s": 0.05}
    write_yaml(path, {**ports, "backend": "kubernetes", "kubernetes": LEAST})
    shutil.copy(ROOT / "conf/rollback_triggers.yaml", clone.root / "conf")
    settings = load(clone.root, "production")
    folder = state_folder(clone.root, "production", settings)
    backend = cluster_backend(clone.root, "production", folder, settings, server.kubeconfig)
    controller = Controller(Registry(clone.repository), "production", settings, backend=backend)

    def shares() -> dict[str, int]:
        controller.tick()
        for name in server.names("Deployment"):
            if not (server.get("Deployment", name) or {}).get("status"):
                server.set_ready(name)
        status = controller.status()
        assert {key for key in status["alarms"] if key in {"servers", "routes", "tags"}} == set()
        applied = status["router"]["applied"]
        return status["models"][0]["serving"] if status["models"] and applied else {}

    try:
        until(lambda: shares() == {V1: 100})
        clone.add(roll_out(V2, 10))
        until(lambda: shares() == {V1: 90, V2: 10})
        clone.add(withdraw(V2))
        until(lambda: shares() == {V1: 100})
        assert [one["ready"] for one in controller.status()["servers"]] == [True, True]
        clone.add(roll_out(V2, 10))
        until(lambda: shares() == {V1: 90, V2: 10})
        dead = {"name": "server", "restartCount": 3, "lastState": KILLED}
        server.put_pod(object_name(V2), containerStatuses=[dead])

        def deaths() -> ServerConduct | None:
            controller.tick()
            return controller._servers.conduct().get(V2)

        until(lambda: deaths() == ServerConduct(3, "OOMKilled (exit code 137)"))
    finally:
        server.stop()
        controller.stop()
        controller.run()  # it ends at once, in order
    assert server.names("Deployment") == {object_name(V1), object_name(V2)}  # pods outlive it
