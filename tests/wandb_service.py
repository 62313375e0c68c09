"""A stand-in for the W&B service on the loopback: it takes everything, and keeps the bytes that came."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "a" * 40  # of the right length


class Service:
    """What came over the wire.

    Attributes:
        address: for WANDB_BASE_URL.
        calls: the variables of every GraphQL call, by the name of its field.
        received: the bodies of all requests.
        history: the rows that each run has, by its id, written over from where its sender says.
        sweep: the content of the sweep that was made last.
        drawn: values of the trials that agents have not asked for yet.
    """

    def __init__(self, refuse: bool) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.received: list[bytes] = []
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.sweep = ""
        self.drawn: list[dict[str, Any]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                service.received.append(body)
                if self.path.endswith("/file_stream"):
                    service.take(self.path.split("/")[-2], json.loads(body))
                answer = service.answer(json.loads(body)) if self.path.endswith("/graphql") else {}
                content = json.dumps({"errors": [{"message": "no"}]} if refuse else answer).encode()
                self.send_response(401 if refuse else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_PUT = do_GET = do_POST

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, run: str, content: dict[str, Any]) -> None:
        """Keep the rows of a run's history."""
        rows = content.get("files", {}).get("wandb-history.jsonl")
        if rows:
            new = [json.loads(line) for line in rows["content"]]
            self.history[run][rows["offset"] : rows["offset"] + len(new)] = new

    def stored(self, run: str) -> dict[str, Any] | None:
        """What the service has of a run; None of one that it does not know."""
        if run not in self.history:
            return None
        rows = self.history[run]
        stored = {"id": "b", "name": run, "summaryMetrics": "{}", "displayName": run, "config": "{}"}
        stored |= {"historyLineCount": len(rows), "eventsLineCount": 0, "logLineCount": 0, "tags": []}
        stored |= {"historyTail": json.dumps([json.dumps(row) for row in rows[-1:]]), "eventsTail": "[]"}
        return stored | {"notes": "", "wandbConfig": json.dumps({"t": 1})}

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """What the service says to a GraphQL call."""
        variables = call.get("variables") or {}
        project = {"id": "p", "name": variables.get("project"), "entity": {"id": "e", "name": "somebody"}}
        bucket = {"id": "b", "name": variables.get("name"), "displayName": variables.get("displayName")}
        bucket |= {"config": "{}", "historyLineCount": 0, "project": project}
        places = [self._place(name) for name in variables.get("files", [])]
        specs = [self._place(file["name"]) for file in variables.get("input", {}).get("artifactFiles", [])]
        manifest = {"id": "m", "file": {**self._place("manifest"), "id": "f"}}
        answers = {
            "upsertBucket": {"bucket": bucket, "inserted": True},
            "createRunFiles": {"runID": "b", "uploadHeaders": [], "files": places},
            "createArtifact": {"artifact": {"id": "a", "state": "PENDING", "artifactSequence": {"id": "s"}}},
            "createArtifactManifest": {"artifactManifest": manifest},
            "updateArtifactManifest": {"artifactManifest": manifest},
            "createArtifactFiles": {"files": {"edges": [{"node": spec} for spec in specs]}},
            "commitArtifact": {"artifact": {"id": "a", "digest": ""}},
            "useArtifact": {"artifact": {"id": "a"}},
            "upsertView": {"view": {"id": "v", "name": variables.get("name")}, "inserted": True},
            "upsertSweep": {"sweep": {"name": "sweep", "project": project}, "configValidationWarnings": []},
            "createAgent": {"agent": {"id": "agent"}},
            "viewer": {"id": "w", "entity": "somebody", "username": "somebody", "flags": "{}"},
        }
        if "upsertSweep(" in call["query"]:
            self.sweep = variables["config"]
        if "query SweepWithRuns" in call["query"]:
            sweep = {"name": "sweep", "config": self.sweep, "runs": {"edges": []}}
            return {"data": {"project": {"sweep": sweep}}}
        if "agentHeartbeat(" in call["query"]:
            return {
                "data": {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": self._commands(variables)}}
            }
        if "RunResumeStatus" in call["query"]:
            model = {"id": "p", "name": variables["project"], "entity": project["entity"]}
            return {"data": {"model": model | {"bucket": self.stored(variables["name"])}}}
        if "query ArtifactByID" in call["query"]:
            owner = {"id": "p", "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ==", "name": "bcbm"}
            owner["entity"] = {"id": "e", "name": "somebody"}
            sequence = {"__typename": "ArtifactSequence", "id": "s", "name": "artifact", "project": owner}
            artifact = {"id": "a", "artifactSequence": sequence, "versionIndex": 0, "tags": []}
            artifact |= {"artifactType": {"name": "hashes"}, "description": None, "metadata": "{}"}
            artifact |= {"ttlDurationSeconds": -1, "ttlIsInherited": True, "historyStep": None, "size": 1}
            artifact |= {"state": "COMMITTED", "digest": "", "commitHash": None, "fileCount": 1}
            return {
                "data": {"artifact": artifact | {"createdAt": "2026-01-01", "updatedAt": None, "aliases": []}}
            }
        if "upsertBucket(" in call["query"]:
            self.history.setdefault(variables["name"], [])
        self.calls.append((next((name for name in answers if f"{name}(" in call["query"]), ""), variables))
        return {"data": {**answers, "project": None}}

    def _commands(self, beat: dict[str, Any]) -> str:
        """What an agent is to do next: the next trial, if there is one and none runs."""
        number = len(self.drawn)
        if not number or json.loads(beat["runState"]):
            return "[]"
        args = {key: {"value": value} for key, value in self.drawn.pop(0).items()}
        return json.dumps([{"type": "run", "run_id": f"trial{number}", "program": "", "args": args}])

    def _place(self, name: str) -> dict[str, Any]:
        url = f"{self.address}/upload/{name}"
        place = {"name": name, "displayName": name, "storagePath": name, "artifact": {"id": "a"}}
        return place | {"uploadUrl": url, "uploadHeaders": []}


@contextmanager
def wandb_service(refuse: bool = False) -> Iterator[Service]:
    """A service that runs while the block does; one that refuses answers 401 to everything."""
    service = Service(refuse)
    threading.Thread(target=service.server.serve_forever, daemon=True).start()
    try:
        yield service
    finally:
        service.server.shutdown()
        service.server.server_close()
