"""The routes of the server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException

from hvdcells.images.decode import Unreadable
from hvdcells.serving import NOTICE, SYNTHETIC
from hvdcells.serving.answers import Answers
from hvdcells.serving.gate import Gate
from hvdcells.serving.given import Bodies, GivenImage, Limits, RefusedError, busy, images_of
from hvdcells.serving.heat_map import heat_map
from hvdcells.serving.metrics import CONTENT_TYPE, Metrics
from hvdcells.serving.model import ServedModel
from hvdcells.serving.pool import BusyError, Pool, Predicted

PAGE = Path(__file__).parent / "page"
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_ONE_IMAGE: dict[str, Any] = {"requestBody": {"required": True, "content": {"image/*": _BYTES}}}
_IMAGES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": _BYTES,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["content"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "content": {"type": "string", "contentEncoding": "base64"},
                                },
                            },
                        }
                    },
                }
            },
        },
    },
    "responses": {"200": {"description": "A row an image", "content": {"application/json": {}, "text/csv": {}}}},
}


def application(
    model: ServedModel,
    threads: int,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Collection[str] = (),
) -> FastAPI:
    """Return the server's application.

    Args:
        model: what is served.
        threads: workers that predict.
        limits: None for the usual ones.
        token: asked of every request that is more than the page; None for none.
        hosts: names by which the server may be called; none for all.
    """
    limits = limits or Limits()
    pool = Pool(model, threads, limits.most_waiting, limits.seconds)
    metrics, bodies, answers = Metrics(lambda: pool.num_waiting), Bodies(limits), Answers(model.described, model.range)
    pool.watch = metrics.together

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        pool.start()
        yield
        await pool.close()

    # Its own pages of documentation would load scripts from elsewhere.
    app = FastAPI(
        title="hvdcells", description=NOTICE, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return JSONResponse({"error": error.message}, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def no_such(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    async def predicted(images: Sequence[GivenImage]) -> list[Predicted | Unreadable]:
        """Predict images; what cannot be used comes back as the reason."""
        prepare = model.described.preparation.of_content
        outcomes: list[Predicted | Unreadable] = []
        futures = submitted(pool, [partial(prepare, image.content, limits.most_pixels) for image in images])
        for outcome in await asyncio.gather(*futures, return_exceptions=True):
            if isinstance(outcome, TimeoutError):
                raise busy(f"no worker was free for {limits.seconds:g} s")
            if isinstance(outcome, Predicted | Unreadable):
                outcomes.append(outcome)
            else:
                raise outcome
        return outcomes

    @app.post("/invocations", openapi_extra=_IMAGES)
    async def invocations(request: Request) -> Response:
        """Predict one image or several; the answer is JSON, or CSV where `Accept` asks for it."""
        as_csv = wants_csv(request)
        with bodies.room() as room:
            images = await images_of(request, await room.read(request), limits)
            outcomes = await predicted(images)
        rows = []
        for image, outcome in zip(images, outcomes, strict=True):
            if isinstance(outcome, Unreadable):
                rows.append(answers.rejected(image.name, str(outcome)))
                metrics.image("rejected")
            else:
                rows.append(answers.row(image.name, outcome))
                metrics.image("referred" if rows[-1]["refer"] else "predicted")
        if all(row["error"] for row in rows):
            raise RefusedError(422, rows[0]["error"] if len(rows) == 1 else f"none of {len(rows)} images can be used")
        if as_csv:
            return Response(answers.as_csv(rows), media_type="text/csv")
        return Response(answers.as_json(rows), media_type="application/json")

    @app.post("/explain", openapi_extra=_ONE_IMAGE)
    async def explain(request: Request) -> Response:
        """Tell how much the probability of the called class of one image falls where a part of it is covered."""
        with bodies.room() as room:
            images = await images_of(request, await room.read(request), limits)
            if len(images) > 1:
                raise RefusedError(400, f"{len(images)} images, expected one")
            (outcome,) = await predicted(images)
        if isinstance(outcome, Unreadable):
            raise RefusedError(422, str(outcome))
        try:
            explained = await heat_map(pool, outcome)
        except (BusyError, TimeoutError):
            raise busy("too many images wait") from None
        return JSONResponse({**answers.row("", outcome), **explained})

    @app.get("/ping")
    async def ping() -> Response:
        """Tell that the server lives."""
        return JSONResponse({"status": "ok"})

    @app.get("/model")
    async def described() -> Response:
        """Tell what the model is: its classes, decision, preparation and digests."""
        limited = {"most_images": limits.most_images, "most_body_bytes": limits.most_body_bytes}
        noted = {
            "notice": NOTICE,
            "synthetic_notice": SYNTHETIC if model.described.synthetic else None,
            "knows_range": model.range is not None,
            "limits": limited,
        }
        return JSONResponse({**model.described.model_dump(mode="json", exclude={"range"}), **noted})

    @app.get("/metrics")
    async def counted() -> Response:
        """Tell what has been done, in Prometheus' format."""
        return Response(metrics.told(), media_type=CONTENT_TYPE)

    for path, file in {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css"}.items():
        app.add_route(path, _file(PAGE / file))
    paths = {str(getattr(route, "path", "")) for route in app.routes}
    app.add_middleware(Gate, metrics=metrics, paths=paths, token=token, hosts=hosts)
    return app


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return FileResponse(path)

    return answer


def submitted(pool: Pool, images: Sequence[Any]) -> "list[asyncio.Future[Predicted]]":
    """Let images wait for a worker, or turn who brings them away."""
    try:
        return pool.submit(images)
    except BusyError:
        raise busy("too many images wait") from None


def wants_csv(request: Request) -> bool:
    """Return whether a client asks for CSV rather than JSON: what it names first.

    Raises:
        RefusedError: it takes neither.
    """
    accepted = [each.partition(";")[0].strip().lower() for each in request.headers.get("accept", "*/*").split(",")]
    for each in accepted:
        if each == "text/csv":
            return True
        if each in ("application/json", "application/*", "*/*", ""):
            return False
    raise RefusedError(406, "answers are application/json or text/csv")
