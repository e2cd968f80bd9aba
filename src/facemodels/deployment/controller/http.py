"""Serves the controller's own address: its metrics, and the webhook for alerts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, ClassVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from facemodels.deployment.controller.control_access import ControlAccess
from facemodels.deployment.settings import Address
from facemodels.errors import FacemodelsError, InputError
from facemodels.files import canonical_json
from facemodels.monitoring.alerts.alertmanager import MOST, PATH, Alert, read_alert
from facemodels.monitoring.metrics.reading import LOST, PROBE, Series
from facemodels.serving.http.access import is_loopback

VERDICTS = "/verdicts"  # for the `web` provider of Argo Rollouts, among others
_LABELS = ("model_name", "model_version")
_PATIENCE_S = 5.0  # time limit for a client to send its request


class ControllerMetrics(Collector):
    """Collects the controller's metrics for Prometheus.

    Args:
        status: gives the status document, as in status.json.
        accuracy: gives the rates on the probes, by version.
        lost: gives the requests that died inside a server since the router's start, by version.
    """

    def __init__(
        self,
        status: Callable[[], Mapping[str, Any]],
        accuracy: Callable[[], Mapping[str, Mapping[str, float | None]]],
        lost: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._lost = lost
        self._status = status
        self._accuracy = accuracy

    def collect(self) -> Iterable[Metric]:
        """Yield the shares, the number of alarms, and the rates on the probes."""
        status = self._status()
        share = GaugeMetricFamily("facemodels_share_ratio", "Share of the requests", labels=_LABELS)
        for model in status["models"]:
            for identity, percent in model["serving"].items():
                share.add_metric(Series.of(identity), percent / 100)
        yield share
        yield GaugeMetricFamily(
            "facemodels_alarms", "Somebody has to look", value=len(status["alarms"])
        )
        died = CounterMetricFamily(LOST, "Died inside a server", labels=_LABELS)
        for identity, count in sorted(self._lost().items()):
            died.add_metric(Series.of(identity), count)
        yield died
        yield from self._probes(status["models"])

    def _probes(self, models: Iterable[Mapping[str, Any]]) -> Iterable[Metric]:
        found = self._accuracy()
        names = sorted({name for rates in found.values() for name in rates})
        for name in names:
            family = GaugeMetricFamily(f"{PROBE}{name}", "On the golden set", labels=_LABELS)
            for identity, rates in sorted(found.items()):
                value = rates.get(name)
                if value is not None:
                    family.add_metric(Series.of(identity), value)
            yield family
        baseline = GaugeMetricFamily(
            f"{PROBE}accuracy_baseline", "Of the version beside it", labels=_LABELS
        )
        for model in models:
            rollout = model["rollout"]
            value = found.get(model["stable"], {}).get("accuracy")
            if rollout and value is not None:
                baseline.add_metric(Series.of(rollout["id"]), value)
        yield baseline


class _HttpServer(ThreadingHTTPServer):
    """An HTTP server that listens on IPv6 too, and asks no name server for its own name."""

    daemon_threads = True

    def __init__(self, address: Address) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), BaseHTTPRequestHandler)

    def server_bind(self) -> None:
        """Bind. The library looks the address up backwards too, for a name that is not used."""
        TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)


class ControlServer:
    """The HTTP server of the controller; it runs in threads of its own.

    Args:
        address: the address to listen on; only loopback is allowed, as nothing is encrypted.
        facts: the metrics for `/metrics`.
        tell: called with the alerts that the webhook receives.
        token: the bearer token that every request must carry.
        verdicts: gives what `/verdicts` answers, by model.

    Raises:
        InputError: the address is taken, or other machines can reach it.
    """

    def __init__(
        self,
        address: Address,
        facts: Collector,
        tell: Callable[[list[Alert]], None],
        token: str,
        verdicts: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        if not is_loopback(address.host):
            raise InputError(
                f"control.host {address.host} can be reached by others, who could roll back.",
                "Use 127.0.0.1, and a proxy that asks for a password before it.",
            )
        registry = CollectorRegistry()
        registry.register(facts)
        try:
            self._server = _HttpServer(address)
        except OSError as error:
            raise InputError(
                f"control.port {address.port} is taken: {error.strerror}.",
                "End the program that has it, or choose another in conf/deploy/.",
            ) from error
        access = ControlAccess(token, int(self._server.server_address[1]))
        self._server.RequestHandlerClass = _handler(registry, tell, access, verdicts)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="control", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _handler(
    registry: CollectorRegistry,
    tell: Callable[[list[Alert]], None],
    access: ControlAccess,
    verdicts: Callable[[], Mapping[str, Any]],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout: ClassVar[float] = _PATIENCE_S
        server_version, sys_version = "facemodels", ""

        def do_GET(self) -> None:
            if self._is_refused():
                return
            if self.path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif self.path == VERDICTS:
                self._answer(200, canonical_json(verdicts()).encode(), "application/json")
            else:
                self._answer(404, b"")

        def do_POST(self) -> None:
            if self._is_refused():
                return
            length = self.headers.get("content-length", "")
            if self.path != PATH:
                self._answer(404, b"")
            elif not length.isascii() or not length.isdigit() or int(length) > MOST:
                self._answer(413, b"")
            else:
                self._take(self.rfile.read(int(length)))

        def _is_refused(self) -> bool:
            refusal = access.refusal(dict(self.headers))
            if refusal is not None:
                self._answer(refusal[0], f"{refusal[1]}\n".encode())
            return refusal is not None

        def _take(self, body: bytes) -> None:
            try:
                alerts = read_alert(body)
            except FacemodelsError as error:
                self._answer(400, f"{error}\n".encode())
                return
            tell(alerts)
            self._answer(200, b"")

        def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Write nothing; the controller has its own log."""

    return Handler
