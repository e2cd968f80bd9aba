"""Recognition from identity folders without lists: people are dealt to splits by their names."""

from __future__ import annotations

from pathlib import Path

from facemodels.data.dataset_kind import (
    DatasetSplits,
    DealtSettings,
    FaceFinder,
    RecognitionKind,
    SplitShares,
)
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.data.real.identities import read_identities
from facemodels.data.real.recognition import (
    FaceSettings,
    folder_recognition_splits,
)
from facemodels.data.splits import RecognitionSplit
from facemodels.params import Count, Share
from facemodels.progress import progress

_MOST_FOLDS = 10  # as in LFW's protocol
_PEOPLE_PER_FOLD = 4  # fewer people than this rarely give pairs of both kinds


class FoldersSettings(FaceSettings, DealtSettings):
    """Folders are people, who are dealt to splits by a hash of the folder's name.

    Attributes:
        test_share: expected share of the people in the test split.
        folds: number of folds of the verification pairs of val, and of test.
        pairs_per_fold: most pairs of one person, and as many of two people, in a fold.
    """

    test_share: Share = 0.2
    folds: Count = 1
    pairs_per_fold: Count = 300


class FoldersKind(RecognitionKind[FoldersSettings]):
    """One folder for each person."""

    reader = "folders"
    layout = "`<root>/<identity>/<image>` (VGGFace2, CASIA exports)"
    settings = FoldersSettings
    precedence = 2

    def read(
        self,
        settings: FoldersSettings,
        *,
        workers: Workers,
        place: ImagePlace = IN_MEMORY,
        finder: FaceFinder | None = None,
    ) -> DatasetSplits[RecognitionSplit]:
        """Read the folders, decode their images and draw verification pairs."""
        root = Path(settings.source)
        images, problems = read_identities(root)
        with progress("read faces", len(images)) as advance:
            splits, broken = folder_recognition_splits(
                images,
                root=root,
                cutting=settings.cutting(finder),
                val_share=settings.val_share,
                test_share=settings.test_share,
                folds=settings.folds,
                per_fold=settings.pairs_per_fold,
                seed=settings.seed,
                min_images=settings.min_images,
                workers=workers,
                place=place,
                progress=advance,
            )
        return DatasetSplits(splits, [*problems, *broken], allowed_broken=settings.allowed_broken)

    def recognise(self, path: Path, shares: SplitShares) -> FoldersSettings | None:
        """A folder with folders. A dataset to test on gets folds, as far as it has people."""
        people = sum(1 for p in path.iterdir() if p.is_dir()) if path.is_dir() else 0
        if not people:
            return None
        folds = 1
        if shares.test > shares.val:
            folds = int(people * min(shares) / _PEOPLE_PER_FOLD)
            folds = max(2, min(_MOST_FOLDS, folds))
        return FoldersSettings(
            reader=self.reader,
            source=str(path),
            val_share=shares.val,
            test_share=shares.test,
            folds=folds,
        )


KINDS = (FoldersKind(),)
