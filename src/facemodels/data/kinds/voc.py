"""Detection from Pascal VOC annotations: one XML file for each image.

Pascal VOC's own files count pixels from 1 and include the last pixel. Most tools that write
the format do neither, and no file says which, so its numbers are taken as edges as they are.
Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from defusedxml.ElementTree import fromstring

from facemodels.data.dataset_kind import SplitShares
from facemodels.data.problems import BadAnnotationError, Problem
from facemodels.data.real.annotated_images import (
    AnnotatedImage,
    Box,
    annotated,
    common_root,
    files_by_stem,
    images_by_stem,
    in_order,
    parse_box,
)
from facemodels.data.real.detection import BoxKind, BoxSettings

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


class VocKind(BoxKind):
    """A folder of images and a folder of XML files with the same stems."""

    reader = "voc"
    layout = "`images/*.jpg` + `annotations/*.xml` (Pascal VOC)"
    precedence = 1

    def read_annotations(
        self, images: Path, annotations: Path
    ) -> tuple[list[AnnotatedImage], list[Problem]]:
        """Read Pascal VOC: one XML file for each image, of the same stem.

        Every object is taken for a face, whatever its class.

        Returns:
            Images sorted by path, and what was left out: XML that cannot be parsed, an image
            without annotation or the reverse, a box without area or over `OVERRUN` outside.

        Raises:
            DataError: a folder is missing, or there is no annotation.
        """
        paths = images_by_stem(images)
        files = files_by_stem(annotations, {".xml"})
        root = common_root(images, annotations)
        read: list[AnnotatedImage] = []
        problems = [
            Problem.at(image, root, "no annotation of this stem")
            for stem, image in paths.items()
            if stem not in files
        ]
        for stem, annotation in files.items():
            try:
                boxes = _boxes(annotation, paths.get(stem))
                read.append(annotated(paths[stem], boxes))
            except BadAnnotationError as error:
                problems.append(Problem.at(annotation, root, str(error)))
        return in_order(read, problems, annotations)

    def recognise(self, path: Path, shares: SplitShares) -> BoxSettings | None:
        """A folder that has a folder `annotations`."""
        found = (path / "annotations").is_dir()
        return self.settings_for(path, "annotations", shares) if found else None


def _boxes(annotation: Path, image: Path | None) -> list[Box]:
    if image is None:
        raise BadAnnotationError("no picture of this stem")
    try:
        tree: Element = fromstring(annotation.read_bytes())
    except (OSError, SyntaxError, ValueError, LookupError) as error:  # ParseError, DTD, encoding
        raise BadAnnotationError(f"not readable as XML ({type(error).__name__})") from error
    if tree.tag != "annotation":
        raise BadAnnotationError(f"root element is <{tree.tag[:40]}>, not <annotation>")
    return [
        parse_box(face.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
        for face in tree.iter("object")
    ]


KINDS = (VocKind(),)
