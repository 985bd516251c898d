"""Hosts on a network of their own, whose links can be cut: network namespaces of Linux on one bridge."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Host:
    name: str  # of its namespace, and of the end of its cable that is in the bridge
    address: str

    @property
    def inside(self) -> tuple[str, ...]:
        """What goes in front of a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """What is sent to it or by it is gone, without a word to either."""
        ip("link", "set", self.name, "down")

    def mend(self) -> None:
        ip("link", "set", self.name, "up")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@contextmanager
def hosts(count: int) -> Iterator[tuple[str, list[Host]]]:
    """The address of this process on the network, and that many hosts on it."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and Linux with iproute2")
    number = os.getpid() % 250
    bridge, network = f"aiw{number}", f"10.231.{number}"
    with ExitStack() as ending:
        try:
            made = plug_in(ending, bridge, network, count)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine allows no network namespaces: {error.stderr.decode().strip()}")
        yield f"{network}.1", made


def plug_in(ending: ExitStack, bridge: str, network: str, count: int) -> list[Host]:
    ip("link", "add", bridge, "type", "bridge")
    ending.callback(ip, "link", "del", bridge)
    ip("address", "add", f"{network}.1/24", "dev", bridge)
    ip("link", "set", bridge, "up")
    made = []
    for place in range(2, 2 + count):
        host = Host(f"{bridge}h{place}", f"{network}.{place}")
        ip("netns", "add", host.name)
        ending.callback(ip, "netns", "del", host.name)  # and with it both ends of its cable
        ip("link", "add", host.name, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        ip("link", "set", host.name, "master", bridge)
        ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", host.name, "link", "set", device, "up")
        host.mend()
        ip("netns", "exec", host.name, "true")
        made.append(host)
    return made
