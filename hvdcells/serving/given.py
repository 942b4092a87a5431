"""What a request brings: its body, read within limits, and the images in it. All of it stays in memory."""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

RETRY_SECONDS = 1
"""After which one who was turned away may come again."""
DISCARDED = 8
"""A body too large is read to its end, unheld, so that its sender hears the answer; at most so many limits of it."""


class RefusedError(Exception):
    """A request is not carried out; the message says why."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


def busy(message: str) -> RefusedError:
    """Return the refusal of one who should come again."""
    return RefusedError(503, message, **{"Retry-After": str(RETRY_SECONDS)})


class Limits(BaseModel):
    """How much the server takes upon itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    most_body_bytes: Annotated[int, Field(gt=0)] = 32 * 2**20
    """Of one request."""
    most_held_bytes: Annotated[int, Field(gt=0)] = 128 * 2**20
    """Of all requests at once."""
    most_images: Annotated[int, Field(gt=0)] = 256
    """In one request."""
    most_pixels: Annotated[int, Field(gt=0)] = 16_000_000
    """Width × height of the largest image."""
    most_waiting: Annotated[int, Field(gt=0)] = 1024
    """Images that may wait."""
    most_connections: Annotated[int, Field(gt=0)] = 512
    """Connections at once."""
    seconds: Annotated[float, Field(gt=0)] = 30.0
    """For the head of a request, for its body, and for the answer, each."""


class GivenImage(NamedTuple):
    """An image of a request."""

    name: str
    """As the client calls it; empty where it does not."""
    content: bytes


class _Named(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = ""
    content: str


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")
    images: list[_Named | str]


_GIVEN = TypeAdapter(_Given)


@dataclass
class Bodies:
    """The bodies of all requests that are being carried out."""

    limits: Limits
    held_bytes: int = 0

    @contextmanager
    def room(self) -> Iterator["_Room"]:
        """Hold one body while the block lasts."""
        room = _Room(self)
        try:
            yield room
        finally:
            self.held_bytes -= room.num_bytes


@dataclass
class _Room:
    bodies: Bodies
    num_bytes: int = 0

    async def read(self, request: Request) -> bytes:
        """Read a body.

        Raises:
            RefusedError: it is larger than it may be, takes too long, ends early, or others fill the memory.
        """
        limits = self.bodies.limits
        try:
            async with asyncio.timeout(limits.seconds):
                return await self._read(request, limits)
        except TimeoutError:
            raise RefusedError(408, f"the body took longer than {limits.seconds:g} s", Connection="close") from None
        except ClientDisconnect:
            raise RefusedError(400, "the connection ended before the body") from None

    async def _read(self, request: Request, limits: Limits) -> bytes:
        chunks, too_large, discarded = [], False, 0
        async for chunk in request.stream():
            if too_large:
                discarded += len(chunk)
                if discarded > DISCARDED * limits.most_body_bytes:
                    break
                continue
            if self.bodies.held_bytes + len(chunk) > limits.most_held_bytes:
                raise busy("too many bytes are being worked on")
            self.num_bytes += len(chunk)
            self.bodies.held_bytes += len(chunk)
            chunks.append(chunk)
            if self.num_bytes > limits.most_body_bytes:
                too_large = True
                self.bodies.held_bytes -= self.num_bytes
                self.num_bytes = 0
                chunks.clear()
        if too_large:
            message = f"a body of more than {limits.most_body_bytes:,} bytes"
            raise RefusedError(413, message, Connection="close")
        return b"".join(chunks)


async def images_of(request: Request, body: bytes, limits: Limits) -> list[GivenImage]:
    """Return the images of a request, undecoded.

    Raises:
        RefusedError: it has no type that is taken, is malformed, or has no images or too many.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind in ("application/x-image", "application/octet-stream"):
        images = [GivenImage("", body)]
    elif kind == "multipart/form-data":
        images = await _of_form(request, body, limits)
    elif kind == "application/json":
        images = _of_json(body, limits)
    else:
        expected = "image/*, multipart/form-data or application/json"
        raise RefusedError(415, f"a body of type {kind[:100] or 'nothing'}, expected {expected}")
    if not images:
        raise RefusedError(400, "no images in the request")
    if len(images) > limits.most_images:
        raise RefusedError(413, f"more than {limits.most_images} images in one request")
    return images


class _InMemory(MultiPartParser):
    spool_max_size = 2**62  # never on the disk


async def _of_form(request: Request, body: bytes, limits: Limits) -> list[GivenImage]:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        # Of fields that are no files, such as of a page's, some may be there; they are not looked at.
        form = await _InMemory(request.headers, whole(), max_files=limits.most_images, max_fields=16).parse()
    except MultiPartException as error:
        raise RefusedError(400, f"malformed form: {error.message}") from None
    files = [each for _, each in form.multi_items() if isinstance(each, UploadFile)]
    return [GivenImage(file.filename or "", await file.read()) for file in files]


def _of_json(body: bytes, limits: Limits) -> list[GivenImage]:
    try:
        given = _GIVEN.validate_json(body).images
    except ValidationError:
        expected = '{"images": [{"name": "...", "content": "BASE64"}, ...]}'
        raise RefusedError(400, f"JSON of another form than {expected}") from None
    if len(given) > limits.most_images:
        raise RefusedError(413, f"more than {limits.most_images} images in one request")
    images = []
    for each in given:
        name, content = ("", each) if isinstance(each, str) else (each.name, each.content)
        try:
            images.append(GivenImage(name, base64.b64decode(content, validate=True)))
        except (binascii.Error, ValueError):
            raise RefusedError(400, f"image {len(images) + 1} is not in base64") from None
    return images
