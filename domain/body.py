"""Reading a request's body up to a limit: the same for senders and for the API, whatever serves them."""

from collections.abc import AsyncIterable

from domain.errors import BodyTooLarge


async def read_bounded(pieces: AsyncIterable[bytes], announced: str, limit_bytes: int) -> bytes:
    """The body, joined; raises BodyTooLarge as soon as it is past the limit, or `announced` (the Content-Length header,
    empty when there is none) says that it will be. Bytes are counted as they come: a length may be missing or a lie."""
    size, read = 0, []
    if announced.isdecimal() and int(announced[:20]) > limit_bytes:
        raise too_large(limit_bytes)
    async for piece in pieces:
        size += len(piece)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        read.append(piece)
    return b"".join(read)


def too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is longer than {limit_bytes} bytes, the most that is accepted here.")
