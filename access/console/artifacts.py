"""Artifacts: what was left with a task or a session, to look at and to take along."""

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from access.console.contents import (
    PICTURE_BYTES,
    SHOWN_CHARS,
    Kind,
    code,
    kind_of,
    language_of,
    markdown,
    picture_type,
)
from access.console.rendering import HEADERS, plain
from access.console.visit import Visit
from access.links import artifact_link
from domain.errors import NotFound
from store import console
from store.database import Row

# Of what somebody else made: opened by itself it can do nothing, and no other site shows it. The styles are those that
# a browser puts round a picture.
FILE_HEADERS = HEADERS | {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
}


def show(visit: Visit) -> Response:
    artifact = visit.at()
    if (form := visit.query("as")) is not None:
        return file(visit, artifact, form)
    row = known(visit.read(lambda conn: console.artifact(conn, artifact, SHOWN_CHARS)))
    kind = kind_of(row["name"], row["format"], is_text=row["is_text"], head=row["head"], size=row["size"])
    source = visit.query("source") is not None
    html = None if source else formatted(kind, row)
    return visit.show(
        artifact=row, kind=kind, html=html, link=artifact_link(artifact), picture=picture_link(artifact), source=source
    )


def known(row: Row | None) -> Row:
    if row is None:
        raise NotFound("There is no such artifact.", hint="The page of a task lists what was left with it.")
    return row


def formatted(kind: Kind, row: Row) -> Any:
    if kind == "markdown":
        return markdown(row["content"])
    return code(row["content"], language_of(row["name"], row["format"]) or "") if kind == "code" else None


def file(visit: Visit, artifact: str, form: str) -> Response:
    """The whole of it: a text as text, anything as a download."""
    row = visit.act("download_artifact", artifact=artifact)
    if form == "text" and row["is_text"]:
        return Response(row["content"], media_type="text/plain; charset=utf-8", headers=FILE_HEADERS)
    name = quote(plain(row["name"]).rpartition("/")[2], safe="")
    headers = FILE_HEADERS | {"content-disposition": f"attachment; filename=\"artifact\"; filename*=UTF-8''{name}"}
    return Response(row["content"], media_type="application/octet-stream", headers=headers)


def picture(visit: Visit) -> Response:
    """A picture of a type that its first bytes say, and no other."""
    artifact = visit.at()
    row = visit.read(lambda conn: console.picture(conn, artifact, bytes=PICTURE_BYTES))
    media = picture_type(row["head"]) if row else None
    if row is None or media is None:
        raise NotFound("There is no such picture.", hint="PNG, JPEG, GIF and WebP of up to 5 MiB are shown.")
    return Response(row["bytes"], media_type=media, headers=FILE_HEADERS)


def picture_link(artifact: str) -> str:
    return f"/pictures/{quote(artifact, safe='')}"


def previewed(rows: list[Row]) -> list[Row]:
    """Each with its page and, of a picture, the picture."""
    return [row | {"link": artifact_link(row["id"]), "picture": picture_of(row)} for row in rows]


def picture_of(row: Row) -> str | None:
    is_picture = picture_type(row["head"]) is not None and row["size"] <= PICTURE_BYTES
    return picture_link(row["id"]) if is_picture else None
