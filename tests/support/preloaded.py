"""Programs that start in milliseconds: forks of a process in which everything is imported already.

`Preloaded(folder)` starts a server and writes the programs `folder/python` and `folder/ner-lab`. Each sends its
arguments, environment, working folder and standard streams to the server, which forks; `python` knows the forms
`-m MODULE`, `-c CODE` and `FILE`. Signals sent to a program reach its fork, its exit status is the fork's, and a
program that is killed takes its fork along. A test of imports, of flags of the interpreter or of closed standard
streams needs `sys.executable` itself.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NUMBER = struct.Struct("<q")
_CLIENT = """#!{python} -IS
import sys
sys.path.insert(0, {folder!r})
from forked_program import run
run({address!r}, {arguments!r} + sys.argv[1:])
"""


class Preloaded:
    """The server and its two programs; `close` ends it with all forks."""

    def __init__(self, folder: Path) -> None:
        self.python, self.ner_lab = folder / "python", folder / "ner-lab"
        address = str(folder / "socket")
        for path, arguments in (
            (self.python, []),
            (self.ner_lab, [str(Path(sys.executable).with_name("ner-lab"))]),
        ):
            here = str(Path(__file__).parent)
            path.write_text(_CLIENT.format(python=sys.executable, folder=here, address=address, arguments=arguments))
            path.chmod(0o755)
        self._server = subprocess.Popen(
            [sys.executable, __file__, address, str(self.python)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()


@dataclass(frozen=True)
class _Request:
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    streams: list[int]


def _serve(address: str) -> _Request:
    """Fork for each request; returns in the forks alone. Exits when standard input is closed."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    events = selectors.DefaultSelector()
    events.register(listener, selectors.EVENT_READ)
    events.register(0, selectors.EVENT_READ)
    pids: dict[int, int] = {}  # pidfd -> pid
    clients: dict[int, socket.socket] = {}  # pidfd -> connection
    while True:
        for key, _ in events.select():
            if key.fd == 0:
                for pid in pids.values():
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            elif key.fileobj is listener:
                client, _ = listener.accept()
                if (request := _receive(client)) is None:
                    client.close()
                    continue
                if not (pid := os.fork()):
                    for other in (events, listener, client, *clients.values()):
                        other.close()
                    for pidfd in pids:
                        os.close(pidfd)
                    return request
                for stream in request.streams:
                    os.close(stream)
                pidfd = os.pidfd_open(pid)
                pids[pidfd], clients[pidfd] = pid, client
                events.register(pidfd, selectors.EVENT_READ)
                events.register(client, selectors.EVENT_READ, pidfd)
                client.sendall(_NUMBER.pack(pid))
            elif key.data is not None:  # a client sends nothing more, so it was killed
                events.unregister(key.fileobj)
                os.kill(pids[key.data], signal.SIGKILL)
            else:
                client, code = clients.pop(key.fd), os.waitstatus_to_exitcode(os.waitpid(pids.pop(key.fd), 0)[1])
                events.unregister(key.fd)
                os.close(key.fd)
                with contextlib.suppress(KeyError):
                    events.unregister(client)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.sendall(_NUMBER.pack(code))
                client.close()


def _receive(client: socket.socket) -> _Request | None:
    """The request of a client; None if it was killed before it had sent all."""
    header, ancillary, *_ = client.recvmsg(_NUMBER.size, socket.CMSG_SPACE(12))
    if not ancillary:
        return None
    streams = array.array("i", ancillary[0][2])
    with client.makefile("rb") as reader:
        content = reader.read(*_NUMBER.unpack(header))
    return _Request(*json.loads(content), streams.tolist()) if len(content) == _NUMBER.unpack(header)[0] else None


def _become(request: _Request, python: str) -> Any:
    """Make this fork the requested process and run its program."""
    os.setsid()
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    sys.executable = python
    first, *rest = request.arguments
    if first == "-m":
        sys.modules.pop(rest[0], None)
        sys.argv, sys.path[0] = rest, ""
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), sys.modules["__main__"].__dict__)
    elif not first.startswith("-"):
        sys.argv, sys.path[0] = request.arguments, str(Path(first).parent)
        runpy.run_path(first, run_name="__main__")
    else:
        raise ValueError(f"{first}: an option of the interpreter needs the interpreter itself")


def _import_everything() -> None:
    for name in ("ner_lab", "hydra_plugins"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if name == "ner_lab" or "study_" in module.name or "process_" in module.name:
                importlib.import_module(module.name)
    import seqeval.metrics  # noqa: F401
    import wandb  # noqa: F401


if __name__ == "__main__":
    _import_everything()
    gc.freeze()
    _become(_serve(sys.argv[1]), sys.argv[2])
