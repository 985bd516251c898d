"""The files that a page loads, under addresses that change with their contents, so that browsers may keep them."""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(str(files("access.console").joinpath("static")))
KEPT_SECONDS = 365 * 24 * 3600


@cache
def digest(name: str) -> str:
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:12]


def static_url(name: str) -> str:
    return f"/static/{digest(name)}/{name}"


class Files(StaticFiles):
    """Drops the digest from the path; what is asked for by another one than today's is given, but not to be kept."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        named, _, name = path.partition("/")
        response = await super().get_response(name, scope)
        is_current = response.status_code == 200 and named == digest(name)
        kept = f"public, max-age={KEPT_SECONDS}, immutable" if is_current else "no-cache"
        response.headers["cache-control"] = kept
        response.headers["x-content-type-options"] = "nosniff"
        return response


def static_files() -> Mount:
    return Mount("/static", app=Files(directory=FOLDER), middleware=[Middleware(GZipMiddleware, minimum_size=500)])
