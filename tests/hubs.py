"""A small Hugging Face hub on the loopback: one repository of data sets, its commits in memory.

It speaks what huggingface_hub asks for when it reads, lists and commits, with large files over LFS. It does not speak
xet, which the real hub prefers, and knows no limits.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sources import REPOSITORY

REPO = "lab/set"
URL = f"hf://datasets/{REPO}"
TOKEN = "hf_token"
Tree = dict[str, bytes]


class Hub(ThreadingHTTPServer):
    """`commits` are the trees by hash, the oldest first; `main` is the newest. It is private: each request
    needs `token`.

    before_commit: called once, when the next commit arrives, before it is looked at.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = TOKEN
        self.commits: dict[str, Tree] = {}
        self.large: dict[str, bytes] = {}  # by sha256
        self.before_commit: Callable[[], None] | None = None
        self.lock = threading.Lock()
        self.add({".gitattributes": b"*.tar filter=lfs\n"})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def main(self) -> str:
        return list(self.commits)[-1]

    def add(self, tree: Tree) -> str:
        commit = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[commit] = tree
        return commit

    def environment(self, home: Path) -> dict[str, str]:
        """For a process that takes this hub for the real one."""
        told = {"HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
        ours = {
            "IPTSN_CACHE": str(home / "cache"),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
        }
        return {**os.environ, **told, **ours}

    def python(self, home: Path, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run code in a process of its own, because huggingface_hub reads HF_ENDPOINT when it is imported."""
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, env=self.environment(home), capture_output=True, text=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def _take(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        if path.startswith("/objects/"):  # the store of large files; its URLs are signed
            self._object(path)
        elif self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._json({"error": "Invalid username or password."}, 401, {"X-Error-Code": "RepoNotFound"})
        else:
            self._route(path)

    do_GET = do_HEAD = do_POST = do_PUT = _take

    def _route(self, path: str) -> None:
        routes = {
            "/api/validate-yaml": self._valid,
            f"/api/(?:datasets|models)/{REPO}(?:/revision/(?P<revision>[^/]+))?": self._info,
            f"/api/(?:datasets|models)/{REPO}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?": self._tree,
            f"/api/datasets/{REPO}/preupload/(?P<revision>[^/]+)": self._preupload,
            f"/api/datasets/{REPO}/commit/(?P<revision>[^/]+)": self._commit,
            f"/(?:datasets/)?{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)": self._resolve,
            rf"/datasets/{REPO}\.git/info/lfs/objects/batch": self._batch,
        }
        for pattern, route in routes.items():
            if found := re.fullmatch(pattern, path):
                values = {name: unquote(value) for name, value in found.groupdict().items() if value}
                commit = values.pop("revision", "main")
                commit = self.server.main if commit == "main" else commit
                if commit not in self.server.commits:
                    self._json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
                    return
                route(commit, **values)
                return
        self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})

    def _valid(self, _: str) -> None:
        self._json({"errors": [], "warnings": []})

    def _info(self, commit: str) -> None:
        self._json({"id": REPO, "sha": commit, "siblings": []})

    def _tree(self, commit: str, path: str = "") -> None:
        """Files of the folder and below: huggingface_hub takes those of the folder out of them."""
        files = self.server.commits[commit]
        below = [name for name in sorted(files) if name.startswith(f"{path}/" if path else "")]
        if path and not below:
            self._json({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        if "recursive=true" not in self.path.lower():
            below = [name for name in below if "/" not in name[len(path) :].strip("/")]
        self._json([_entry(name, files[name]) for name in below])

    def _preupload(self, commit: str) -> None:
        tree, answers = self.server.commits[commit], []
        for file in json.loads(self.body)["files"]:
            name = file["path"]
            known = {"oid": _entry(name, tree[name])["known"]} if name in tree else {}
            answers.append({"path": name, "uploadMode": _mode(name), "shouldIgnore": False, **known})
        self._json({"files": answers})

    def _batch(self, _: str) -> None:
        objects = json.loads(self.body)["objects"]
        for item in objects:
            if item["oid"] not in self.server.large:
                item["actions"] = {"upload": {"href": f"{self.server.url}/objects/{item['oid']}"}}
        self._json({"transfer": "basic", "objects": objects})

    def _object(self, path: str) -> None:
        self.server.large[path.removeprefix("/objects/")] = self._sent()
        self._json({})

    def _sent(self) -> bytes:
        """The body of a request, also if it came in pieces."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.body
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _commit(self, _: str) -> None:
        hook, self.server.before_commit = self.server.before_commit, None
        if hook is not None:
            hook()
        lines = [json.loads(line) for line in self.body.splitlines()]
        with self.server.lock:
            if lines[0]["value"].get("parentCommit", self.server.main) != self.server.main:
                self._json({"error": "A commit has happened since. Please refresh and try again."}, 412)
                return
            tree = dict(self.server.commits[self.server.main])
            for line in lines[1:]:
                value = line["value"]
                if line["key"] == "deletedFile":
                    del tree[value["path"]]
                else:
                    content = value.get("content")
                    tree[value["path"]] = self.server.large[value["oid"]] if content is None else b64decode(content)
            commit = self.server.add(tree)
        self._json({"commitUrl": f"{self.server.url}/datasets/{REPO}/commit/{commit}", "commitOid": commit})

    def _resolve(self, commit: str, path: str) -> None:
        tree = self.server.commits[commit]
        if path not in tree:
            self._json({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        data = tree[path]
        named = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        if found is None:
            self._answer(data, 200, named)
        else:
            start, stop = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
            self._answer(data[start:stop], 206, {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}", **named})

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._answer(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _mode(name: str) -> str:
    return "lfs" if name.endswith(".tar") else "regular"


def _entry(name: str, data: bytes) -> dict[str, object]:
    """A file as the hub lists it; `known` is what it tells those who are about to upload it."""
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = {"type": "file", "path": name, "size": len(data), "oid": blob, "known": blob}
    if _mode(name) == "lfs":
        sha256 = hashlib.sha256(data).hexdigest()
        entry |= {"known": sha256, "lfs": {"oid": sha256, "size": len(data), "pointerSize": 134}}
    return entry


@contextmanager
def hub() -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.socket.close()
