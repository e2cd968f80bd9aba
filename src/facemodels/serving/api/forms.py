"""Reads a multipart form of images, in memory.

Starlette's parser of forms is not used, although it stands on the same library. It writes parts
of more than 1 MB to temporary files, decodes a part without a file name to text, takes a form
that breaks off in the middle for a whole one, and tells its errors apart in their sentences
only (docs/adr/0005-serving.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from facemodels.serving.http.errors import RequestError

FORM = "multipart/form-data"
FIELD = "image"  # the field of an image; a part with a file name may have another field
_HEADERS = 8  # headers of one part
_HEADER_BYTES = 4096  # bytes of one header
_NAME_LENGTH = 100  # characters of a name that are kept


def read_form(content_type: str, body: bytes, most: int) -> list[tuple[str, bytes]]:
    """Read the images of a form.

    Args:
        content_type: the header of the request, which names the boundary of the parts.
        body: the whole form.
        most: the largest number of images.

    Returns:
        The name and the bytes of every image, in the order of the form.

    Raises:
        RequestError: 400 for a form that is broken or has a part that is no image, 413 for too
            many images.
    """
    return _FormReader(most).read(_boundary(content_type), body)


def printable(name: str) -> str:
    """A name that a client gave, with a question mark for each character that is not printable."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _boundary(content_type: str) -> bytes:
    from python_multipart.multipart import parse_options_header

    try:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    except UnicodeError:
        boundary = b""
    if not boundary:
        raise RequestError(400, "broken_form", "The form's content type names no boundary.")
    return boundary


@dataclass
class _FormReader:
    """Collects the parts of one form from the callbacks of the parser.

    Attributes:
        most: the largest number of parts.
        parts: the name and the bytes of every part so far.
    """

    most: int
    parts: list[tuple[str, bytes]] = field(default_factory=list)
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _name: bytes = b""
    _value: bytes = b""
    _data: bytes = b""
    _ended: bool = False

    def read(self, boundary: bytes, body: bytes) -> list[tuple[str, bytes]]:
        """Read a form; see `read_form`."""
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser

        try:
            MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_name,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_part,
                    "on_end": self._on_end,
                },
                max_header_count=_HEADERS,
                max_header_size=_HEADER_BYTES,
            ).write(body)
        except FormParserError as error:
            raise RequestError(400, "broken_form", "The form cannot be read.") from error
        if not self._ended:
            raise RequestError(400, "broken_form", "The form ends in the middle.")
        return self.parts

    # The parser gets the whole body at once, so it calls each callback once for each thing.

    def _begin(self) -> None:
        if len(self.parts) >= self.most:
            raise RequestError(413, "too_many_images", f"At most {self.most} images a request.")
        self._headers = {}
        self._data = b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name, self._value = data[start:end], b""

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value = data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.lower()] = self._value

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data = data[start:end]

    def _on_part(self) -> None:
        from python_multipart.multipart import parse_options_header

        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        name, file_name = options.get(b"name"), options.get(b"filename")
        if kind != b"form-data" or name is None:
            raise RequestError(400, "broken_form", "A part of the form has no name.")
        shown = (file_name or name).decode(errors="replace")[:_NAME_LENGTH]
        if file_name is None and name.decode(errors="replace") != FIELD:
            text = f"{printable(shown)} is no image; parameters go into the address."
            raise RequestError(400, "no_image", text)
        self.parts.append((shown or FIELD, self._data))

    def _on_end(self) -> None:
        self._ended = True
