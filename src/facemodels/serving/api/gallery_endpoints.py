"""The endpoints of a system's galleries: which there are, enrol a person, remove one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray

from facemodels.detection.task import iou
from facemodels.errors import InputError
from facemodels.gallery.edits import remove_person
from facemodels.gallery.enrol import EnrolmentRules, enrol
from facemodels.gallery.exports import take_out
from facemodels.gallery.faces import FACE_CHOICES, FaceChoice, FaceError, SourcePhoto
from facemodels.gallery.opened import GallerySystem
from facemodels.gallery.rows import SAME_FACE
from facemodels.gallery.spaces import spaces_of
from facemodels.gallery.tracking import repository_of
from facemodels.imaging import Photo
from facemodels.routes import GALLERIES, GALLERY_FACES, GALLERY_PERSON
from facemodels.serving.api import boxes, system_documents
from facemodels.serving.api.images import Upload
from facemodels.serving.api.photos import answer_photos, uploaded
from facemodels.serving.api.system import SystemAnswers, no_gallery, unfit_face
from facemodels.serving.engine.inference import Engine
from facemodels.serving.galleries import ServedGalleries
from facemodels.serving.http.bodies import json_response, read_body
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.openapi import add_endpoint
from facemodels.serving.metrics import Metrics
from facemodels.system.faces import Face
from facemodels.text import counted

_CHOICES = tuple(one for one in FACE_CHOICES if one != "all")  # a photo gives one face of a person
_THRESHOLDS = {"threshold", "fmr"}  # of the query
_FLAGS = {"true": True, "false": False}


class GalleryChanges:
    """Enrols and removes people in the galleries of a server.

    DVC does not run in the server: what was changed becomes a version by `dvc add` where the
    repository is.

    Args:
        galleries: the system that embeds the faces, and the galleries that are changed.
        answers: of the same system.
    """

    def __init__(self, galleries: ServedGalleries, answers: SystemAnswers) -> None:
        self._system = galleries.system
        self._galleries = galleries
        self._answers = answers

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the galleries."""
        return tuple(self._galleries.folders)

    def logged(self, name: str) -> dict[str, str]:
        """What the log says of a request to a gallery; see `SystemAnswers`."""
        return self._answers.logged_gallery(name)

    def described(self) -> dict[str, Any]:
        """The galleries, and the embedding space that this server answers in."""
        return {
            "embedding_space": self._system.space,
            "galleries": self._galleries.described(),
        }

    def enrol(
        self, name: str, upload: Upload, photos: Sequence[Photo], query: Mapping[str, str]
    ) -> dict[str, Any]:
        """Enrol the face of each photo, all of them or none.

        Args:
            name: of the gallery.
            upload: the encoded photos.
            photos: the same, whole.
            query: of the request.

        Raises:
            RequestError: 400 if a parameter is wrong; 404 or 409 if there is no such gallery, it
                is of another space, or a face stands under another name; 422 for a photo without
                a face that is good enough.
        """
        if name not in self._galleries.folders:
            raise no_gallery(name, known=False)
        folder = self._galleries.folders[name]
        if spaces_of(folder):
            self._answers.opened(name)  # 409 where it is of another space
        rules = EnrolmentRules(
            choose=_choice(query),
            also=_flag(query, "also"),
            keep_photos=_flag(query, "keep"),
            threshold=(
                self._answers.operating(query).threshold if _THRESHOLDS & set(query) else None
            ),
            tracked=False,
        )
        sources = [
            SourcePhoto(f"Image {place}", data, hashlib.sha256(data).hexdigest(), photo.pixels)
            for place, (data, photo) in enumerate(zip(upload.data, photos, strict=True), start=1)
        ]
        try:
            done = enrol(folder, self._looking_at(query), _person(query), sources, rules)
        except FaceError as error:
            raise unfit_face(error) from error
        except InputError as error:
            raise RequestError(400, "wrong_parameter", error.what) from error
        return {
            "gallery": name,
            "embedding_space": self._system.space,
            "person": done.person,
            "added": len(done.added),
            "known": len(done.known),
        }

    def _looking_at(self, query: Mapping[str, str]) -> GallerySystem:
        """The system, which finds nothing but the face in the box that the query names."""
        if "box" not in query:
            return self._system

        def find(image: NDArray[np.uint8]) -> list[Face]:
            size = (image.shape[1], image.shape[0])
            box = np.array(boxes.of_query(query, size), np.float32)
            found = self._system.find(image)
            return [face for face in found if iou(box, face.box[None])[0] >= SAME_FACE]

        return replace(self._system, find=find)

    def remove(self, name: str, person: str) -> dict[str, Any]:
        """Remove a person in every embedding space, and from the exports that are known.

        Raises:
            RequestError: 404 if there is no such gallery or person.
        """
        if name not in self._galleries.folders:
            raise no_gallery(name, known=False)
        folder = self._galleries.folders[name]
        exported = take_out(folder, person)
        try:
            done = remove_person(folder, person, tracked=False)
        except InputError as error:
            raise RequestError(404, "no_such_person", "The gallery has no such person.") from error
        left = _not_reached(name, folder, exports=len(exported))
        return {"removed": done.faces, "photos": len(done.photos), "left": left}


def add_galleries(
    app: FastAPI, engine: Engine, changes: GalleryChanges, metrics: Metrics, *, secured: bool
) -> None:
    """Add the endpoints of galleries to an application.

    Args:
        app: the application.
        engine: whose threads do the work.
        changes: what answers.
        metrics: where the sizes of requests are counted.
        secured: whether the server asks for tokens.
    """

    async def galleries() -> Response:
        return json_response(await engine.work(changes.described))

    async def enrol_faces(request: Request) -> Response:
        name = request.path_params["gallery"]
        request.state.logged = changes.logged(name)
        body = await read_body(request)
        metrics.request_size.observe(len(body))
        upload = await uploaded(engine, request.headers.get("content-type", ""), body)
        query = dict(request.query_params)
        answer = await answer_photos(
            engine, upload, lambda photos: changes.enrol(name, upload, photos, query), whole=True
        )
        return json_response(answer)

    async def remove(request: Request) -> Response:
        name, person = request.path_params["gallery"], request.path_params["person"]
        request.state.logged = changes.logged(name)
        return json_response(await engine.work(changes.remove, name, person))

    documents, names = system_documents, changes.names
    add_endpoint(app, GALLERIES, galleries, documents.galleries(secured=secured))
    add_endpoint(app, GALLERY_FACES, enrol_faces, documents.enrol(names, secured=secured))
    add_endpoint(app, GALLERY_PERSON, remove, documents.remove_person(names, secured=secured))


def _not_reached(name: str, folder: Path, *, exports: int) -> list[dict[str, str]]:
    """What may still hold a removed person, each with what deletes it.

    Args:
        name: of the gallery.
        folder: of the gallery.
        exports: those that are known and cannot be rewritten; a client is not told where they lie.
    """
    left = []
    if exports:
        where = f"{counted(exports, 'export')} on the server, encrypted or unreadable"
        left.append({"where": where, "command": "rm, and facemodels gallery export anew"})
    root = repository_of(folder)
    if root is None:
        return [*left, {"where": "copies of the folder", "command": "delete the person there too"}]
    tracked = folder.resolve().relative_to(root)
    purge = f"facemodels gallery purge --gallery {name}"
    return [
        *left,
        {"where": "the version that DVC tracks", "command": f"dvc add {tracked}, then git commit"},
        {"where": "each remote of DVC, after that", "command": f"{purge} --remote REMOTE"},
        {"where": "DVC's cache, last; other clones too", "command": purge},
        {"where": "backups", "command": "facemodels storage backup --help"},
    ]


def _choice(query: Mapping[str, str]) -> FaceChoice:
    choose = query.get("choose", "error")
    if choose not in _CHOICES:
        raise RequestError(400, "wrong_parameter", f"choose is one of {', '.join(_CHOICES)}.")
    return cast(FaceChoice, choose)


def _flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "false")
    if text not in _FLAGS:
        raise RequestError(400, "wrong_parameter", f"{name} is true or false.")
    return _FLAGS[text]


def _person(query: Mapping[str, str]) -> str:
    """The name of the person; a slash in it could not stand in the address that removes them."""
    person = query.get("person", "")
    if "/" in person:
        raise RequestError(400, "wrong_parameter", "The name of a person has no slash here.")
    return person
