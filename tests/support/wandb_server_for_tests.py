"""A server with as much of W&B's API as runs and dashboards need, which can fail in several ways."""

import base64
import gzip
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

KEY = "c0ffee" * 6 + "0123"
"""The key that the server takes"""
_ROWS = "wandb-history.jsonl"


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error."""


class WandbServer:
    """`with WandbServer() as server`: it listens at `server.url`.

    fails: None to answer well; else what befalls every request from then on: `drops` the connection,
        `silent`, or a number of HTTP (500, 401).
    fails_when: a part of a request (its operation, or `file_stream`) with which `fails_as` becomes `fails`.
    """

    def __init__(self, *, fails: str | int | None = None, fails_when: str = "", fails_as: str | int = "drops") -> None:
        self.fails = fails
        self.fails_when = fails_when
        self.fails_as = fails_as
        self.asked: list[str] = []
        """Operations, in order"""
        self.variables: list[dict[str, Any]] = []
        """What stood in them"""
        self.bodies: list[bytes] = []
        """All that was ever sent, but for the key at its place"""
        self.keys: set[str] = set()
        self.lines: dict[str, dict[int, str]] = {}
        """File -> its lines by number"""
        self.exit_codes: list[int] = []
        self.runs: dict[str, dict[str, Any]] = {}
        """Runs by their ids"""
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.project: dict[str, str] | None = {"id": "1", "internalId": "1"}
        """What is known of a project; None: there is none"""
        self.ended = threading.Event()
        self._http = _Quiet(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "WandbServer":
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of all curves."""
        return [json.loads(line) for _, line in sorted(self.lines.get(_ROWS, {}).items())]

    def notice(self, what: str) -> None:
        self.asked.append(what)
        if self.fails_when and self.fails_when in what:
            self.fails = self.fails_as

    def answer(self, name: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """What a query is answered with."""
        self.variables.append({"operation": name, **variables})
        if name == "UpsertBucket":
            return {"upsertBucket": self._upsert(variables)}
        if name == "RunResumeStatus":
            return {"model": self._status(variables)}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.url}/storage/{file}"} for file in variables["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        if name in ("ArtifactType", "ArtifactTypeMembership"):
            return {"project": None}
        if name == "CreateArtifact":  # one that it has: nothing is to be sent
            given = variables["input"]
            self.artifacts[given["artifactCollectionName"]] = given
            sequence = {"id": "1", "latestArtifact": {"id": "1", "versionIndex": 0}}
            return {"createArtifact": {"artifact": {"id": "1", "state": "COMMITTED", "artifactSequence": sequence}}}
        if name == "UseArtifact":
            return {"useArtifact": {"artifact": {"id": "1"}}}
        if name == "ArtifactByID":
            return {"artifact": _ARTIFACT}
        if "ProjectInternalId" in query:
            return {"project": self.project}
        if name == "GetProjects":
            return {"models": {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": []}}
        if "upsertView" in query:  # a workspace or a report
            return {"upsertView": {"view": {"id": "1", "name": variables["name"]}, "inserted": True}}
        if "viewer" in query:
            return {"viewer": {"id": "1", "username": "some", "entity": "some", "flags": "{}", "teams": {"edges": []}}}
        return {}

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables.get("name") or "unnamed"
        known = name in self.runs
        run = self.runs.setdefault(name, {"id": name, "name": name, "displayName": variables.get("displayName")})
        if variables.get("config"):
            run["config"] = variables["config"]
        entity = {"id": "1", "name": "some"}
        project = {"id": "1", "name": variables.get("project"), "entity": entity}
        lines = len(self.lines.get(_ROWS, {}))
        bucket = {**run, "description": None, "sweepName": None, "project": project, "historyLineCount": lines}
        return {"bucket": bucket, "inserted": not known}

    def _status(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["name"])
        bucket = None
        if run is not None:
            lines = {name: len(self.lines.get(file, {})) for name, file in _COUNTED.items()}
            tail = json.dumps([line for _, line in sorted(self.lines.get(_ROWS, {}).items())][-1:])
            events = json.dumps([line for _, line in sorted(self.lines.get("wandb-events.jsonl", {}).items())][-1:])
            bucket = {
                **run,
                "summaryMetrics": "{}",
                "tags": [],
                "notes": None,
                "wandbConfig": json.dumps({"t": 1}),
                **lines,
                "historyTail": tail,
                "eventsTail": events,
            }
        return {"id": "1", "name": variables["project"], "entity": {"id": "1", "name": "some"}, "bucket": bucket}

    def take(self, stream: dict[str, Any]) -> None:
        """What a run streams: lines of files, and its end."""
        for file, part in (stream.get("files") or {}).items():
            for number, line in enumerate(part["content"], part.get("offset", 0)):
                self.lines.setdefault(file, {})[number] = line
        if stream.get("complete"):
            self.exit_codes.append(stream["exitcode"])


_PROJECT = {"id": "1", "internalId": "1", "name": "mine", "entity": {"name": "some"}}
_ARTIFACT = {
    "__typename": "Artifact",
    "id": "1",
    "versionIndex": 0,
    "artifactType": {"name": "dataset"},
    "state": "COMMITTED",
    "artifactSequence": {"__typename": "ArtifactSequence", "name": "inputs", "project": _PROJECT},
    "description": None,
    "metadata": None,
    "ttlDurationSeconds": -2,
    "ttlIsInherited": True,
    "tags": [],
    "historyStep": None,
    "size": 0,
    "digest": "",
    "commitHash": "",
    "fileCount": 0,
    "aliases": [],
    "createdAt": "2020-01-01T00:00:00Z",
    "updatedAt": None,
}
_COUNTED = {"historyLineCount": _ROWS, "eventsLineCount": "wandb-events.jsonl", "logLineCount": "output.log"}


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            """Nothing is printed."""

        def do_GET(self) -> None:
            self._do()

        def do_PUT(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def _do(self) -> None:
            body = self._body()
            what, query = self.path, {}
            if self.path == "/graphql":
                query = json.loads(body)
                found = re.search(r"(?:query|mutation)\s+(\w+)", query["query"])
                what = query.get("operationName") or (found[1] if found else "query")
            server.bodies.append(self.path.encode() + b" " + body)
            server.notice(what)
            if server.fails is None:
                self._answer(what, query, body)
            elif isinstance(server.fails, int):
                self._send({"errors": [{"message": "it fails"}], "error": "it fails"}, server.fails)
            else:
                if server.fails == "silent":
                    server.ended.wait(600)
                self.close_connection = True
                self.connection.close()

        def _answer(self, what: str, query: dict[str, Any], body: bytes) -> None:
            found: dict[str, Any] = {}
            if self.path != "/" and not self.path.startswith("/storage") and self._key() != KEY:
                self._send({"errors": [{"message": "permission denied"}]}, 401)
                return
            if query:
                found = {"data": server.answer(what, query["query"], query.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                server.take(json.loads(body))
            self._send(found)

        def _body(self) -> bytes:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw

        def _key(self) -> str:
            given = self.headers.get("Authorization") or ""
            key = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")[2]
            server.keys.add(key)
            return key

        def _send(self, content: dict[str, Any], code: int = 200) -> None:
            raw = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    return Handler


def wait_for(happens: Any, seconds: float = 10.0) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
