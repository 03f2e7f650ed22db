"""Serves the console, a page that is a client of this API and nothing more: fixed files, and headers that bind it.

The page loads nothing from elsewhere and runs no inline script. Media may come from anywhere, because recordings lie in
object stores of the customer's choice. Spec: CSP Level 3; W3C Permissions Policy.
"""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from soloist.api.errors import UnknownRouteError

PAGE = "index.html"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "media-src": "*",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}


def console_routes() -> list[Route]:
    """Return the page at `/` and its parts below `/console/`, read once; they are a few tens of kilobytes."""
    parts = {path.name: path.read_bytes() for path in (files("soloist") / "console").iterdir() if path.is_file()}

    async def show_console(request: Request) -> Response:
        name = request.path_params.get("name", PAGE)
        if name not in parts:
            raise UnknownRouteError
        return Response(parts[name], media_type=MEDIA_TYPES["." + name.rpartition(".")[2]], headers=HEADERS)

    return [Route("/", show_console), Route("/console/{name}", show_console)]
