"""What every request passes first: names of hosts, pages of others, the token; and what every answer carries."""

import hmac
import time
from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hvdcells.serving.metrics import Metrics

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OPEN_PATHS = ("/", "/ping", "/page.js", "/page.css")
"""Answered without a token: the page itself, which asks for it, and what asks whether the server lives."""


@dataclass
class Gate:
    """ASGI middleware."""

    app: ASGIApp
    metrics: Metrics
    paths: Collection[str]
    """Those that there are; the metrics call others `other`."""
    token: str | None = None
    """None where every request is answered."""
    hosts: Collection[str] = ()
    """Names by which a server on loopback may be called, so that no page elsewhere reaches it by a name of its own;
    none for all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(raw=message["headers"]).update(SECURITY)
            await send(message)

        refused = self._refused(scope["path"], Headers(scope=scope))
        try:
            await (refused or self.app)(scope, receive, with_headers)
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.answered(path, status, time.perf_counter() - began)

    def _refused(self, path: str, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if self.hosts and (host if host.endswith("]") else host.rpartition(":")[0] or host) not in self.hosts:
            return JSONResponse({"error": "this server answers to localhost alone"}, 403)
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return JSONResponse({"error": "a request by the page of another site"}, 403)
        if self.token is not None and path not in OPEN_PATHS:
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
                refusal = {"error": "no token, or a wrong one: Authorization: Bearer TOKEN"}
                return JSONResponse(refusal, 401, {"WWW-Authenticate": "Bearer"})
        return None
