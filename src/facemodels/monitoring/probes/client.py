"""Sends a golden set to one version over HTTP, through the address that clients use."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facemodels.monitoring.probes.golden_set import (
    FaceProbe,
    GoldenSet,
    PairProbe,
    Probe,
    SceneProbe,
)
from facemodels.monitoring.probes.result import OutcomeCounts, ReplayResult
from facemodels.names import ModelId
from facemodels.routes import ABILITY, INFO, ability_path

if TYPE_CHECKING:
    import httpx

_UNUSABLE = 422  # the answer to a photo that shows no face that may be compared
HEADER = "X-Facemodels-Version"  # it names the version that the router must choose
_NOT_COMPARED = "not compared"  # stands in the place of such an answer
_TRIES = 3  # for a request that a busy server answers with 503
_LONGEST_WAIT_S = 1.0
_MOST_BYTES = 10_000_000  # of one answer


class _Failed(Exception):  # noqa: N818  (a reason, counted by the caller)
    """A probe was not answered, or not by the version that was asked; the text is the reason."""


def replay(
    base_url: str,
    probes: GoldenSet,
    version: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    budget: float = 120.0,
) -> ReplayResult:
    """Send every probe, one after the other, and count what comes back.

    A request that fails raises nothing: the probe counts as failed with its reason, and the
    result is incomplete.

    Args:
        base_url: the address before `/api`, for example `http://127.0.0.1:8080` or
            `http://127.0.0.1:8080/models/recognition-facenet`.
        probes: the golden set of the version's task.
        version: the id, for example `rec-facenet-v2.1.3`; the header `HEADER` asks for it, and an
            answer of another version is a failure.
        headers: further headers, for example a bearer token with the scopes `predict` and `info`.
        timeout: the seconds without a byte after which a request has failed.
        budget: the seconds for the whole replay; probes that are left then have failed.

    Raises:
        NameFormatError: `version` is no id.
    """
    import httpx

    identity = ModelId.parse(version)
    began = time.monotonic()
    tally = _Tally(probes)
    with httpx.Client(
        base_url=base_url.rstrip("/"),
        headers={**(headers or {}), HEADER: str(identity)},
        follow_redirects=False,  # the token and the images are for this address alone
        trust_env=False,  # a proxy is not the address that clients use
    ) as client:
        asker = _Asker(client, identity, timeout, began + budget)
        for probe in probes.probes:
            try:
                tally.take(probe, asker.ask(probe, probes.images))
            except _Failed as failed:
                tally.fail(str(failed))
    return tally.result(str(identity), time.monotonic() - began)


class _Asker:
    """Sends probes to one version.

    Args:
        client: the HTTP client, with the base URL and the headers.
        identity: the version that must answer.
        timeout: the seconds without a byte after which a request has failed.
        until: when the budget is spent, in seconds of the monotonic clock.
    """

    def __init__(
        self, client: httpx.Client, identity: ModelId, timeout: float, until: float
    ) -> None:
        self._client = client
        self._identity = identity
        self._timeout = timeout
        self._until = until
        self._known = False

    def ask(self, probe: Probe, images: Mapping[str, bytes]) -> dict[str, Any]:
        """Send one probe and return the answer.

        Raises:
            _Failed: there was no answer, or it does not count.
        """
        self._check_version()
        if isinstance(probe, PairProbe):
            files = [("image", (name, images[name])) for name in probe.images]
            answer = self._send(ABILITY.method, ability_path("verify"), files=files)
            if _NOT_COMPARED in answer:
                return answer
        else:
            query = {}
            if isinstance(probe, FaceProbe):
                query["box"] = ",".join(f"{value:.3f}" for value in probe.box)
            answer = self._send(
                ABILITY.method,
                ability_path("detect" if isinstance(probe, SceneProbe) else "landmarks"),
                content=images[probe.image],
                headers={"content-type": "application/octet-stream"},
                params=query,
            )
        given = (answer.get("model_name"), answer.get("model_version"))
        if given != (str(self._identity.name), str(self._identity.version)):
            self._known = False
            raise _Failed("another version answered")
        return answer

    def _check_version(self) -> None:
        """Check the id of the version that answers; predictions name it without its variant."""
        if self._known:
            return
        if self._send(INFO.method, INFO.path).get("model_id") != str(self._identity):
            raise _Failed("another version answered")
        self._known = True

    def _send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        import httpx

        for left in reversed(range(_TRIES)):
            rest = self._until - time.monotonic()
            if rest <= 0:
                raise _Failed("out of time")
            try:
                response = self._client.request(
                    method, path, timeout=min(self._timeout, rest), **options
                )
            except httpx.TimeoutException:
                raise _Failed("timeout") from None
            except httpx.HTTPError as error:
                raise _Failed(f"no connection ({type(error).__name__})") from None
            if response.status_code != 503 or not left:
                break
            self._wait(response.headers.get("retry-after", ""))
        if response.status_code == _UNUSABLE and self._identity.name.task == "system":
            return {_NOT_COMPARED: True}  # only the version that the header names can answer
        if response.status_code != 200:
            raise _Failed(f"status {response.status_code}")
        return _object(response)

    def _wait(self, asked: str) -> None:
        seconds = float(asked) if asked.isascii() and asked.isdigit() else _LONGEST_WAIT_S
        time.sleep(max(0.0, min(seconds, _LONGEST_WAIT_S, self._until - time.monotonic())))


def _object(response: httpx.Response) -> dict[str, Any]:
    if len(response.content) > _MOST_BYTES:
        raise _Failed("the answer makes no sense")
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        raise _Failed("the answer makes no sense") from None
    if not isinstance(answer, dict):
        raise _Failed("the answer makes no sense")
    return answer


class _Tally:
    """Compares answers with labels, and counts the outcomes.

    Args:
        probes: the golden set that is replayed.
    """

    def __init__(self, probes: GoldenSet) -> None:
        self._probes = probes
        self._counts = Counter[str]()
        self._failures = Counter[str]()
        self._correct: list[bool | None] = []
        self._nme: list[float] = []
        self._threshold: float | None = None

    def fail(self, reason: str) -> None:
        """Count the next probe as failed, with the reason."""
        self._failures[reason] += 1
        self._correct.append(None)

    def take(self, probe: Probe, answer: Mapping[str, Any]) -> None:
        """Count the answer to the next probe.

        Raises:
            _Failed: the answer makes no sense; nothing was counted.
        """
        try:
            outcome = self._judge(probe, answer)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            raise _Failed("the answer makes no sense") from None
        self._counts.update(outcome)
        self._correct.append(not outcome["fp"] and not outcome["fn"])

    def _judge(self, probe: Probe, answer: Mapping[str, Any]) -> Counter[str]:
        if isinstance(probe, PairProbe):
            if _NOT_COMPARED in answer:  # whom a system does not find it does not know either
                return Counter(["fn" if probe.same else "tn"])
            self._threshold = _number(answer["threshold"])
            return _verified(probe, answer)
        (result,) = answer["results"]
        if isinstance(probe, SceneProbe):
            self._threshold = _number(answer["threshold"])
            return _found(probe, result["faces"])
        error = _nme(probe, result["points"])
        self._nme.append(error)
        return _placed(error)

    def result(self, model_id: str, seconds: float) -> ReplayResult:
        """The result over all probes so far."""
        pairs = self._probes.task in ("recognition", "system")
        negatives = self._counts["tn"] if pairs else None
        return ReplayResult(
            model_id=model_id,
            task=self._probes.task,
            probes=self._probes.digest,
            asked=len(self._probes),
            counts=OutcomeCounts(
                self._counts["tp"], self._counts["fp"], self._counts["fn"], negatives
            ),
            correct=tuple(self._correct),
            failures=dict(sorted(self._failures.items())),
            threshold=self._threshold,
            mean_nme=math.fsum(self._nme) / len(self._nme) if self._nme else None,
            seconds=seconds,
        )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _verified(pair: PairProbe, answer: Mapping[str, Any]) -> Counter[str]:
    said = answer["same_person"]
    if not isinstance(said, bool) or said != (
        _number(answer["similarity"]) >= _number(answer["threshold"])
    ):
        raise ValueError(said)
    return Counter([("tp" if pair.same else "fp") if said else ("fn" if pair.same else "tn")])


def _found(scene: SceneProbe, faces: Any) -> Counter[str]:
    from facemodels.detection.coco import match
    from facemodels.detection.metrics import IOU_50
    from facemodels.errors import DataError

    boxes = [[_number(value) for value in face["box"]] for face in faces]
    scores = [_number(face["score"]) for face in faces]
    try:
        matches = match([boxes], [scores], [scene.boxes], max_detections=max(1, len(boxes)))
    except DataError as error:
        raise ValueError(str(error)) from error
    right = int(matches.tp[IOU_50].sum())
    return Counter(tp=right, fp=len(boxes) - right, fn=len(scene.boxes) - right)


def _nme(face: FaceProbe, points: Any) -> float:
    from facemodels.errors import DataError
    from facemodels.landmarks.metrics import nme

    try:
        return float(nme([points], [face.points])[0])
    except DataError as error:
        raise ValueError(str(error)) from error


def _placed(error: float) -> Counter[str]:
    """Points are right up to an NME of 0.08, the limit of 300-W's failure rate."""
    from facemodels.landmarks.metrics import LIMIT

    return Counter(tp=1) if error <= LIMIT else Counter(fp=1, fn=1)
