"""The console's own files and its map: what a browser loads before it talks to the service.

The bundle (consoles/web/dist) is read once and served from memory, packed once for whoever takes gzip; a
name that is not in it does not exist, so no path leads anywhere else. Without a bundle a page says how to
build one.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
from aiohttp import web

from dispatch.web.bodies import converted
from dispatch.web.problems import Problem
from dispatch.web.routes import Route

DIST = Path(__file__).parent / "web" / "dist"
SCREENS = ("/", "/take", "/wall", "/plan", "/unit", "/chart")
"""The console's screens: all the same document, which looks at its address."""
FOREVER = "public, max-age=31536000, immutable"
"""For files whose name holds the digest of what is in them."""
TILE_KEPT = "private, max-age=86400"
TILES_AT_ONCE = 2
PACKED_FROM_BYTES = 1024
PACKED_TYPES = ("text/", "application/javascript", "application/json", "image/svg+xml", "application/wasm")
UNBUILT = (
    b"<!doctype html><meta charset=utf-8><title>112</title><p>The console is not built. "
    b"Run <code>make web</code>, then start the service again."
)


class Tiles(Protocol):
    """Where map tiles come from; `routing.basemap.Basemap` is one."""

    def tile(self, z: int, x: int, y: int) -> bytes:
        """A Mapbox Vector Tile; raises ValueError for an address that is no tile."""


class TileAddress(msgspec.Struct, frozen=True, kw_only=True):
    z: Annotated[int, msgspec.Meta(ge=0, le=24)]
    x: Annotated[int, msgspec.Meta(ge=0)]
    y: Annotated[int, msgspec.Meta(ge=0)]


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the bundle, as it is sent."""

    raw: bytes
    packed: bytes | None
    kind: str
    etag: str
    cache: str


class Pages:
    """`tiles` None: the map shows region outlines on a plain ground. `outlines` gives them as GeoJSON."""

    def __init__(self, outlines: Callable[[], bytes], tiles: Tiles | None = None, dist: Path = DIST) -> None:
        self._outlines = outlines
        self._tiles = tiles
        self._drawing = asyncio.Semaphore(TILES_AT_ONCE)
        self._files = bundle(dist)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET", path="/map/regions.geojson", handler=self.regions, tag="map",
                summary="The regions' outlines", responses={200: None}, media="application/geo+json",
            ),
            Route(
                method="GET", path="/map/tiles/{z}/{x}/{y}.mvt", handler=self.tile, tag="map",
                action="region.read", summary="Roads and places of one tile, zoom 4 to 14",
                responses={200: None, 204: None}, errors=("not_found", "invalid_query"),
                media="application/vnd.mapbox-vector-tile",
            ),
        )  # fmt: skip

    def files(self) -> list[web.RouteDef]:
        """The console's documents and assets: no interface, so not in the served documents."""
        screens = [web.get(path, self.screen) for path in SCREENS]
        return [*screens, web.get("/{path:[^/]+\\.[a-z0-9]+}", self.asset), web.get("/assets/{path:.+}", self.asset)]

    async def regions(self, request: web.Request) -> web.Response:
        """GET /map/regions.geojson."""
        raw = await asyncio.to_thread(self._outlines)
        headers = {"Cache-Control": "public, max-age=3600"}
        return web.Response(body=raw, content_type="application/geo+json", headers=headers)

    async def tile(self, request: web.Request) -> web.Response:
        """GET /map/tiles/{z}/{x}/{y}.mvt. A tile takes up to 20 ms to draw, so it is drawn in a thread."""
        at = converted(dict(request.match_info), TileAddress)
        headers = {"Cache-Control": TILE_KEPT}
        if self._tiles is None:
            return web.Response(status=204, headers=headers)
        try:
            async with self._drawing:
                raw = await asyncio.to_thread(self._tiles.tile, at.z, at.x, at.y)
        except ValueError as error:
            raise Problem("not_found", str(error)) from None
        if not raw:
            return web.Response(status=204, headers=headers)
        return web.Response(body=raw, content_type="application/vnd.mapbox-vector-tile", headers=headers)

    async def screen(self, request: web.Request) -> web.Response:
        """A screen of the console."""
        file = self._files.get("index.html")
        if file is None:
            return web.Response(body=UNBUILT, status=503, content_type="text/html")
        return _sent(request, file)

    async def asset(self, request: web.Request) -> web.Response:
        """A file of the bundle."""
        file = self._files.get(request.path.removeprefix("/"))
        if file is None:
            raise Problem("not_found")
        return _sent(request, file)


def bundle(dist: Path) -> dict[str, File]:
    """Every file of a built console by its path below `dist`; none where it is not built."""
    paths = sorted(path for path in dist.rglob("*") if path.is_file())
    return {path.relative_to(dist).as_posix(): _read(path, dist) for path in paths}


def _read(path: Path, dist: Path) -> File:
    raw = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    kind = "application/javascript" if path.suffix in (".js", ".mjs") else kind
    packs = kind.startswith(PACKED_TYPES) and len(raw) >= PACKED_FROM_BYTES
    named_by_digest = path.parent != dist
    return File(
        raw=raw,
        packed=gzip.compress(raw, 6, mtime=0) if packs else None,
        kind=kind,
        etag=f'"{hashlib.sha256(raw).hexdigest()[:20]}"',
        cache=FOREVER if named_by_digest else "no-cache",
    )


def _sent(request: web.Request, file: File) -> web.Response:
    headers = {"Cache-Control": file.cache, "ETag": file.etag, "Vary": "Accept-Encoding"}
    if request.headers.get("If-None-Match") == file.etag:
        return web.Response(status=304, headers=headers)
    body = file.raw
    if file.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = file.packed
    return web.Response(body=body, content_type=file.kind, headers=headers)
