"""The page that shows the OpenAPI document: Swagger UI from a package of ours, never from elsewhere.

Its scripts are this server's own files, so that the page works without the internet and nobody else's script runs
beside the console. Spec: CSP Level 3.
"""

import functools
from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ADDRESS = "/soloist/v1/docs"
PAGE = ("soloist.api.docs_page", "index.html", "text/html")
PARTS = {
    "swagger-ui.css": ("fastapi_offline", "static/swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": ("fastapi_offline", "static/swagger-ui-bundle.js", "text/javascript"),
    "start.js": ("soloist.api.docs_page", "start.js", "text/javascript"),
}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Cache-Control": "no-cache",
}


def docs_routes() -> list[Route]:
    """Return the page and its parts, which are read when first asked for: they are nearly two megabytes."""
    parts = {f"{ADDRESS}/{name}": part for name, part in PARTS.items()}
    return [Route(address, _showing(*part)) for address, part in {ADDRESS: PAGE, **parts}.items()]


@functools.cache
def _read(package: str, path: str) -> bytes:
    return files(package).joinpath(path).read_bytes()


def _showing(package: str, path: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def show(_request: Request) -> Response:
        return Response(_read(package, path), media_type=media_type, headers=HEADERS)

    return show
