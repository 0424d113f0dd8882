"""The desk behind HTTP: who may ask, what of, and what the answer's status means.

    200  done                       409  refused: asking again changes nothing
    401  without the secret         412  the server lacks what the request takes for granted
    400  not a message of ours      500  the engine has failed

Bodies are safetensors messages (wire.py), or the bytes of a weights file; errors are JSON. The secret is compared
before anything of a body is read.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread
from typing import Any

from mmupt.engines.server.desk import Desk, Refused, Reply, Stale
from mmupt.engines.server.wire import Garbled, message, read
from mmupt.errors import EngineError, MmuptError

_log = logging.getLogger(__name__)
_LARGEST_MESSAGE = 8 * 2**30
_CHUNK = 2**20
_PATIENCE = 120.0
"""Seconds for which a connection that sends nothing is kept."""
_FILE = re.compile(r"/weights/([0-9a-f]+)/([0-9]+)/(model-[0-9]{5}\.safetensors)")


class Worker:
    """Calls that come from many threads, done one after another in the thread that runs it: an engine belongs to
    one."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()

    def do(self, call: Callable[[], Any]) -> Any:
        """What `call` returns or raises."""
        done: Future[Any] = Future()
        self._calls.put((call, done))
        return done.result()

    def run(self) -> None:
        """Until `stop`."""
        while (item := self._calls.get()) is not None:
            call, done = item
            try:
                done.set_result(call())
            except Exception as error:
                done.set_exception(error)

    def stop(self) -> None:
        self._calls.put(None)


class App(ThreadingHTTPServer):
    """Listens once it is made; serves between `start` and `stop`. EngineError where host and port cannot be had."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, desk: Desk, worker: Worker, token: str, host: str, port: int) -> None:
        self.desk, self.worker, self._token = desk, worker, token.encode()
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise EngineError(
                f"{host}:{port} cannot be listened on ({error.strerror or error}); choose others with --host and --port"
            ) from error
        self._thread = Thread(target=self.serve_forever, args=(0.1,), name="mmupt-serve", daemon=True)

    @property
    def url(self) -> str:
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def known(self, authorization: str) -> bool:
        return hmac.compare_digest(authorization.encode("utf-8", "replace"), b"Bearer " + self._token)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's affair, and a traceback of it nobody's."""
        _log.debug("connection with %s lost", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: App
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE

    def do_GET(self) -> None:
        self._answered(self._about)

    def do_POST(self) -> None:
        self._answered(self._called)

    def do_PUT(self) -> None:
        self._answered(self._uploaded)

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)

    def _about(self) -> Reply | None:
        return self.server.desk.about() if self.path == "/" else None

    def _called(self) -> Reply | None:
        desk = self.server.desk
        routes: dict[str, Callable[..., Reply]] = {
            "/session": desk.open,
            "/end": desk.end,
            "/known": desk.known,
            "/missing": desk.missing,
            "/pictures": desk.keep,
            "/weights": desk.take,
            "/generate": desk.generate,
        }
        call = routes.get(self.path)
        if call is None:
            return None
        length = self._length()
        if length > _LARGEST_MESSAGE:
            raise Garbled(f"a message of {length} bytes")
        table, tensors = read(self._all(length))
        return self.server.worker.do(lambda: call(table, tensors))

    def _uploaded(self) -> Reply | None:
        found = _FILE.fullmatch(self.path)
        if found is None:
            return None
        session, version, name = found.groups()
        left = self._length()
        with (self.server.desk.arriving(session, version) / name).open("wb") as file:
            while left:
                chunk = self.rfile.read(min(_CHUNK, left))
                if not chunk:
                    raise ConnectionError("the upload has ended early")
                file.write(chunk)
                left -= len(chunk)
        return {}, {}

    def _answered(self, answer: Callable[[], Reply | None]) -> None:
        self.close_connection = True  # what is left of a body after an error would pass for a request
        if not self.server.known(self.headers.get("Authorization", "")):
            self._send_error(401, "this server wants the secret that it was started with")
            return
        try:
            reply = answer()
        except Garbled as error:
            self._send_error(400, str(error))
        except Refused as error:
            self._send_error(409, str(error))
        except Stale as error:
            self._send_error(412, str(error))
        except MmuptError as error:
            self._send_error(500, str(error))
        except ConnectionError:
            raise
        except Exception as error:
            traceback.print_exc()
            self._send_error(500, f"{type(error).__name__}: {error}")
        else:
            if reply is None:
                self._send_error(404, "nothing is here; is this address right?")
            else:
                self._send(200, "application/octet-stream", message(*reply))

    def _length(self) -> int:
        try:
            length = int(self.headers["Content-Length"])
        except (TypeError, ValueError):
            raise Garbled("a body without its length") from None
        if length < 0:
            raise Garbled("a body without its length")
        return length

    def _all(self, length: int) -> bytes:
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionError("the message has ended early")
        return data

    def _send_error(self, status: int, what: str) -> None:
        self._send(status, "application/json", json.dumps({"error": what}).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
