"""The server behind `mmupt watch`: this machine only, this page only, reading only.

What it takes care of, since responses are hostile and a browser has other pages open:

- it listens on 127.0.0.1, and answers only requests whose Host is this machine's own name (against DNS rebinding) and
  that no other site has sent;
- the page runs and loads nothing but its own (Content-Security-Policy, trusted types), and puts text in as text;
- files are served by name from a fixed list, groups and pictures by (stage, step, row, number), never by path;
- the run folder is opened for reading only, and its lock is left alone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mmupt
from mmupt.errors import ConfigError, DataError, MmuptError, RunFolderError
from mmupt.runtime.layout import RunLayout
from mmupt.watch.details import answer_mode, group_detail, group_picture
from mmupt.watch.index import GroupIndex
from mmupt.watch.metrics import metrics_since
from mmupt.watch.state import RunState, names_of_numbers

PORT = 8484
ADDRESS = "127.0.0.1"
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_READING = 0.3  # seconds an answer may spend on reading new groups
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Query = Mapping[str, str]
_Answer = tuple[str, bytes]  # content type, body


class WatchServer(ThreadingHTTPServer):
    """Serves the page about the run folder `run` until `shutdown`. Port 0 takes any that is free.

    Raises RunFolderError where there is no such folder, ConfigError where the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, run: Path, port: int = 0) -> None:
        if not run.is_dir():
            raise RunFolderError(f"{run}: there is no run folder; check the path, or wait until the run has begun")
        layout = RunLayout(run)
        self.boot = secrets.token_hex(8)
        """Another one for each server: what a page was told by one that is gone, it forgets."""
        self.index, self.run_state, self.layout = GroupIndex(layout), RunState(layout), layout
        folder = files("mmupt.watch") / "page"
        self.pages = {entry.name: entry.read_bytes() for entry in folder.iterdir() if Path(entry.name).suffix in _KINDS}
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"port {port} cannot be had ({error}); name another one, or 0 for any that is free", where="--port"
            ) from error

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no news; anything else is answered with a status (see `_Handler`)."""


class _Handler(BaseHTTPRequestHandler):
    server: WatchServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = f"mmupt/{mmupt.__version__}", ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are no news."""

    def _answer(self, *, body: bool) -> None:
        status, kind, content = HTTPStatus.OK, "application/json", b""
        try:
            if reason := self._refused():
                status, content = HTTPStatus.FORBIDDEN, _json({"error": reason})
            else:
                kind, content = self._route()
        except (LookupError, ValueError) as error:
            status, content = HTTPStatus.NOT_FOUND, _json({"error": f"there is no such thing ({error})"})
        except MmuptError as error:  # a picture that is missing, a file that has gone: the page says so
            status, content = HTTPStatus.NOT_FOUND, _json({"error": str(error)})
        except Exception as error:  # a fault of ours must not stop the page
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            content = _json({"error": f"{type(error).__name__}: {error}; please report this"})
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind != "image/png" else kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _refused(self) -> str:
        """Why this request is not answered; empty where it is."""
        host = self.headers.get("Host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if name.lower() not in _HOSTS:
            return "this page is for this machine only: open it as http://127.0.0.1"
        # Browsers say who asks; a page of another site may link here, and nothing else.
        if self.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") and not (
            self.headers.get("Sec-Fetch-Mode") == "navigate" and self.headers.get("Sec-Fetch-Dest") == "document"
        ):
            return "this page is not for other sites"
        return ""

    def _route(self) -> _Answer:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query, max_num_fields=20).items()}
        if url.path in ("/", "/index.html"):
            return self._page("index.html")
        if url.path.startswith("/static/"):
            return self._page(url.path.removeprefix("/static/"))
        if url.path == "/picture":
            return "image/png", self._picture(query)
        answers: dict[str, Callable[[Query], object]] = {
            "/api/run": self._run,
            "/api/metrics": lambda q: metrics_since(self.server.layout.metrics, q.get("after", "")),
            "/api/groups": self._groups,
            "/api/search": lambda q: {"found": self.server.index.search(q.get("q", ""))},
            "/api/group": self._group,
        }
        return "application/json", _json(answers[url.path](query))

    def _page(self, name: str) -> _Answer:
        return _KINDS[Path(name).suffix], self.server.pages[name]

    def _run(self, query: Query) -> object:
        return {"boot": self.server.boot, "names": names_of_numbers(), **self.server.run_state.state()}

    def _groups(self, query: Query) -> object:
        after = int(query.get("after", 0)) if query.get("boot") == self.server.boot else 0
        return {"boot": self.server.boot, **self.server.index.news(after, _READING)}

    def _group(self, query: Query) -> object:
        mode = answer_mode(self.server.run_state.settings(query["stage"]))
        return group_detail(self._file(query), int(query["row"]), mode, whole=query.get("whole") == "1")

    def _picture(self, query: Query) -> bytes:
        return group_picture(self._file(query), int(query["row"]), int(query["number"]))

    def _file(self, query: Query) -> Path:
        path = self.server.index.path(query["stage"], int(query["step"]))
        if path is None:
            raise DataError("there are no groups of this step (any more)")
        return path


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
