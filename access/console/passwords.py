"""Passwords, kept as argon2id hashes. Each takes some 64 MiB and tens of milliseconds, on purpose: call it in a thread,
few at a time."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

HASHER = PasswordHasher()


def hashed(password: str) -> str:
    return HASHER.hash(password)


def matches(password: str, kept: str | None) -> bool:
    """Whether it is the password of this hash. None, of somebody whom nobody knows, takes as long and is no."""
    try:
        return HASHER.verify(kept or nobodys(), password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def nobodys() -> str:
    return HASHER.hash("of nobody")
