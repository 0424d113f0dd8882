"""One server, as the trainer sees it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from torch import Tensor

from mmupt.engines.server.wire import Garbled, Table, message, read
from mmupt.errors import EngineError

_CONNECT = 5.0
"""Seconds for a connection to come about."""
_SHOWN = 600  # characters of what a server says
_ALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4))
"""A machine that is gone is noticed in about half a minute, however long an answer may take."""


T = TypeVar("T")


class Unreachable(Exception):
    """No connection, or it broke, or nothing came in time."""


class Stale(Exception):
    """The server lacks what the request takes for granted: it was started anew, or has other weights."""


class Client:
    """Every call is a connection of its own. Not for two threads at once, but for `hang_up`."""

    def __init__(self, url: str, token: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        self._parts = urlsplit(self.url)
        self._token, self._timeout = token, timeout
        self._socket: socket.socket | None = None
        self.seen_as = ""
        """The address of this machine, as the server's network has it; known behind the first call."""

    def about(self) -> Table:
        """What the server says of itself. Raises as `post` does."""
        return self._call("GET", "/", b"", 0)[0]

    def post(
        self, path: str, table: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None
    ) -> tuple[Table, dict[str, Tensor]]:
        """The server's reply. Raises Unreachable or Stale, and EngineError where asking again would change nothing."""
        body = message(table, tensors)
        return self._call("POST", path, body, len(body))

    def upload(self, path: str, file: Path) -> None:
        """Raises as `post` does."""
        with file.open("rb") as content:
            self._call("PUT", path, content, file.stat().st_size)

    def hang_up(self) -> None:
        """A call in another thread ends now, and raises Unreachable."""
        if (connected := self._socket) is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _call(self, method: str, path: str, body: bytes | BinaryIO, length: int) -> tuple[Table, dict[str, Tensor]]:
        connection = self._connection()
        try:
            connection.connect()
            self._socket = connection.sock
            self.seen_as = str(connection.sock.getsockname()[0])
            _keep_alive(connection.sock)
            connection.sock.settimeout(self._timeout)
            headers = {"Authorization": f"Bearer {self._token}", "Content-Length": str(length), "Connection": "close"}
            connection.request(method, (self._parts.path or "") + path, body=body, headers=headers)
            response = connection.getresponse()
            status, data = response.status, response.read()
        except TimeoutError as error:
            raise Unreachable(f"gave no answer within {self._timeout:g} s") from error
        except ssl.SSLError as error:
            raise EngineError(f"rollout server {self.url}: {error}; is the certificate right?") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        finally:
            self._socket = None
            connection.close()
        return self._understood(status, data)

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(str(self._parts.hostname), self._parts.port, timeout=_CONNECT)

    def _understood(self, status: int, data: bytes) -> tuple[Table, dict[str, Tensor]]:
        if status == 200:
            try:
                return read(data)
            except Garbled as error:
                raise EngineError(f"rollout server {self.url}: {error}; is this address `mmupt serve`'s?") from error
        said = _said(data)
        if status == 412:
            raise Stale(said)
        if status in (502, 503, 504):  # of a proxy in between
            raise Unreachable(f"answered {status}")
        if status == 401:
            raise EngineError(
                f"rollout server {self.url} refuses the secret; set the same one for the trainer and for `mmupt serve` "
                "(rollout.server.token_file or rollout.server.token_env)"
            )
        raise EngineError(f"rollout server {self.url} answered {status}: {said}")


def together(calls: Sequence[Callable[[], T]], clients: Sequence[Client]) -> list[T]:
    """What the calls return, each in a thread of its own. Where one raises, or the user interrupts, nobody is waited
    for."""
    if not calls:
        return []
    with ThreadPoolExecutor(len(calls)) as threads:
        running = [threads.submit(call) for call in calls]
        try:
            return [future.result() for future in running]
        except BaseException:
            for client in clients:
                client.hang_up()
            raise


def _said(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["error"])
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _keep_alive(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _ALIVE:
        if (option := getattr(socket, name, None)) is not None:  # Linux; elsewhere the system's own patience
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
