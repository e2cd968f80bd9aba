"""The section `kubernetes` of conf/deploy/<environment>.yaml."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from facemodels.params import Count, Frozen

Port = Annotated[int, Field(ge=1, le=65535)]
# RFC 1123: a subdomain names a Secret, a claim or a Gateway, a label names a namespace.
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
Name = Annotated[str, Field(pattern=f"^{_SUBDOMAIN}$")]
OptionalName = Annotated[str, Field(pattern=f"^({_SUBDOMAIN})?$")]
Namespace = Annotated[str, Field(pattern=f"^{_LABEL}$")]
OptionalNamespace = Annotated[str, Field(pattern=f"^({_LABEL})?$")]
# Kubernetes' quantities, without exponents: `500m`, `2`, `1.5`, `1Gi`.
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
_PINNED = re.compile(r"[^\s@]+(@sha256:[0-9a-f]{64}|:(?!latest$)[\w.-]{1,128})")


def _pinned(image: str) -> str:
    if not _PINNED.fullmatch(image):
        raise ValueError("name a tag other than `latest`, or a digest: `…@sha256:…`")
    return image


class PodResources(Frozen):
    """What a pod asks the scheduler for.

    Attributes:
        cpu: the CPU that is reserved for a server; there is no limit above it, as throttled
            threads would answer late.
        memory: the memory that is reserved for a server, and its limit.
        disk: the limit of the pod's own files: the package, and the clone it was pulled through.
    """

    cpu: Quantity = "1"
    memory: Quantity = "2Gi"
    disk: Quantity = "4Gi"


class GatewayReference(Frozen):
    """The Gateway that the routes hang on.

    Attributes:
        name: the name of the Gateway.
        namespace: its namespace.
        pods_namespace: the namespace of the pods that forward its requests, from which the servers
            let requests in; if it is empty, that of the Gateway.
        section: the listener; if it is empty, every listener that takes the routes.
        hostnames: the host names of the requests; if there are none, those of the listener.
        mirrors: whether its class supports `HTTPRouteRequestMirror` and percentages of it, for
            shadows. Traefik 3.7 does not, and answers 500 to every request of such a rule.
    """

    name: Name
    namespace: Namespace
    pods_namespace: OptionalNamespace = ""
    section: str = ""
    hostnames: tuple[str, ...] = ()
    mirrors: bool = False


class EgressPeer(Frozen):
    """Whom pods may call.

    Attributes:
        cidr: a network, for example `10.20.0.0/16`; `0.0.0.0/0` is everybody.
        namespace: a namespace of the cluster, in the place of a network.
        ports: the TCP ports.
    """

    cidr: str = ""
    namespace: OptionalNamespace = ""
    ports: Annotated[tuple[Port, ...], Field(min_length=1)] = (443,)

    @model_validator(mode="after")
    def _one_peer(self) -> Self:
        if bool(self.cidr) == bool(self.namespace):
            raise ValueError("whom pods may call is either a cidr or a namespace")
        if self.cidr:
            ip_network(self.cidr)
        return self


class KubernetesSettings(Frozen):
    """Where and how an environment runs on Kubernetes.

    Attributes:
        image: the image of the server, with a tag or a digest.
        repository: the URL of the Git repository from which pods pull the packages.
        gateway: the Gateway that clients call.
        egress: whom pods may call, beside the cluster's name servers: Git and the object store. If
            it is empty, nobody.
        namespace: the namespace of all objects; if it is empty, `facemodels-<environment>`.
        max_replicas: the most servers of a version; `replicas` are the fewest.
        cpu_percent: the use of the reserved CPU at which a version gets more servers, in percent.
        reserve_percent: the pods that each version keeps which one command may give all of the
            requests (in a rollout, or the one before), in percent of what they need now. It needs
            the controller.
        resources: what a server gets.
        tokens_secret: the Secret whose key `tokens.yaml` is a file of `facemodels token`.
        metrics_secret: the Secret whose key `token` is a bearer token of the scope `metrics`.
        no_auth: whether the servers answer without tokens whatever passes the NetworkPolicy.
        credentials_env: the Secret whose keys become environment variables of the container that
            pulls: of the object store (`AWS_ACCESS_KEY_ID` …) and of Git (`GIT_CONFIG_COUNT` …).
        credentials_files: the Secret that is mounted at /etc/facemodels/credentials there.
        pull_secrets: the Secrets with which the image is pulled.
        galleries_claim: the PersistentVolumeClaim with a folder for each of the environment's
            galleries; servers read it.
        dns_namespace: the namespace of the cluster's name servers; if it is empty, pods may ask any
            address for names, as name servers on the nodes themselves are in no namespace.
        monitoring_namespace: the namespace whose Prometheus scrapes the servers; if it is empty,
            nobody does, and there are no ServiceMonitors.
    """

    image: Annotated[str, AfterValidator(_pinned)]
    repository: Annotated[str, Field(min_length=1)]
    gateway: GatewayReference
    egress: tuple[EgressPeer, ...]
    namespace: OptionalNamespace = ""
    max_replicas: Count = 10
    cpu_percent: Annotated[int, Field(ge=1, le=100)] = 70
    reserve_percent: Annotated[int, Field(ge=0, le=100)] = 100
    resources: PodResources = PodResources()
    tokens_secret: OptionalName = ""
    metrics_secret: OptionalName = ""
    no_auth: bool = False
    credentials_env: OptionalName = ""
    credentials_files: OptionalName = ""
    pull_secrets: tuple[Name, ...] = ()
    galleries_claim: OptionalName = ""
    dns_namespace: OptionalNamespace = ""
    monitoring_namespace: OptionalNamespace = ""

    @model_validator(mode="after")
    def _one_access_rule(self) -> Self:
        if bool(self.tokens_secret) == self.no_auth:
            raise ValueError("set either tokens_secret or no_auth: true")
        if self.monitoring_namespace and self.tokens_secret and not self.metrics_secret:
            raise ValueError("with tokens, Prometheus needs metrics_secret")
        return self
