"""The server: for this machine, for its own page, for its own files; and never a traceback."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmupt.errors import ConfigError, RunFolderError
from mmupt.watch import WatchServer

Serve = Callable[[Path], WatchServer]


def get(server: WatchServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)  # type: ignore[arg-type]
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


@pytest.fixture
def server(tmp_path: Path, made: SimpleNamespace, serve: Serve) -> WatchServer:
    layout = made.begin(tmp_path / "run")
    (tmp_path / "outside.png").write_bytes(b"secret")
    made.step(layout, "upt", 1, [made.row("a", ["1", None])])
    found = serve(layout.root)
    get(found, "/api/groups")
    return found


def test_everything_the_page_asks_for(server: WatchServer) -> None:
    for path in ("/", "/index.html", "/static/main.js", "/static/style.css", "/static/icon.svg"):
        status, headers, body = get(server, path)
        assert status == 200 and body and "charset=utf-8" in headers["Content-Type"], path
    assert b"http" not in get(server, "/")[2]  # nothing is fetched from elsewhere
    for path in ("/api/run", "/api/metrics", "/api/groups", "/api/search?q=a", "/api/group?stage=upt&step=1&row=0"):
        status, headers, body = get(server, path)
        assert status == 200 and json.loads(body), path
        assert headers["Content-Type"] == "application/json; charset=utf-8"
    status, headers, body = get(server, "/", "HEAD")
    assert status == 200 and int(headers["Content-Length"]) > 1000 and body == b""


def test_every_answer_carries_the_policy(server: WatchServer) -> None:
    for path in ("/", "/static/main.js", "/api/run", "/nothing", "/picture"):
        headers = get(server, path)[1]
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "evil.example:127.0.0.1", "", "0.0.0.0", "[::2]:3"]
)
def test_another_host_is_refused(server: WatchServer, host: str) -> None:
    for path in ("/", "/api/run", "/picture?stage=upt&step=1&row=0&number=0"):
        status, _, body = get(server, path, Host=host)
        assert status == 403 and b"dice" not in body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9", "LOCALHOST", "[::1]:80", "[::1]"])
def test_this_machine_by_any_name_and_port(server: WatchServer, host: str) -> None:
    assert get(server, "/api/run", Host=host)[0] == 200  # a tunnel may have another port


def test_other_sites_may_link_here_and_nothing_else(server: WatchServer) -> None:
    assert get(server, "/api/run", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert get(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe")[0] == 403
    assert get(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")[0] == 200
    assert get(server, "/api/run", Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/static/../server.py", "/static/%2e%2e/server.py", "/static/__init__.py", "/../../etc/passwd",
     "/etc/passwd", "/picture", "/picture?stage=upt&step=1&row=0&number=0", "/picture?stage=..&step=1&row=0&number=0",
     "/api/group?stage=upt",
     "/picture?stage=upt&step=1&row=0&number=0&path=../outside.png", "/api/group?stage=upt&step=x&row=0",
     "/api/group?stage=upt&step=1&row=7", "/api/group?stage=upt&step=1&row=-1", "/api/group?stage=../..&step=1&row=0",
     "/api/group?stage=upt&step=2&row=0", "/api/groups?boot=x&after=x" * 30, "/api/run/.."],
)  # fmt: skip
def test_what_is_not_there_is_said_so(server: WatchServer, path: str) -> None:
    status, _, body = get(server, path)
    assert status == 404 and set(json.loads(body)) == {"error"}
    assert b"secret" not in body and b"Traceback" not in body


def test_only_reading(server: WatchServer) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert get(server, "/api/run", method)[0] == 501


def test_a_new_server_is_told_from_the_old_one(server: WatchServer, serve: Serve) -> None:
    first = json.loads(get(server, "/api/groups")[2])
    again = json.loads(get(server, f"/api/groups?boot={first['boot']}&after={first['next']}")[2])
    assert first["files"] and not again["files"]
    other = json.loads(get(serve(server.layout.root), f"/api/groups?boot={first['boot']}&after={first['next']}")[2])
    assert other["files"] and other["boot"] != first["boot"]


def test_a_fault_of_ours_is_an_answer(server: WatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError("oh")

    monkeypatch.setattr(server.run_state, "state", fail)
    status, _, body = get(server, "/api/run")
    assert status == 500 and "RuntimeError: oh" in json.loads(body)["error"]


def test_mistakes_are_one_message(tmp_path: Path, server: WatchServer) -> None:
    with pytest.raises(RunFolderError, match="no run folder"):
        WatchServer(tmp_path / "missing")
    for port in (server.server_address[1], 70_000):
        with pytest.raises(ConfigError, match=f"--port: port {port} cannot be had"):
            WatchServer(server.layout.root, port)


def test_the_command(tmp_path: Path, made: SimpleNamespace) -> None:
    layout = made.begin(tmp_path)
    command = [sys.executable, "-m", "mmupt.cli", "watch", str(tmp_path), "--no-open", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"{layout.root}: http://127.0.0.1:")
        port = int(line.split(":")[3].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/api/run")
        assert json.loads(connection.getresponse().read())["name"] == "dice"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    done = subprocess.run(
        [*command[:4], str(tmp_path / "no"), "--no-open"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
