"""Stands in for an agent's program: does what the task's input_data says in `do`. Called with the task's file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

OUTPUT = Path(os.environ["AI_WEBHOOK_OUTPUT"])
SLEEP = ["sleep", "1000"]


def show(given: dict[str, Any]) -> None:
    """Says that we are there, and who we are."""
    if "sign" in given:
        sign = Path(given["sign"])
        sign.with_suffix(".new").write_text(str(os.getpid()))
        sign.with_suffix(".new").rename(sign)


def quick(given: dict[str, Any]) -> None:
    print("Privately done.")


def slow(given: dict[str, Any]) -> None:
    while not Path(given["until"]).exists():
        time.sleep(0.01)


def crashing(given: dict[str, Any]) -> NoReturn:
    print("a private last word")
    sys.exit(3)


def shot(given: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def endless(given: dict[str, Any]) -> NoReturn:
    while True:
        signal.pause()


def endless_at_first(given: dict[str, Any]) -> None:
    mark = Path(given["mark"])
    if not mark.exists():
        mark.touch()
        show(given)
        endless(given)


def stubborn(given: dict[str, Any]) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    show(given)
    endless(given)


def chatty(given: dict[str, Any]) -> None:
    print("the first word")
    for _ in range(10_000):
        sys.stdout.write("x" * 1023 + "\n")
    print("the last word")


def forking(given: dict[str, Any]) -> None:
    """Leaves a process in a session of its own, and one that takes no TERM in ours."""
    subprocess.Popen(SLEEP, start_new_session=True)
    subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"], stdout=subprocess.DEVNULL)


def leaving(given: dict[str, Any]) -> None:
    """Leaves a process in a session of its own, and ends."""
    subprocess.Popen(SLEEP, start_new_session=True)


def forking_endless(given: dict[str, Any]) -> NoReturn:
    forking(given)
    show(given)
    endless(given)


def napping(given: dict[str, Any]) -> None:
    if given["leaves"]:
        subprocess.Popen(SLEEP, start_new_session=True)
    time.sleep(given["seconds"])
    (OUTPUT / "nap.txt").write_text("slept")


def asking(given: dict[str, Any]) -> None:
    answers = given.get("answers")
    if answers:
        (OUTPUT / "answer.txt").write_text(answers[-1]["answer"])
        return
    (OUTPUT / "question.txt").write_text("Which continent?\n")
    sys.exit(given.get("code", 75))


def asking_nothing(given: dict[str, Any]) -> None:
    sys.exit(75)


def writing(given: dict[str, Any]) -> None:
    (OUTPUT / "brief.md").write_text("# Brief\n")
    (OUTPUT / "deep" / "er").mkdir(parents=True)
    (OUTPUT / "deep" / "er" / "notes.txt").write_text("Notes.\n")
    (OUTPUT / "passwd").symlink_to("/etc/passwd")
    (OUTPUT / "etc").symlink_to("/etc")
    (OUTPUT / ".." / "x").write_text("outside")
    (OUTPUT / "..x").write_text("inside")
    (OUTPUT / "bad\nname").write_text("bad")
    (OUTPUT / "binary").write_bytes(b"\x00\xff\xfe")
    (OUTPUT / "large.txt").write_text("x" * (5 * 1024 * 1024 + 1))
    os.mkfifo(OUTPUT / "pipe")
    (OUTPUT / "result.json").write_text(json.dumps(given.get("result", {"answer": 42})))


def output_as_a_link(given: dict[str, Any]) -> None:
    OUTPUT.rmdir()
    OUTPUT.symlink_to(given["elsewhere"])


def many_files(given: dict[str, Any]) -> None:
    for number in range(105):
        (OUTPUT / f"{number:03}.txt").write_text(str(number))


def looking_around(given: dict[str, Any]) -> None:
    seen = {"environment": dict(os.environ), "cwd": os.getcwd(), "group": os.getpgid(0), "pid": os.getpid()}
    (OUTPUT / "seen.json").write_text(json.dumps(seen))


def getting_on(given: dict[str, Any]) -> None:
    (OUTPUT / "progress.txt").write_text("0.5 half way\n")
    slow(given)


def changing(given: dict[str, Any]) -> None:
    Path("committed.txt").write_text("committed\n")
    subprocess.run(["git", "add", "."], check=True)
    name = ["-c", "user.name=Codex", "-c", "user.email=codex@example.org"]
    subprocess.run(["git", *name, "commit", "-qm", "Add a file"], check=True)
    Path("README.md").write_text("changed\n")
    Path("new.txt").write_text("new\n")


if __name__ == "__main__":
    task = json.loads(Path(sys.argv[1]).read_text())
    if task["input_data"]["do"] not in ("stubborn", "forking_endless", "endless_at_first"):
        show(task["input_data"])
    globals()[task["input_data"]["do"]](task["input_data"])
