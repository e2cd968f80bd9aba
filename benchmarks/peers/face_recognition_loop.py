"""face_recognition's own pipeline: JPEGs of stdin, each after its length, to numbers of faces."""

from __future__ import annotations

import io
import sys

import face_recognition  # type: ignore[import-not-found]


def main() -> None:
    """Embed every face of each JPEG, and say how many they are, until stdin ends."""
    source = sys.stdin.buffer
    while head := source.read(4):
        image = face_recognition.load_image_file(
            io.BytesIO(source.read(int.from_bytes(head, "big")))
        )
        boxes = face_recognition.face_locations(image)
        # The five points, as dlib's embedder was trained, not the default's 68.
        print(len(face_recognition.face_encodings(image, boxes, model="small")), flush=True)


if __name__ == "__main__":
    main()
