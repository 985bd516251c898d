"""What `up` leaves in its data folder: secrets and a key that it made, and where it listens."""

import base64
import json
import os
import secrets
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import SecretStr

from domain.errors import SettingsError
from domain.settings import Settings


def default_data_dir() -> Path:
    """The user's data folder; for root one that an unprivileged user can reach, as root's home is not."""
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/ai-webhook")
    return platformdirs.user_data_path("ai-webhook")


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made on first start, kept in secrets.json (0600). What the environment sets is used instead."""

    api_key: str = field(repr=False)
    token: str = field(repr=False)
    generic_secret: str = field(repr=False)


class DataFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def secrets(self) -> tuple[Secrets, bool]:
        """The folder's secrets, and whether they were made just now."""
        known = self.read("secrets.json")
        if known is not None:
            try:
                return Secrets(**known), False
            except TypeError:
                raise SettingsError(
                    f"{self.path / 'secrets.json'} is not as this version writes it.",
                    hint="Move it away; new secrets are made at the next start.",
                ) from None
        made = Secrets(
            api_key="awk_" + secrets.token_urlsafe(24),
            token="awt_" + secrets.token_urlsafe(24),
            generic_secret="whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        )
        if not self.write("secrets.json", asdict(made), first=True):
            return self.secrets()  # another `up` was quicker
        return made, True

    def known_secrets(self) -> Secrets | None:
        """The folder's secrets if there are any."""
        return self.secrets()[0] if (self.path / "secrets.json").exists() else None

    def queue_key(self) -> tuple[str, bool]:
        """The key that signs deliveries in the embedded Redis, made on first use and kept in keys.json (0600), and
        whether what waited there before there was a key is signed by now."""
        known = self.read("keys.json")
        if known is None:
            known = {"queue": secrets.token_hex(32), "is_all_signed": False}
            if not self.write("keys.json", known, first=True):
                return self.queue_key()  # another `up` was quicker
        return str(known["queue"]), bool(known["is_all_signed"])

    def known_queue_key(self) -> str | None:
        return self.queue_key()[0] if (self.path / "keys.json").exists() else None

    def say_all_signed(self) -> None:
        self.write("keys.json", {"queue": self.queue_key()[0], "is_all_signed": True})

    def say_running(self, url: str) -> None:
        self.write("up.json", {"url": url, "pid": os.getpid()})

    def say_stopped(self) -> None:
        running = self.read("up.json")
        if running is not None and running.get("pid") == os.getpid():
            (self.path / "up.json").unlink(missing_ok=True)

    def url(self) -> str | None:
        """Where the `up` of this folder listens, as far as it said."""
        running = self.read("up.json")
        return str(running["url"]) if running and "url" in running else None

    def read(self, name: str) -> dict[str, Any] | None:
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SettingsError(f"{self.path / name} cannot be read ({type(error).__name__}).") from None
        return value if isinstance(value, dict) else None

    def write(self, name: str, value: dict[str, Any], *, first: bool = False) -> bool:
        """Writes a file of 0600 as a whole or not at all; with `first` only where none is, else the answer is False."""
        fresh = self.path / f"{name}.{os.getpid()}.{threading.get_ident()}.new"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(value, file)
            if first:
                try:
                    os.link(fresh, self.path / name)
                except FileExistsError:
                    return False
                finally:
                    fresh.unlink()
            else:
                os.replace(fresh, self.path / name)
            return True
        except OSError as error:
            raise SettingsError(
                f"{self.path} cannot be written to: {error.strerror}.",
                hint="Choose another folder with --data or AI_WEBHOOK_DATA.",
            ) from None


def with_key_of(folder: DataFolder, settings: Settings) -> Settings:
    """With the key by which `up` signs in its own Redis."""
    if settings.queue_key or settings.redis_url or (key := folder.known_queue_key()) is None:
        return settings
    return settings.model_copy(update={"queue_key": SecretStr(key)})
