"""What `facemodels manifests` prints: valid objects, stable bytes, safe pods."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples
from tests.unit.deployment.kubernetes.cluster import FULL, LEAST, ROOT, made, one, target
from tests.unit.deployment.plans import beside, roll_out, rolled_out, withdraw
from tests.unit.registry.conftest import V1, V2, V3

from facemodels.deployment.kubernetes import manifest_folder
from facemodels.deployment.kubernetes.manifests import as_yaml
from facemodels.deployment.kubernetes.pods import USER
from facemodels.deployment.kubernetes.target import Object, object_name
from facemodels.deployment.kubernetes_settings import KubernetesSettings
from facemodels.errors import InputError, ParamsError
from facemodels.names import ModelId, ModelName, Version
from facemodels.params import parse

CANARY = "rec-facenet-v1-1-0"
MODEL = "recognition-facenet"


def pods(found: list[Object]) -> list[Object]:
    return [o["spec"]["template"]["spec"] for o in found if o["kind"] == "Deployment"]


# The oldest version that has the pause before a stop without a feature gate, and the newest.
@pytest.mark.parametrize("version", ["1.30.0", "1.37.0"])
@pytest.mark.parametrize("cluster", [LEAST, FULL], ids=["least", "full"])
def test_the_objects_of_kubernetes_itself_fit_its_schemas(cluster: dict, version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    kinds = set()
    for found in made(
        rolled_out().state, target(cluster, galleries=["staff"] * ("galleries_claim" in cluster))
    ):
        if found["kind"] not in ("HTTPRoute", "ServiceMonitor"):
            validator.validate(found, version, strict=True)
            kinds.add(found["kind"])
    assert kinds == {
        "ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler",
        "NetworkPolicy",
    }  # fmt: skip


def test_equal_tags_give_equal_bytes_and_they_read_back_as_the_objects() -> None:
    found, again = made(rolled_out().state, target(FULL)), made(rolled_out().state, target(FULL))
    assert as_yaml(found) == as_yaml(again)
    assert list(yaml.safe_load_all(as_yaml(found))) == found
    assert "&id" not in as_yaml(found)


def test_what_other_parsers_of_yaml_take_for_a_number_is_quoted() -> None:
    assert "'1e3'" in as_yaml(made(beside().state, target({**LEAST, "pull_secrets": ["1e3"]})))


def test_a_folder_gets_a_file_an_object_and_loses_only_what_it_listed_before(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "production"
    manifest_folder.write(folder, manifest_folder.changes(folder, made(rolled_out().state)))
    (folder / "configmap-mine.yaml").write_text("mine")
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    read = [yaml.safe_load((folder / name).read_text()) for name in listed]
    assert read == made(rolled_out().state)
    assert not any(vars(manifest_folder.changes(folder, read)).values())
    back = manifest_folder.changes(folder, made(beside().state))
    assert {name for name in back.removed if "about" not in name} == {
        f"{kind}-{CANARY}.yaml"
        for kind in ("deployment", "service", "poddisruptionbudget", "horizontalpodautoscaler")
    }
    assert sorted(back.written) == ["httproute-recognition-facenet.yaml", "kustomization.yaml"]
    manifest_folder.write(folder, back)
    assert sorted(one.name for one in folder.iterdir()) == sorted(
        [*map(manifest_folder.file_name, made(beside().state)),
         "configmap-mine.yaml", "kustomization.yaml"]
    )  # fmt: skip
    (folder / "kustomization.yaml").write_text("resources: [../../x.yaml]\n")
    with pytest.raises(InputError, match="was not written by"):
        manifest_folder.changes(folder, [])


def test_a_pod_calls_nobody_but_who_is_named() -> None:
    policy = one(made(beside().state, target(FULL)), "NetworkPolicy", MODEL)["spec"]
    names, *others = policy["egress"]
    asked = {"kubernetes.io/metadata.name": "kube-system"}
    assert names["to"] == [{"namespaceSelector": {"matchLabels": asked}}]
    assert [(rule["to"][0], [p["port"] for p in rule["ports"]]) for rule in others] == [
        ({"ipBlock": {"cidr": "10.20.0.0/16"}}, [22, 443]),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}}, [443]),
    ]
    closed = one(made(beside().state, target({**FULL, "egress": []})), "NetworkPolicy", MODEL)
    assert closed["spec"]["egress"] == [names]


def test_a_step_of_a_canary_and_a_rollback_change_one_route_and_no_server() -> None:
    ledger = rolled_out(10)
    before = made(ledger.state)
    ledger.add(roll_out(V2, 25))
    step = made(ledger.state)
    assert [o["metadata"]["name"] for o in step if o not in before] == [MODEL]
    ledger.add(withdraw(V2))
    back = made(ledger.state)
    changed = [(o["kind"], o["metadata"]["name"]) for o in back if o not in step]
    assert changed == [("HTTPRoute", MODEL)]


def test_every_pod_fits_the_restricted_standard_and_has_no_account() -> None:
    for pod in pods(made(rolled_out().state, target(FULL))):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert set().union(*(volume for volume in pod["volumes"])) <= {
            "name", "emptyDir", "configMap", "secret", "persistentVolumeClaim"
        }  # fmt: skip
        for container in (*pod["initContainers"], *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_kserve_gets_one_inference_service_a_version_and_the_shares_stay_ours() -> None:
    validator = pytest.importorskip("kubernetes_validate")
    found = made(rolled_out().state, replace(target(FULL), kserve=True))
    services = [o for o in found if o["kind"] == "InferenceService"]
    assert [o["metadata"]["name"] for o in services] == [object_name(V1), CANARY]
    for service in services:  # the predictor is a pod's spec with keys of KServe
        ours = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
        spec = {k: v for k, v in service["spec"]["predictor"].items() if k not in ours}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": service["metadata"], "spec": spec}
        validator.validate(pod, "1.37.0", strict=True)
        assert [one["name"] for one in spec["containers"]] == ["kserve-container"]
    backends = one(found, "HTTPRoute", MODEL)["spec"]["rules"][-1]["backendRefs"]
    assert {b["name"]: b["weight"] for b in backends} == {
        f"{object_name(V1)}-predictor": 90, f"{CANARY}-predictor": 10
    }  # fmt: skip
    assert not {"Deployment", "Service", "HorizontalPodAutoscaler"} & {o["kind"] for o in found}


def test_the_image_runs_as_the_user_of_the_pods() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    assert f"\nUSER {USER}:{USER}\n" in text
    (pod, *_) = pods(made(beside().state))
    assert pod["securityContext"]["runAsUser"] == USER


def test_a_pod_pulls_the_bytes_that_were_registered_and_its_server_gets_no_credentials() -> None:
    state = rolled_out().state
    pod = one(made(state, target(FULL)), "Deployment", CANARY)["spec"]["template"]["spec"]
    (pull,), (server,) = pod["initContainers"], pod["containers"]
    asked = pull["args"]
    assert asked[asked.index("--digest") + 1] == state.entries[V2].evidence["package"]
    folder = asked[asked.index("--output") + 1]
    assert server["args"][:2] == ["serve", folder]
    mounted = {mount["name"]: mount.get("readOnly", False) for mount in server["volumeMounts"]}
    assert mounted["packages"] is True
    assert "credentials" not in mounted
    assert "envFrom" not in server


def test_a_server_has_longer_to_end_than_its_own_patience() -> None:
    found = made(beside().state, target(drain_s=7.0))
    for pod in pods(found):
        (server,) = pod["containers"]
        assert server["lifecycle"]["preStop"]["sleep"]["seconds"] == 7
        assert pod["terminationGracePeriodSeconds"] >= 7 + 20  # grace_s of conf/serving.yaml


def test_only_systems_get_the_galleries() -> None:
    found = made(rolled_out().state, target(FULL, galleries=["staff"]))
    assert all("--gallery" not in pod["containers"][0]["args"] for pod in pods(found))


def test_changed_limits_roll_the_servers() -> None:
    first, second = target(), replace(target(), serving_file="workers: 2\n")
    configs = [
        {o["metadata"]["name"] for o in made(beside().state, one) if o.get("immutable")}
        for one in (first, second)
    ]
    assert configs[0].isdisjoint(configs[1])


def test_an_ab_test_is_refused_since_the_standard_route_keeps_no_user() -> None:
    with pytest.raises(InputError, match=r"A/B test.*--strategy canary"):
        made(rolled_out(50, "ab").state)


def test_a_flags_version_runs_and_a_deprecated_one_does_not() -> None:
    flag = {"name": "early", "model_id": V3, "header": "X-Early", "value": "yes"}
    found = made(beside().state, target(flags=[flag]))
    deployed = {o["metadata"]["name"] for o in found if o["kind"] == "Deployment"}
    assert deployed == {object_name(V1), object_name(V3)}


WORDS = st.from_regex(r"[a-z][a-z_]{0,2}(-[a-z][a-z_]{0,39}){0,3}", fullmatch=True)
IDS = st.builds(
    lambda words, version, variant: str(
        ModelId(ModelName("system", words), Version(*version), variant)
    ),
    WORDS,
    st.tuples(*[st.integers(0, 999_999)] * 3),
    st.sampled_from(["", "gpu"]),
)


@settings(max_examples=examples(50))
@given(st.lists(IDS, min_size=2, max_size=4, unique=True))
def test_different_versions_have_different_names_that_a_service_may_have(ids: list[str]) -> None:
    names = [object_name(identity) for identity in ids]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in names)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "facemodels"}, "name a tag"),
        ({"image": "facemodels:latest"}, "name a tag"),
        ({"no_auth": False}, "either tokens_secret or no_auth"),
        ({"tokens_secret": "tokens"}, "either tokens_secret or no_auth"),
        ({"no_auth": False, "tokens_secret": "t", "monitoring_namespace": "m"}, "metrics_secret"),
        ({"namespace": "Faces"}, "namespace"),
        ({"egress": [{"cidr": "10.1.2.3/8"}]}, "host bits"),
        ({"egress": [{"cidr": "10.0.0.0/8", "namespace": "s"}]}, "either a cidr or a namespace"),
    ],
)
def test_wrong_settings_of_a_cluster_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ParamsError, match=words):
        parse(KubernetesSettings, {**LEAST, **change}, "here")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kubernetes": None}, "needs the section kubernetes"),
        ({"replicas": 11}, "max_replicas is below"),
        ({"galleries": ["staff"]}, "galleries_claim"),
        ({"sticky_cookie": "arm"}, "sticky_cookie"),
        ({"version_choice": {"addresses": ["10.0.0.0/8"]}}, "version_choice"),
    ],
)
def test_an_environment_that_a_cluster_cannot_run_is_refused(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        target(**change)
