"""The keys of an installation: by which a delivery in Redis proves that our endpoint put it there, and by which the
bytes of deliveries are sealed where they lie. Several of a kind are there while they are changed: the first is for what
is written now, every one for what is read.
"""

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.errors import SealedElsewhere

NONCE_BYTES = 12
OVERHEAD_BYTES = NONCE_BYTES + 16  # how much longer sealed bytes are: GCM's tag
LEAST_KEY_CHARS = 32


def name_of(key: str) -> str:
    """Eight hex digits that tell which key it was and nothing else of it."""
    return hmac.digest(key.encode(), b"ai-webhook: name of a key", "sha256")[:4].hex()


class Signing:
    """HMAC-SHA256. Without a key nothing is signed."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self.keys = tuple(key.encode() for key in keys)

    def mac(self, data: bytes) -> bytes:
        return hmac.digest(self.keys[0], data, "sha256").hex().encode()

    def vouches(self, mac: bytes, data: bytes) -> bool:
        """Whether one of our keys made this code of the data; compared in constant time."""
        return any(hmac.compare_digest(hmac.digest(key, data, "sha256").hex().encode(), mac) for key in self.keys)


class Sealing:
    """AES-256-GCM under keys derived from the settings'. Without a key nothing is sealed.

    What is sealed is bound to the place that it is for, so that it cannot be laid down elsewhere.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self.ciphers = {name_of(key): AESGCM(derived(key)) for key in keys}
        self.current = next(iter(self.ciphers), None)  # the name of the key for what is written now

    def seal(self, plain: bytes, place: str) -> bytes:
        """Nonce, sealed bytes and tag; as they are without a key."""
        if self.current is None:
            return plain
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self.ciphers[self.current].encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes, key: str | None, place: str) -> bytes:
        """What was sealed with the key of this name; None is for what was not. Raises SealedElsewhere."""
        if key is None:
            return sealed
        cipher = self.ciphers.get(key)
        if cipher is None:
            raise SealedElsewhere(f"This is sealed with the key {key}, which is not set here.")
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):
            raise SealedElsewhere(
                f"What was sealed with the key {key} was changed since.", hint="Restore it from a backup."
            ) from None


def derived(key: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ai-webhook: bytes of deliveries").derive(key.encode())


@dataclass(frozen=True, slots=True)
class Keys:
    signing: Signing
    sealing: Sealing

    @classmethod
    def of(cls, queue: Sequence[str], encryption: Sequence[str]) -> "Keys":
        return cls(Signing(queue), Sealing(encryption))


UNSEALED = Sealing()
NO_KEYS = Keys(Signing(), UNSEALED)
