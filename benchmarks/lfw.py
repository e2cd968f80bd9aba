"""dlib's face embedder on LFW's View 2: all 6,000 pairs, beside the published figures.

python -m benchmarks.lfw LFW [--ways hog5 hog68] [--jitters N] [--folds N] [--cache FOLDER]
                         [--detector PACKAGE --recogniser PACKAGE [--http]]

LFW is the folder with `pairs.txt` and one folder of identity folders. The images are searched
for a face in several ways, and dlib's chip of 150 px is cut and described by our ONNX form of
dlib's network. Points and descriptors are kept in the cache, so that a run that was stopped
goes on. The protocol is that of dlib's author: of several faces the one nearest to the middle
of the image; where none is found, one with a lower score, and else a box in the middle of the image
(github.com/davisking/dlib/issues/444).

With two packages of this repository their served form is measured too: the detector's five
points, the recogniser's own crop and embedding. A face that is not found then matches nobody.
With --http they answer requests besides: `facemodels serve` on loopback gets the files as they
are, /api/detect and /api/embed give points and vectors, and /api/verify is asked for some pairs
of each fold. A line says how far that is from the packages in one process, then comes the table.

--folds N measures the pairs of the first N folds alone, where all would take too long.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlib
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.served_faces import AT_ONCE, ServedFaces, served_faces
from facemodels import imaging
from facemodels.data.kinds.lfw import read_lfw_pairs
from facemodels.data.real.identities import NamedPair
from facemodels.files import atomic_path
from facemodels.package.load import open_package
from facemodels.pipeline.face_finder import PackageFinder
from facemodels.progress import progress
from facemodels.recognition.batches import pair_scores
from facemodels.recognition.dlib import PREPROCESSING, PRETRAINED
from facemodels.recognition.dlib.dat_file import read
from facemodels.recognition.dlib.network import (
    SIZE,
    DlibResNet,
    load_dat,
)
from facemodels.recognition.metrics import kfold_accuracy
from facemodels.recognition.task import Preprocessing
from facemodels.runtime import Run, export_onnx, open_graph
from facemodels.text import markdown

PUBLISHED_THRESHOLD = 0.6  # of the distance between dlib's descriptors
_PADDING = 0.25  # of the chip, dlib's
_MIDDLE = (0.3, 0.7)  # of the side: the box where no face is found
_LEAST_SCORE = -0.5  # of a box that is taken where none has a score above 0
_VERIFIED = 10  # pairs of each kind and fold that /api/verify is asked for
_AT_ONCE = 300  # images of one part of the cache

Image = NDArray[np.uint8]
Arrays = dict[str, NDArray[Any]]
Describe = Callable[[Sequence[Image]], NDArray[np.float32]]


@dataclass(frozen=True)
class Way:
    """A way from an image to its chip.

    Attributes:
        name: for the table and the cache.
        find: the shape of the face, as integers (points, 2), and whether a face was found.
    """

    name: str
    find: Callable[[Image], tuple[NDArray[np.int64], bool]]


def ways() -> dict[str, Way]:
    """dlib's HOG boxes, at the image's size and at twice that, with each of its predictors."""
    import face_recognition_models as models

    five = models.pose_predictor_five_point_model_location()
    most = models.pose_predictor_model_location()
    return {
        "hog5": Way("hog5", _by_hog(five, upsample=1)),
        "hog5-small": Way("hog5-small", _by_hog(five, upsample=0)),
        "hog68": Way("hog68", _by_hog(most, upsample=1)),
    }


def _by_hog(file: str, *, upsample: int) -> Callable[[Image], tuple[NDArray[np.int64], bool]]:
    """Points by a predictor's file in the box of dlib's HOG detector."""
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(file)

    def find(image: Image) -> tuple[NDArray[np.int64], bool]:
        boxes = detector.run(image, upsample, _LEAST_SCORE)
        sure = [box for box, score in zip(boxes[0], boxes[1], strict=True) if score > 0]
        found = sure or list(boxes[0])
        shape = predictor(image, _central(found, image) if found else _middle(image))
        return np.array([(part.x, part.y) for part in shape.parts()], np.int64), bool(found)

    return find


def network(folder: Path) -> Run:
    """Our ONNX form of dlib's network, without the division by the norm: chips to descriptors."""
    features = DlibResNet(unit=False).eval()
    load_dat(features, read(PRETRAINED.locate()), "the file")
    example = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 3, SIZE, SIZE)).astype(np.float32)
    torch.set_num_threads(1)
    path = folder / "raw.onnx"
    export_onnx(features, path, example, input_name="images", output_name="raw")
    return open_graph(path, threads=1).run


def describe_with(run: Run) -> Describe:
    """Chips uint8 (150, 150, 3) to dlib's descriptors float32 (N, 128)."""

    def describe(chips: Sequence[Image]) -> NDArray[np.float32]:
        return run(PREPROCESSING(chips))

    return describe


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("lfw", type=Path, help="the folder with pairs.txt")
    parser.add_argument("--ways", nargs="*", default=["hog5", "hog68"])
    parser.add_argument("--detector", type=Path, help="package that gives five points")
    parser.add_argument("--recogniser", type=Path, help="package that takes them")
    parser.add_argument("--http", action="store_true", help="measure them as served, besides")
    parser.add_argument("--jitters", type=int, default=0, help="chips to average, besides")
    parser.add_argument("--folds", type=int, choices=range(2, 11), default=10, metavar="2..10")
    parser.add_argument("--cache", type=Path, default=Path(".cache/lfw"))
    options = parser.parse_args()
    folder = next(path for path in sorted(options.lfw.iterdir()) if path.is_dir())
    every = read_lfw_pairs(options.lfw / "pairs.txt", folder)
    pairs = [pair for pair in every if pair.fold < options.folds]
    paths = sorted({path for pair in pairs for path in (pair.first, pair.second)})
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        describe = describe_with(network(Path(scratch)))
        for name in options.ways:
            rows += measure(ways()[name], paths, pairs, describe, options)
    if options.detector and options.recogniser:
        in_process = package_vectors(paths, options)
        rows += package_rows("in one process", in_process, paths, pairs, options)
        if options.http:
            served = served_vectors(paths, pairs, options)
            rows += package_rows("over HTTP", served, paths, pairs, options)
            print(difference(in_process, served, paths, pairs))
    print(markdown(rows))


def package_vectors(paths: Sequence[Path], options: Any) -> Arrays:
    """Unit vectors by a detector's and a recogniser's package in this process.

    Returns:
        `unit` float32 (N, 2, D), of the face and its mirror image, and `found` bool (N,).
    """
    finder, package = PackageFinder(options.detector), open_package(options.recogniser)
    embedder = package.predictor(threads=1)
    crop = Preprocessing.of_config(package.config["preprocessing"]).crop
    nothing = np.zeros((2, package.metadata["output_shape"][0]), np.float32)

    def compute(image: Image, row: int) -> dict[str, Any]:
        face = finder(image)
        if face is None or crop is None:
            return {"unit": nothing, "found": np.bool_(False)}
        mirrored = crop.cut(image, face.points, face.box)[:, ::-1]
        views = [embedder.embed([image], [face.points]), embedder.embed([mirrored])]
        return {"unit": np.concatenate(views), "found": np.bool_(True)}

    cache = Cache(options.cache / digest(paths))
    return cache.parts(_name_of("packages", options), paths, compute)


def served_vectors(paths: Sequence[Path], pairs: Sequence[NamedPair], options: Any) -> Arrays:
    """Unit vectors by the same packages behind HTTP.

    Returns:
        `unit` float32 (N, 1, D), `found` bool (N,), and `verified` float64 (V,), what
        /api/verify says of the pairs of `verified_pairs`; NaN where a face was not found.
    """
    size = open_package(options.recogniser).metadata["output_shape"][0]
    with served_faces(options.detector, options.recogniser) as faces:

        def compute(chunk: range) -> Arrays:
            unit, found = np.zeros((len(chunk), 1, size), np.float32), np.zeros(len(chunk), bool)
            for start in range(0, len(chunk), AT_ONCE):
                photos = [paths[row].read_bytes() for row in chunk[start : start + AT_ONCE]]
                points = dict(enumerate(faces.points(photos)))
                kept = {row: one for row, one in points.items() if one is not None}
                if kept:
                    rows = start + np.array(list(kept))
                    unit[rows, 0] = faces.embed([photos[row] for row in kept], list(kept.values()))
                    found[rows] = True
            return {"unit": unit, "found": found}

        cache = Cache(options.cache / digest(paths))
        arrays = cache.chunks(_name_of("served", options), len(paths), compute)
        verified = [_verified(faces, pair) for pair in verified_pairs(pairs)]
    return arrays | {"verified": np.array(verified)}


def verified_pairs(pairs: Sequence[NamedPair]) -> list[NamedPair]:
    """The first pairs of each fold and kind."""
    taken: dict[tuple[int, bool], list[NamedPair]] = {}
    for pair in pairs:
        of_kind = taken.setdefault((pair.fold, pair.same), [])
        if len(of_kind) < _VERIFIED:
            of_kind.append(pair)
    return [pair for of_kind in taken.values() for pair in of_kind]


def _verified(faces: ServedFaces, pair: NamedPair) -> float:
    photos = [pair.first.read_bytes(), pair.second.read_bytes()]
    points = [one for one in faces.points(photos) if one is not None]
    return faces.verify(photos, points) if len(points) == len(photos) else float("nan")


def _name_of(what: str, options: Any) -> str:
    """The cache's name for two packages: another digest has another name."""
    about = PackageFinder(options.detector).about()
    identity = f"{about['digest']}{open_package(options.recogniser).digest}"
    return f"{what}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def package_rows(
    how: str, arrays: Arrays, paths: Sequence[Path], pairs: Sequence[NamedPair], options: Any
) -> list[dict[str, Any]]:
    """Rows of the table for vectors of packages: of the face alone, and with its mirror image."""
    found, unit = arrays["found"], arrays["unit"]
    names = f"{PackageFinder(options.detector).about()['detector']}"
    names += f", {open_package(options.recogniser).id}, {how}"
    both = unit.sum(axis=1)
    both /= np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12)
    views = {"one chip": unit[:, 0]} | ({"and its mirror": both} if unit.shape[1] > 1 else {})
    rows = _rows_of(pairs, paths)
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    table = []
    for label, embeddings in views.items():
        result = kfold_accuracy(pair_scores(embeddings, rows, found), same, folds)
        table.append({
            "faces": names, "chips": label, "not found": int((~found).sum()), "distance": "",
            "cosine": f"{result.mean:.4f} ± {result.standard_error:.4f}", "at distance 0.6": "",
        })  # fmt: skip
    return table


def difference(
    in_process: Arrays, served: Arrays, paths: Sequence[Path], pairs: Sequence[NamedPair]
) -> str:
    """How far the served vectors and similarities are from those of the packages."""
    vectors = np.abs(in_process["unit"][:, 0] - served["unit"][:, 0]).max()
    agree = int((in_process["found"] == served["found"]).sum())
    some = verified_pairs(pairs)
    scores = pair_scores(in_process["unit"][:, 0], _rows_of(some, paths))
    told = ~np.isnan(served["verified"])
    verified = np.abs(scores - served["verified"])[told].max()
    return (
        f"Over HTTP: the face is found or not as in one process in {agree} of {len(paths)} images, "
        f"vectors differ by {vectors:.1e} at most, /api/verify on {int(told.sum())} pairs by "
        f"{verified:.1e}."
    )


def _rows_of(pairs: Sequence[NamedPair], paths: Sequence[Path]) -> NDArray[np.int32]:
    """The pairs (P, 2) as indices into `paths`."""
    index = {path: number for number, path in enumerate(paths)}
    return np.array([(index[pair.first], index[pair.second]) for pair in pairs], np.int32)


def measure(
    way: Way, paths: Sequence[Path], pairs: Sequence[NamedPair], describe: Describe, options: Any
) -> list[dict[str, Any]]:
    """Rows of the table for one way: one chip, with its mirror, jittered."""
    cache = Cache(options.cache / digest(paths))
    found = cache.parts(f"{way.name}-points", paths, lambda image, row: _found(way, image))
    points, is_found = found["points"], found["found"]

    def chips(views: Callable[[Image], list[Image]]) -> Callable[[Image, int], dict[str, Any]]:
        return lambda image, row: {"raw": describe(views(cut(image, points[row])))}

    described = cache.parts(f"{way.name}-mirror", paths, chips(lambda c: [c, c[:, ::-1]]))["raw"]
    lost = int((~is_found).sum())
    rows = [
        row(way.name, "one chip", described[:, 0], paths, pairs, lost),
        row(way.name, "and its mirror", described.mean(axis=1), paths, pairs, lost),
    ]
    if options.jitters:
        jittered = cache.parts(
            f"{way.name}-jitter{options.jitters}", paths,
            chips(lambda chip: list(dlib.jitter_image(chip, options.jitters))),
        )["raw"]  # fmt: skip
        label = f"{options.jitters} jittered"
        rows.append(row(way.name, label, jittered.mean(axis=1), paths, pairs, lost))
    return rows


def row(
    way: str, views: str, raw: NDArray[np.float32], paths: Sequence[Path],
    pairs: Sequence[NamedPair], lost: int,
) -> dict[str, Any]:  # fmt: skip
    """One row: ten-fold accuracy by dlib's distance and by the cosine, and at 0.6."""
    index = {path: number for number, path in enumerate(paths)}
    first = raw[[index[pair.first] for pair in pairs]].astype(np.float64)
    second = raw[[index[pair.second] for pair in pairs]].astype(np.float64)
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    distance = np.linalg.norm(first - second, axis=1)
    cosine = np.einsum("pd,pd->p", first, second)
    cosine /= np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    by_distance, by_cosine = (kfold_accuracy(s, same, folds) for s in (-distance, cosine))
    return {
        "faces": way, "chips": views, "not found": lost,
        "distance": f"{by_distance.mean:.4f} ± {by_distance.standard_error:.4f}",
        "cosine": f"{by_cosine.mean:.4f} ± {by_cosine.standard_error:.4f}",
        "at distance 0.6": f"{((distance < PUBLISHED_THRESHOLD) == same).mean():.4f}",
    }  # fmt: skip


class Cache:
    """Arrays of all images, computed in parts; a part that is there is not computed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def parts(
        self, name: str, paths: Sequence[Path], compute: Callable[[Image, int], dict[str, Any]]
    ) -> dict[str, NDArray[Any]]:
        """Arrays by name with one row an image, computed image by image."""

        def of_chunk(chunk: range) -> Arrays:
            results = [compute(_read(paths[row]), row) for row in chunk]
            return {key: np.stack([result[key] for result in results]) for key in results[0]}

        return self.chunks(name, len(paths), of_chunk)

    def chunks(self, name: str, count: int, compute: Callable[[range], Arrays]) -> Arrays:
        """Arrays by name with one row an image, computed for many images at once."""
        parts = []
        with progress(name, count) as advance:
            for start in range(0, count, _AT_ONCE):
                chunk = range(start, min(start + _AT_ONCE, count))
                parts.append(self._part(f"{name}-{start:05d}", chunk, compute))
                advance(len(chunk))
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def _part(self, name: str, chunk: range, compute: Callable[[range], Arrays]) -> Arrays:
        file = self.folder / f"{name}.npz"
        if not file.exists():
            arrays = compute(chunk)
            with atomic_path(file) as temporary, temporary.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)
        with np.load(file) as archive:
            return dict(archive)


def digest(paths: Sequence[Path]) -> str:
    """A name for the cache of these images."""
    names = "\n".join(path.name for path in paths)
    return hashlib.sha256(names.encode()).hexdigest()[:16]


def cut(image: Image, points: NDArray[np.int64]) -> Image:
    """dlib's chip of 150 px around 5 or 68 points."""
    box = dlib.rectangle(*(int(v) for v in (*points.min(axis=0), *points.max(axis=0))))
    shape = dlib.full_object_detection(box, [dlib.point(int(x), int(y)) for x, y in points])
    chip: Image = dlib.get_face_chip(image, shape, size=SIZE, padding=_PADDING)
    return chip


def _found(way: Way, image: Image) -> dict[str, Any]:
    points, found = way.find(image)
    return {"points": points, "found": np.bool_(found)}


def _read(path: Path) -> Image:
    return imaging.decode(path.read_bytes())


def _central(boxes: Any, image: Image) -> Any:
    """The box whose centre is nearest to the middle of the image."""
    middle = np.array([image.shape[1], image.shape[0]]) / 2

    def distance(box: Any) -> float:
        return float(np.linalg.norm(np.array([box.center().x, box.center().y]) - middle))

    return min(boxes, key=distance)


def _middle(image: Image) -> Any:
    height, width = image.shape[:2]
    low, high = _MIDDLE
    return dlib.rectangle(
        int(low * width), int(low * height), int(high * width), int(high * height)
    )


if __name__ == "__main__":
    main()
