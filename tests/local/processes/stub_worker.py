"""The outside of a worker without its inside: /readyz, signals and exit codes, without a broker.

How it behaves is the first word of its exec handler; imports are few, since tests start it often.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys


def main() -> None:
    behaviour = json.loads(os.environ["JOBRUN_HANDLER_EXEC"])[0]
    if behaviour == "crash":
        sys.exit("the stub crashes")
    if behaviour == "unusable":
        print("ModuleNotFoundError: No module named 'push'", file=sys.stderr)
        sys.exit(2)
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if behaviour == "family":  # a child and a grandchild that nobody ends, out of the worker's session
        subprocess.Popen(["sh", "-c", "sleep 1000 & sleep 1000"], start_new_session=True)
    if behaviour == "report":
        print(json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "nice": os.nice(0)}), flush=True)
    status = b"503 Unavailable" if behaviour == "unready" else b"200 OK"
    with socket.create_server(("127.0.0.1", int(os.environ["JOBRUN_PORT"]))) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


if __name__ == "__main__":
    main()
