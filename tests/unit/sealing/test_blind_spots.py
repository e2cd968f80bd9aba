"""What the hook of a sealed stage cannot see: libraries that open files from C."""

from __future__ import annotations

import re
from pathlib import Path

import facemodels

SOURCE = Path(facemodels.__file__).parent
# Calls that open a file from C when they are given its path. Found by strace in a build of
# `profile=smoke`, and by reading the libraries that the stages use.
IN_C = re.compile(
    r"""cv2\.(?:imread|imwrite|VideoCapture|FileStorage)\(|torch\.jit\.load\(|torch\.from_file\(
        |shape_predictor\((?!announce_read)|InferenceSession\(str|\.from_file\(
        |simple_object_detector\(|face_recognition_model_v1\(|readNet\w*\(|mmap=True""",
    re.VERBOSE,
)
# No stage comes here.
ROOMS = {"serving", "deployment", "registry", "storage", "gallery", "monitoring", "importing"}
ALLOWED = {
    "landmarks/dlib/__init__.py": "train_shape_predictor(",  # trains from arrays
    "landmarks/dlib/example.py": 'shape_predictor("',  # the script of a model card
}


def test_no_stage_reads_a_file_from_c_without_saying_so() -> None:
    found = {
        f"{name}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        if (name := path.relative_to(SOURCE).as_posix()).partition("/")[0] not in ROOMS
        for line in path.read_text(encoding="utf-8").splitlines()
        if IN_C.search(line) and ALLOWED.get(name, "\0") not in line
    }
    assert found == set(), "read it in Python, or pass the path through files.announce_read"
