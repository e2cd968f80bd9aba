"""The cluster's part of an environment, and how its objects are called. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.deployment.kubernetes_settings import KubernetesSettings
from facemodels.deployment.settings import Environment
from facemodels.errors import InputError
from facemodels.names import ModelId
from facemodels.serving.settings import Serving

Object = dict[str, Any]  # one object of Kubernetes, as its JSON is
MANAGER = "facemodels"  # the value of the label managed-by
NAME, INSTANCE = "app.kubernetes.io/name", "app.kubernetes.io/instance"  # the model, the version
PORT = 8000  # on which a server listens in its pod
MODEL_ID = "facemodels/model-id"  # the annotation that holds a version's id as it is
# Names of pods get a suffix, and a Service's name has at most 63 characters (RFC 1035).
_LONGEST = 50
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class ClusterTarget:
    """Where the objects of an environment go.

    Attributes:
        environment: `staging` or `production`.
        settings: the settings of the environment.
        cluster: their section `kubernetes`.
        serving: the limits and sizes of the servers.
        serving_file: the text of the file that `serving` was read from; "" for the defaults.
        kserve: whether KServe makes Deployments, Services and autoscalers.
    """

    environment: str
    settings: Environment
    cluster: KubernetesSettings
    serving: Serving
    serving_file: str = ""
    kserve: bool = False

    @property
    def namespace(self) -> str:
        """The namespace of all objects."""
        return self.cluster.namespace or f"facemodels-{self.environment}"

    @property
    def manager(self) -> str:
        """The field manager: one an environment, as two in one namespace are strangers."""
        return f"{MANAGER}-{self.environment}"

    def service(self, identity: str) -> str:
        """The name of the Service of a version; KServe names its own after the predictor."""
        return object_name(identity) + ("-predictor" if self.kserve else "")

    def metadata(
        self, name: str, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The metadata of an object: name, namespace, labels and annotations."""
        found: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": {**labels, **self.labels()},
        }
        return found | ({"annotations": dict(annotations)} if annotations else {})

    def labels(self) -> dict[str, str]:
        """The labels of every object of the environment."""
        return {
            "app.kubernetes.io/part-of": "facemodels",
            "app.kubernetes.io/managed-by": MANAGER,
            "facemodels/environment": self.environment,
        }


def object_name(text: str) -> str:
    """The name of the objects of a version or a model: `rec-facenet-v2.1.3` → `rec-facenet-v2-1-3`.

    It is a label of RFC 1035, as Services need. Different texts have different names: what a
    replacement could confuse, or what is too long, gets eight digits of a SHA-256.
    """
    plain = re.sub(r"[._]", "-", text)
    if "_" not in text and len(plain) <= _LONGEST:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{plain[: _LONGEST - 9].rstrip('-')}-{digest}"


def model_labels(model: str) -> dict[str, str]:
    """The labels by which the objects of a model are found.

    Raises:
        InputError: the name is no value of a label.
    """
    return {NAME: _label(model)}


def version_labels(identity: str) -> dict[str, str]:
    """The labels of the objects of a version.

    Raises:
        InputError: the model's name is no value of a label.
    """
    parsed = ModelId.parse(identity)
    return {
        **model_labels(str(parsed.name)),
        INSTANCE: object_name(identity),
        "app.kubernetes.io/version": str(parsed.version),
    }


def version_annotations(identity: str) -> dict[str, str]:
    """The annotation that holds the whole id."""
    return {MODEL_ID: identity}


def id_of(one: Object) -> str:
    """The id of the version that an object belongs to; "" if it is none of ours."""
    return str(one["metadata"].get("annotations", {}).get(MODEL_ID, ""))


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise InputError(
            f"{text} cannot be a label of Kubernetes.",
            "A label has at most 63 characters and ends with a letter or a digit.",
        )
    return text
