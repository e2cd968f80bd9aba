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
    in_order,
    parse_box,
    turned,
)
from facemodels.data.real.detection import BoxKind, BoxSettings
from facemodels.data.real.files import (
    EXTENSIONS,
    FORMATS,
    by_stem,
    picture_size,
    pictures_of_other_formats,
)
from facemodels.imaging import orientation

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

        Every object is taken for a face, whatever its class. `<size>` is held against the picture:
        boxes that were drawn on the pixels as they are stored, before EXIF turns them, are turned
        with them. Folders may be nested, if both are alike.

        Returns:
            Images sorted by path, and what was left out: XML that cannot be parsed, an image
            without annotation or the reverse, a size that is not the picture's, a box that lies
            outside.

        Raises:
            DataError: a folder is missing, or there is no annotation.
        """
        root = common_root(images, annotations)
        paths, taken = by_stem(images, EXTENSIONS, root)
        files, twice = by_stem(annotations, {".xml"}, root)
        read: list[AnnotatedImage] = []
        problems = [*taken, *twice, *pictures_of_other_formats(images, root)] + [
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
        """A folder that has a folder `annotations`, or `Annotations` as VOC itself."""
        for images, labels in (("images", "annotations"), ("JPEGImages", "Annotations")):
            if (path / labels).is_dir():
                return self.settings_for(path, labels, shares, images)
        return None


def _boxes(annotation: Path, image: Path | None) -> list[Box]:
    if image is None:
        raise BadAnnotationError("no picture of this stem")
    try:
        tree: Element = fromstring(annotation.read_bytes())
    except (OSError, SyntaxError, ValueError, LookupError) as error:  # ParseError, DTD, encoding
        raise BadAnnotationError(f"not readable as XML ({type(error).__name__})") from error
    if tree.tag != "annotation":
        raise BadAnnotationError(f"root element is <{tree.tag[:40]}>, not <annotation>")
    boxes = [
        parse_box(face.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
        for face in tree.iter("object")
    ]
    return _upright(boxes, _stated_size(tree), image)


def _stated_size(tree: Element) -> tuple[int, int] | None:
    """Width and height as the file says; None where it says nothing, or 0 as some tools do."""
    try:
        width, height = (int(float(tree.findtext(f"size/{s}") or 0)) for s in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _upright(boxes: list[Box], stated: tuple[int, int] | None, image: Path) -> list[Box]:
    """The boxes in the upright picture, whichever pixels they were drawn on."""
    size = picture_size(image)
    if stated is None or stated == size:
        return boxes
    turn = orientation(image, formats=FORMATS)
    if stated == size[::-1] and turn > 4:
        return [turned(box, size, turn) for box in boxes]
    raise BadAnnotationError(
        f"its <size> is {stated[0]}x{stated[1]}, and the picture has {size[0]}x{size[1]}"
    )


KINDS = (VocKind(),)
