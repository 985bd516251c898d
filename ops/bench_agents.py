"""`python -m ops.bench_agents`: many agents that claim and complete over HTTP, cheaply: they share the machine.

Reads a Load as JSON from standard input and writes a Done.
"""

import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

import orjson


@dataclass(frozen=True, slots=True)
class Load:
    port: int
    token: str = field(repr=False)
    agents: int
    agent_name: str


@dataclass(frozen=True, slots=True)
class Done:
    """`pairs` were claimed and completed; the clock stops when nothing is left to claim."""

    seconds: float
    pairs: int
    refused: int


class Agent:
    """One connection that claims, completes what it was given, and claims again."""

    def __init__(self, load: Load, number: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", load.port))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = f"Host: x\r\nAuthorization: Bearer {load.token}\r\nContent-Type: application/json\r\n"
        self.claim = orjson.dumps({"agent_name": load.agent_name, "control_agent": f"agent {number}"})
        self.answer = b""
        self.claiming = False

    def post(self, path: str, body: bytes) -> None:
        head = f"POST /api/tasks/{path} HTTP/1.1\r\n{self.head}Content-Length: {len(body)}\r\n\r\n"
        self.answer = b""
        self.connection.sendall(head.encode() + body)

    def ask(self) -> None:
        self.claiming = True
        self.post("claim", self.claim)

    def complete(self, claim: dict[str, str]) -> None:
        self.claiming = False
        self.post(f"{claim['task_id']}/complete", b'{"claim_token":"%s"}' % claim["claim_token"].encode())

    def received(self) -> bytes | None:
        """The body once it is whole."""
        piece = self.connection.recv(65536)
        if not piece:
            raise ConnectionError("The service closed a connection.")
        self.answer += piece
        head, found, body = self.answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0) if found else 0
        return body if found and len(body) >= length else None


def work(load: Load) -> Done:
    selector = selectors.DefaultSelector()
    agents = [Agent(load, number) for number in range(load.agents)]
    for agent in agents:
        selector.register(agent.connection, selectors.EVENT_READ, agent)
    pairs = refused = 0
    busy, started = len(agents), time.perf_counter()
    for agent in agents:
        agent.ask()
    while busy:
        for key, _ in selector.select():
            agent = key.data
            body = agent.received()
            if body is None:
                continue
            good = agent.answer.startswith(b"HTTP/1.1 200")
            refused += not good
            if agent.claiming and good and (items := orjson.loads(body)["items"]):
                agent.complete(items[0])
            elif agent.claiming:
                busy -= 1
            else:
                pairs += good
                agent.ask()
    return Done(time.perf_counter() - started, pairs, refused)


def main() -> int:
    load = Load(**orjson.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(orjson.dumps(asdict(work(load))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
