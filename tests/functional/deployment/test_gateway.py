"""A real Gateway routes real requests by our objects: Traefik, as an implementation of Gateway API.

Traefik watches the API server of the tests, to which the controller's backend applies the routes,
and writes its verdict on them there. Pods are servers of the tests on loopback.
"""

from __future__ import annotations

import http.client
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facemodels.deployment.kubernetes.backend import GatewayRouter
from facemodels.deployment.kubernetes.target import object_name
from facemodels.deployment.router.traefik import free_port, program
from tests.unit.deployment.kubernetes.site import MODEL, Site, until
from tests.unit.deployment.plans import roll_out, withdraw
from tests.unit.registry.conftest import V1, V2

pytest.importorskip("lightkube")
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
API = "gateway.networking.k8s.io/v1"


class Pod(ThreadingHTTPServer):
    """Answers with the name of its version and the path that reached it."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.name = name
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}).start()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer
    server: Pod

    def do_GET(self) -> None:
        body = f"{self.server.name} {self.path}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


class GatewaySite(Site):
    """A cluster with a Gateway.

    Attributes:
        port: on which clients call.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server.gateway = None  # Traefik judges the routes
        self.port = free_port("127.0.0.1")
        self.pods: list[Pod] = []
        listener = {"name": "web", "port": self.port, "protocol": "HTTP"}
        listener["allowedRoutes"] = {"namespaces": {"from": "All"}}
        controller = {"controllerName": "traefik.io/gateway-controller"}
        self.server.put("GatewayClass", "traefik", "x", apiVersion=API, spec=controller)
        self.server.put(
            "Gateway", "public", "x", apiVersion=API,
            metadata={"name": "public", "namespace": "gateways"},
            spec={"gatewayClassName": "traefik", "listeners": [listener]},
        )  # fmt: skip
        for name in ("gateways", self.cluster.target.namespace):
            self.server.put("Namespace", name, "x", metadata={"name": name})
        self.traefik = subprocess.Popen(
            [
                program(), f"--entrypoints.web.address=127.0.0.1:{self.port}",
                "--providers.kubernetesgateway=true", "--global.checknewversion=false",
                f"--providers.kubernetesgateway.endpoint={self.server.url}",
                "--providers.kubernetesgateway.token=none", "--providers.providersthrottleduration=100ms",
            ],
            stdout=(folder / "traefik.log").open("wb"), stderr=subprocess.STDOUT,
        )  # fmt: skip

    def add_pod(self, identity: str) -> None:
        """Give a version a pod behind its Service, which the cluster would do."""
        pod = Pod(object_name(identity))
        self.pods.append(pod)
        self.server.put(
            "EndpointSlice", pod.name, "x", apiVersion="discovery.k8s.io/v1",
            metadata={
                "name": pod.name, "namespace": self.cluster.target.namespace,
                "labels": {"kubernetes.io/service-name": pod.name},
            },
            addressType="IPv4",
            ports=[{"name": "http", "port": pod.server_address[1], "protocol": "TCP"}],
            endpoints=[{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        )  # fmt: skip

    def ask(self, path: str = "/api/embed", **headers: str) -> str:
        """The version that answers and the path that it saw; the status of an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            text = response.read().decode()
            return text if response.status == 200 else str(response.status)
        except OSError:
            return "no answer"
        finally:
            connection.close()

    def close(self) -> None:
        self.traefik.kill()
        self.traefik.wait()
        self.server.stop()
        self.end()
        for pod in self.pods:
            pod.shutdown()
            pod.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[GatewaySite]:
    found = GatewaySite(tmp_path)
    yield found
    found.close()


def test_a_real_gateway_shares_out_requests_as_planned_and_a_rollback_loses_none(
    site: GatewaySite,
) -> None:
    old, new = object_name(V1), object_name(V2)
    gateway = GatewayRouter(site.cluster)
    site.add_pod(V1)
    site.add_pod(V2)
    site.deploy(V1)
    site.until_weights(v1_0_0=100)
    until(lambda: gateway.applied("it"), "Traefik did not accept the routes")
    until(lambda: site.ask() == f"{old} /api/embed")
    # Addresses, as the local router has them.
    assert site.ask(f"/models/{MODEL}/api/embed") == f"{old} /api/embed"
    versioned = f"/v2/models/{MODEL}/versions/1.0.0/infer"
    assert site.ask(f"/models/{MODEL}{versioned}") == f"{old} {versioned}"
    assert {site.ask("/metrics"), site.ask(f"/models/{MODEL}/metrics/")} <= {"404", "500"}

    site.ledger.add(roll_out(V2, 10))
    site.deploy(V2)
    site.until_weights(v1_0_0=90, v1_1_0=10)
    until(lambda: new in {site.ask().split()[0] for _ in range(10)})
    answers = Counter(site.ask().split()[0] for _ in range(500))
    assert set(answers) == {old, new}
    assert abs(answers[new] - 50) <= 1

    seen: list[tuple[float, str]] = []
    ends = threading.Event()

    def load() -> None:
        while not ends.is_set():
            seen.append((time.monotonic(), site.ask().split()[0]))

    clients = [threading.Thread(target=load) for _ in range(2)]
    for client in clients:
        client.start()
    until(lambda: new in {name for _, name in seen})
    begun = time.monotonic()
    site.ledger.add(withdraw(V2))
    site.until_weights(v1_0_0=100)
    until(lambda: all(name == old for _, name in seen[-100:]) and len(seen) > 200)
    ends.set()
    for client in clients:
        client.join()
    assert {name for _, name in seen} <= {old, new}  # none failed
    last = max((at for at, name in seen if name == new), default=begun)
    assert last - begun < 5.0  # 0.1 s on an idle machine
