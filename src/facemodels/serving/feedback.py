"""What users say of answers: how content they are, and which decisions were wrong.

Of a request its id is remembered, and which way it was decided; nothing of the picture. The rates
of wrong decisions hold for what was reported alone: people report what annoys them, so a rate is
no estimate of the rate of all decisions, but a change of it between two versions shows something.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from facemodels.intervals import wilson

Verdict = Literal["right", "wrong"]
Refusal = Literal["unknown", "repeated", "undecided", "too_many"]
_LABELS = ("model_name", "model_version")
_REMEMBERED = 100_000  # requests whose answers can still be judged
_CLIENTS = 10_000  # whose opinions of the last hour are counted; the oldest is forgotten
_HOUR_S = 3600.0


@dataclass
class _Answered:
    """One answer: which way it was decided, None where nothing was, and whether it was judged."""

    same_person: bool | None
    judged: bool = False


class Feedback(Collector):
    """Counts what users say of the answers of one version, and shows it to Prometheus.

    Args:
        own: the values of the labels: the model's name and version.
        registry: where the series are shown.
        clock: seconds, rising.
    """

    def __init__(
        self, own: tuple[str, str], registry: CollectorRegistry,
        *, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._own, self._clock = own, clock
        self._answers: OrderedDict[str, _Answered] = OrderedDict()
        self._clients: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._scores: list[float] = [0.0, 0.0]  # their sum and their number
        self._decisions = {(same, right): 0 for same in (True, False) for right in (True, False)}
        self._lock = threading.Lock()
        registry.register(self)

    @property
    def counted(self) -> int:
        """The number of opinions that counted."""
        return int(self._scores[1])

    def answered(self, request_id: str, same_person: bool | None) -> None:
        """Remember an answer that users may judge.

        Args:
            request_id: of the request; an id that comes again does not open a new judgement.
            same_person: the decision, if the answer is one.
        """
        with self._lock:
            self._answers.setdefault(request_id, _Answered(same_person))
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)

    def judge(
        self, request_id: str, client: str, *,
        score: float | None, verdict: Verdict | None, per_hour: int,
    ) -> Refusal | None:  # fmt: skip
        """Count what a user says of an answer; exactly one of score and verdict.

        Args:
            request_id: of the request that was answered.
            client: who says it: the holder of the token, or the address.
            score: from 0 to 1, how content the user is.
            verdict: whether the decision was right; it counts as a score of 1 or 0 too.
            per_hour: opinions that count of one client an hour.

        Returns:
            Why it is not counted, or None.
        """
        with self._lock:
            answer = self._answers.get(request_id)
            if answer is None:
                return "unknown"
            if answer.judged:
                return "repeated"
            if verdict is not None and answer.same_person is None:
                return "undecided"
            if not self._admits(client, per_hour):
                return "too_many"
            answer.judged = True
            if verdict is not None and answer.same_person is not None:
                self._decisions[answer.same_person, verdict == "right"] += 1
            value = score if score is not None else float(verdict == "right")
            self._scores = [self._scores[0] + value, self._scores[1] + 1]
        return None

    def _admits(self, client: str, per_hour: int) -> bool:
        """Whether one more opinion of a client counts, within an hour from its first one."""
        now = self._clock()
        since, given = self._clients.get(client, (now, 0))
        if now - since >= _HOUR_S:
            since, given = now, 0
        if given >= per_hour:
            return False
        self._clients[client] = (since, given + 1)
        self._clients.move_to_end(client)
        while len(self._clients) > _CLIENTS:
            self._clients.popitem(last=False)
        return True

    def collect(self) -> Iterable[Metric]:
        """The series; a ratio has none until something is behind it."""
        with self._lock:
            (score, scores), decided = self._scores, dict(self._decisions)
        total = CounterMetricFamily(
            "facemodels_user_feedback", "Answers that users judged", labels=_LABELS
        )
        total.add_metric(self._own, scores)
        yield total
        reported = CounterMetricFamily(
            "facemodels_reported_decisions", "Decisions that users judged",
            labels=(*_LABELS, "same_person", "verdict"),
        )  # fmt: skip
        for (same, right), count in decided.items():
            labels = (*self._own, str(same).lower(), "right" if right else "wrong")
            reported.add_metric(labels, count)
        yield reported
        yield from self._ratio(
            "facemodels_user_satisfaction", "Mean score of users, 0 to 1", score, scores
        )
        wrong_same, wrong_other = decided[True, False], decided[False, False]
        yield from self._ratio(
            "facemodels_reported_false_match", "Different people called one, of what was reported",
            wrong_same, wrong_same + decided[False, True],
        )  # fmt: skip
        yield from self._ratio(
            "facemodels_reported_false_non_match", "One person called two, of what was reported",
            wrong_other, wrong_other + decided[True, True],
        )  # fmt: skip

    def _ratio(self, name: str, text: str, part: float, whole: float) -> Iterable[Metric]:
        """A ratio, and the bounds of its 95 % interval."""
        if not whole:
            return
        low, high = wilson(part, whole)
        for suffix, value in (("", part / whole), ("_low", low), ("_high", high)):
            family = GaugeMetricFamily(f"{name}_ratio{suffix}", text, labels=_LABELS)
            family.add_metric(self._own, value)
            yield family
