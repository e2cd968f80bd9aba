"""How many pods a version keeps for the requests that may come to it at once. Pure.

An autoscaler follows the load of its own version, so a version with a small share, or with none,
has few pods. Then one command gives it all of the requests: a promotion, or, worse, a rollback. On
one machine every version has equally many servers; here the others follow the one that serves most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def least_pods(
    versions: Iterable[str],
    shares: Mapping[str, int],
    pods: Mapping[str, int],
    *,
    percent: int,
    most: int,
) -> dict[str, int]:
    """The pods that the versions of one model must keep; a version that is free has no entry.

    Args:
        versions: the versions that may come to answer all requests.
        shares: the percentage of the requests by version.
        pods: how many pods each autoscaler wants, ready or not: a version that dies must not take
            the pods of the one that is to replace it along.
        percent: what they keep, in percent of what all of the requests need now; 0 keeps nothing.
        most: the most pods of a version.
    """
    leader = max(sorted(shares), key=lambda one: shares[one], default="")
    share, has = shares.get(leader, 0), pods.get(leader, 0)
    if not share or not has or not percent:
        return {}
    needed = round(has * percent / share)
    # The leader's own number stays its autoscaler's, or it could never fall again.
    return {one: min(needed, most) for one in versions if one != leader}
