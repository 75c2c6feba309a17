"""The client of `preloaded`: has its server run a command, forwards signals, and ends as the command ends."""

import array
import contextlib
import json
import os
import signal
import socket
import struct
import sys
import time

_NUMBER = struct.Struct("<q")


def run(address: str, arguments: list[str]) -> None:
    if "LOCAL_RANK" in os.environ:  # Lightning reads the rank when it is imported
        os.execv(sys.executable, [sys.executable, *arguments])
    request = json.dumps([arguments, dict(os.environ), os.getcwd()]).encode()
    server = socket.socket(socket.AF_UNIX)
    for attempt in range(1200):
        try:
            server.connect(address)
            break
        except FileNotFoundError:  # the server is still importing
            time.sleep(0.1)
        except ConnectionRefusedError:
            if attempt:
                raise
            time.sleep(0.1)
    streams = array.array("i", [0, 1, 2])
    server.sendmsg([_NUMBER.pack(len(request))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    server.sendall(request)
    with server.makefile("rb") as reader:
        (pid,) = _NUMBER.unpack(reader.read(_NUMBER.size))

        def forward(number: int, _: object) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, forward)
        (code,) = _NUMBER.unpack(reader.read(_NUMBER.size))
    if code < 0:  # ended by a signal
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
