"""The authors' weights, pinned: one file for each network, in the wheel of facenet-pytorch."""

from __future__ import annotations

from collections.abc import Mapping

from facemodels.training.initial_weights import InitialWeights, Pretrained, initial_weights

_LICENSE = "MIT"
_DATASET = "WIDER FACE and CelebA"
_SOURCE = "https://github.com/timesler/facenet-pytorch/tree/v2.5.3/data"


def _pinned(name: str, size: int, sha256: str) -> Pretrained:
    return Pretrained(
        distribution="facenet-pytorch",
        path=f"facenet_pytorch/data/{name}.pt",
        size=size,
        sha256=sha256,
        license=_LICENSE,
        training_dataset=_DATASET,
        source=f"{_SOURCE}/{name}.pt",
    )


# Of facenet-pytorch 2.5.3, by network.
PINNED: Mapping[str, Pretrained] = {
    "pnet": _pinned(
        "pnet", 28570, "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"
    ),
    "rnet": _pinned(
        "rnet", 403147, "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"
    ),
    "onet": _pinned(
        "onet", 1559269, "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"
    ),
}


def authors_weights() -> InitialWeights:
    """Return the folder with the three verified files, and the record of all of them.

    Raises:
        InputError: facenet-pytorch is not installed.
        DataError: a file is another one than 2.5.3 has.
    """
    found = [
        initial_weights("pretrained", pinned, model="detection/mtcnn") for pinned in PINNED.values()
    ]
    first, *_ = files = [one for one in found if one is not None]
    record = {
        "kind": "pretrained",
        "files": {one.record["name"]: one.record["sha256"] for one in files},
        "license": _LICENSE,
        "training_dataset": _DATASET,
        "source": _SOURCE,
    }
    return InitialWeights(first.path.parent, record)
