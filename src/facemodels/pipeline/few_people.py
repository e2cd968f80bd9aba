"""How to deal the people of a small folder, so that every split has some of them.

People are dealt to splits by a hash of their names, which over hundreds of people comes to the
shares that were asked for. Over eight it may well leave a split without anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from facemodels.data.kinds.folders import FoldersSettings
from facemodels.data.real.dealing import deal
from facemodels.data.real.identities import read_identities
from facemodels.errors import DataError

_ENOUGH = 60  # people; of more, a hash leaves no split empty
_PEOPLE = 2  # of a split, or of a fold of it, since pairs of two people are measured
_FOLDS = 2  # the least to test on: one chooses the threshold for the other
_SEEDS = 2000  # seeds that are tried


def dealt(settings: FoldersSettings, *, testing: bool) -> FoldersSettings:
    """The settings with a seed, shares and folds by which every split gets people.

    Folders with many people are left as they are.

    Args:
        settings: as they were recognised or asked for.
        testing: whether nobody is needed for training.

    Raises:
        DataError: there are too few people with two pictures, or no seed deals them.
    """
    images, _ = read_identities(Path(settings.source))
    counted = Counter(image.identity for image in images)
    people = [name for name, count in counted.items() if count > 1]
    if len(people) >= _ENOUGH:
        return settings
    folds = _FOLDS if testing else 1
    least_people = _PEOPLE * folds
    needed = ("val", "test") if testing else ("train", "val", "test")
    if len(people) < least_people * len(needed):
        raise DataError(
            f"{settings.source} has {len(people)} people with two pictures or more, and "
            f"{least_people} each are needed for {', '.join(needed)}.",
            "Give more people, or more pictures of those that have one.",
        )
    share = (least_people + 0.5) / len(people)  # a share that is expected to come to so many
    val = max(settings.val_share, share)
    test = min(max(settings.test_share, share), 1 - val)
    for seed in (settings.seed, *range(1, _SEEDS)):
        sizes = Counter(deal(name, seed, val, test) for name in people)
        if all(sizes[name] >= least_people for name in needed):
            return settings.model_copy(
                update={
                    "seed": seed, "val_share": val, "test_share": test,
                    "folds": min(max(settings.folds, folds), _smallest(sizes, needed) // _PEOPLE),
                }
            )  # fmt: skip
    raise DataError(
        f"{settings.source}: no seed deals its {len(people)} people to {', '.join(needed)}.",
        "Give --val-share and --test-share that leave two people to each.",
    )


def _smallest(sizes: Counter[str], needed: Iterable[str]) -> int:
    return min(sizes[name] for name in needed if name != "train")
