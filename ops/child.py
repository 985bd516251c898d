"""`python -m ops.child web|worker|backups [FD]`: a process of `up`, which stops by itself when `up` is gone.

The parent holds the other end of this process's standard input; the kernel closes it when the parent dies.
"""

import os
import signal
import socket
import sys
import threading


def stop_without_parent() -> None:
    while os.read(0, 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    kind, *rest = sys.argv[1:]
    threading.Thread(target=stop_without_parent, daemon=True).start()
    if kind == "web":
        from ops import web

        return web.main(socket.socket(fileno=int(rest[0])))
    if kind == "backups":
        from domain.settings import Settings
        from ops.cli_care import keep_backing_up

        return keep_backing_up(Settings.from_env())
    from processors import __main__ as worker

    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
