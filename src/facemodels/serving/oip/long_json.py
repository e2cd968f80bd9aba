"""Reads the numbers of long JSON some at a time.

A parser of JSON holds the interpreter's lock for the whole text: a fifth of a second for 12 MB of
numbers and a second for 6 MB of empty lists. Nothing else of the process runs meanwhile, not even
its answer that it lives. So lists of numbers are cut out of the text without a parser, and then
read by the parser in pieces. What is left of the text is short, or it is no request for inference.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

LONG = 1 << 16  # bytes of JSON that a parser reads at once, within milliseconds
_PIECE = 1 << 14  # bytes of numbers that are read at once
_KEY = b'"data"'
_LIST = re.compile(rb'"data"[ \t\r\n]*:[ \t\r\n]*(?=\[)')
_RUN = re.compile(rb"[][0-9+\-.eE, \t\r\n]*")
_NO_STRUCTURE = b"0123456789+-.eE \t\r\n"
_SPACES = bytes.maketrans(b"[]", b"  ")


@dataclass(frozen=True)
class LongNumbers:
    """A list of numbers in JSON, flat or nested, that is not read yet.

    Attributes:
        text: the JSON; it holds nothing but numbers, brackets, commas and spaces.
    """

    text: bytes = field(repr=False)

    def pieces(self, shape: Sequence[int]) -> Iterator[bytes]:
        """The numbers as flat lists in JSON, in order.

        A piece may still be no JSON, or lack a number between two commas.

        Args:
            shape: of the tensor, 1 or more along each axis; the list is nested so, or flat.

        Raises:
            ValueError: the list has another shape.
        """
        count = math.prod(shape)
        nested = self.text[:_PIECE].translate(None, _NO_STRUCTURE).startswith(b"[[")
        wanted = tuple(shape) if nested else (count,)
        if _length(wanted) + count > len(self.text):  # a shape may claim any memory
            raise ValueError("too few numbers")
        left = memoryview(_structure(wanted))
        for part in self._parts():
            found = part.translate(None, _NO_STRUCTURE)
            if found != left[: len(found)]:
                raise ValueError("another shape")
            left = left[len(found) :]
            yield b"[" + part.removesuffix(b",").translate(_SPACES) + b"]"
        if len(left):
            raise ValueError("too few numbers")

    def _parts(self) -> Iterator[bytes]:
        """The text, cut behind commas."""
        at, text = 0, self.text
        while at < len(text):
            end = len(text)
            if at + _PIECE < end:
                comma = text.rfind(b",", at, at + _PIECE)
                comma = comma if comma >= 0 else text.find(b",", at + _PIECE)
                end = comma + 1 if comma >= 0 else end
            yield text[at:end]
            at = end


def cut_numbers(text: bytes) -> tuple[bytes, Mapping[str, LongNumbers]]:
    """Cut the long lists of numbers that stand under the key `data` out of JSON.

    In a string the key would have a backslash before its last quote, so no string is changed.

    Returns:
        The JSON with a word in the place of each list, and the lists by these words, which no
        client can guess.
    """
    kept: list[bytes] = []
    found: dict[str, LongNumbers] = {}
    done = at = 0
    while (at := text.find(_KEY, at)) >= 0:
        key = _LIST.match(text, at)
        at += len(_KEY)
        if key is None:
            continue
        start, at = key.end(), _end_of_run(text, key.end())
        end = text.rfind(b"]", start, at) + 1
        if end - start > LONG:
            word = secrets.token_hex(16)
            found[word] = LongNumbers(text[start:end])
            kept += [text[done:start], b'"', word.encode(), b'"']
            done = end
    return b"".join([*kept, text[done:]]), found


def _end_of_run(text: bytes, start: int) -> int:
    """Where the first character stands that is none of a list of numbers."""
    end = start
    while end < len(text):
        match = _RUN.match(text, end, end + _PIECE)
        if match is None or match.end() == end:
            break
        end = match.end()
    return end


def _structure(shape: Sequence[int]) -> bytes:
    """The brackets and commas of JSON of a shape."""
    row = b"[" + b"," * (shape[-1] - 1) + b"]"
    for length in reversed(shape[:-1]):
        row = b"[" + (row + b",") * (length - 1) + row + b"]"
    return row


def _length(shape: Sequence[int]) -> int:
    """The length of `_structure(shape)`."""
    size = shape[-1] + 1
    for length in reversed(shape[:-1]):
        size = length * (size + 1) + 1
    return size
