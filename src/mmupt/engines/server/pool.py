"""All servers of a run: who is there, who has which weights, and who samples what."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TypeVar

import torch

from mmupt.engines.base import Request, Sampling
from mmupt.engines.finished import Finished
from mmupt.engines.server.client import Client, Stale, Unreachable, together
from mmupt.engines.server.couriers import Courier, courier_of
from mmupt.engines.server.facts import facts
from mmupt.engines.server.load import Load
from mmupt.engines.server.secret import read_token
from mmupt.engines.server.wire import Garbled, pack_pictures, pack_requests, unpack_rollouts
from mmupt.engines.settings import RolloutSettings
from mmupt.engines.source import Source
from mmupt.errors import EngineError
from mmupt.runtime.division import divided
from mmupt.types import Picture

_log = logging.getLogger(__name__)
_PICTURE_BYTES = 256 * 2**20
"""Of pictures that are sent in one message, or a single larger one."""

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Server:
    """`greeted`: it knows this run; `exact`: it computes in fp32; `ready`: it has confirmed the newest weights;
    `checked`: a rollout from them has been through the trainer's forward; `lost`: it is left out until there are new
    weights. `trouble` is what went wrong last."""

    client: Client
    greeted: bool = False
    exact: bool = False
    ready: bool = False
    checked: bool = False
    lost: bool = False
    trouble: str = "does not answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """The rollouts of one request, and who has sampled them."""

    finished: list[Finished]
    server: Server


class ServerPool:
    """Has the weights of one holder at a time, as a `VLLMHost` does. From one thread."""

    def __init__(self, settings: RolloutSettings, load: Load) -> None:
        """Raises ConfigError without a secret, RunFolderError where another run uses the shared folder."""
        own = settings.server
        self.settings, self.load = settings, load
        token = read_token(own)
        self._session = secrets.token_hex(16)
        self.servers = [Server(Client(url, token, own.timeout)) for url in settings.servers]
        self._courier: Courier = courier_of(own, self._session)
        self._holder: object | None = None
        self._version = 0
        self._hello: dict[str, object] = {}
        self._dtype: torch.dtype | None = None
        self._ending = Event()

    def holds(self, holder: object) -> bool:
        """Whether what is generated comes from the weights of this one, as they were when it was last held."""
        return self._holder is holder

    def hold(self, holder: object, source: Source) -> None:
        """What is generated from now on comes from the weights of `source`, as they are. Nothing is done where `holder`
        was the last to ask and `let_go` has not been called since. EngineError where no server takes them."""
        if self.holds(holder):
            return
        self._holder = None
        self._hello = {
            "session": self._session,
            "facts": facts(source.family, source.config, source.shapes),
            "load": self.load.as_json(),
            "picture_bytes": self.settings.server.picture_cache_mib * 2**20,
        }
        self._version += 1
        self._ending.clear()
        patient = [server for server in self.servers if not server.lost]  # one that was lost before is tried once
        for server in self.servers:
            server.ready = server.checked = False
        published = False
        for pause in self._pauses():
            waiting = [server for server in (patient if pause else self.servers) if not server.ready]
            if not waiting or (pause and self._ending.wait(pause)):
                break
            self._everywhere([partial(self._greet, server) for server in waiting])
            there = [server for server in waiting if server.greeted]
            if there and not published:
                assert self._dtype is not None, "who greets says in which precision weights are to come"
                self._courier.publish(str(self._version), source, self._dtype)
                published = True
            self._bring(there)
        for server in self.servers:
            if not server.ready:
                self._leave_out(server)
        self._alive()
        self._holder = holder

    def let_go(self) -> None:
        """The weights handed over are old."""
        self._holder = None

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
        """Of each request, in order. Whole groups go to the servers, and those of a server that is lost to the others.
        EngineError where none is left."""
        answers: dict[int, Answer] = {}
        self._ending.clear()
        pending = list(range(len(requests)))
        while pending:
            servers = self._alive()
            costs = [requests[i].encoded.length + len(requests[i].seeds) * sampling.max_new_tokens for i in pending]
            shares = [[pending[i] for i in share] for share in divided(costs, len(servers))]
            busy = [(server, share) for server, share in zip(servers, shares, strict=True) if share]
            found = self._everywhere(
                [partial(self._ask, server, [requests[i] for i in share], sampling) for server, share in busy]
            )
            for (server, share), groups in zip(busy, found, strict=True):
                if groups is not None:
                    answers.update({i: Answer(group, server) for i, group in zip(share, groups, strict=True)})
            pending = [i for i in pending if i not in answers]
        return [answers[i] for i in range(len(requests))]

    def close(self) -> None:
        """Servers are free for another run."""
        for server in self.servers:
            if server.greeted:
                try:
                    server.client.post("/end", {"session": self._session})
                except (Unreachable, Stale, EngineError) as error:
                    _log.debug("%s: %s", server.client.url, error)
        self._courier.close()

    def _ask(self, server: Server, requests: Sequence[Request], sampling: Sampling) -> list[list[Finished]] | None:
        """None where the server is lost. Tried again, the same seeds give the same rollouts."""
        for pause in self._pauses():
            if pause and self._ending.wait(pause):
                break
            try:
                if not server.ready:
                    self._greet(server)
                    self._bring([server])
                if server.ready:
                    return self._sampled(server, requests, sampling)
            except Stale as error:
                server.greeted, server.ready, server.trouble = False, False, str(error)
            except Unreachable as error:
                server.trouble = str(error)
        self._leave_out(server)
        return None

    def _sampled(self, server: Server, requests: Sequence[Request], sampling: Sampling) -> list[list[Finished]]:
        client = server.client
        pictures = {picture.key: picture for request in requests for picture in request.encoded.pictures}
        if pictures:
            wanted = client.post("/missing", {"session": self._session, "keys": list(pictures)})[0]["missing"]
            for some in _portions([pictures[key] for key in wanted]):
                rows, tensors = pack_pictures(some)
                client.post("/pictures", {"session": self._session, "pictures": rows}, tensors)
        rows, tensors = pack_requests(requests)
        table = {
            "session": self._session,
            "version": str(self._version),
            "requests": rows,
            "sampling": {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_new_tokens": sampling.max_new_tokens,
            },
        }
        said, arrays = client.post("/generate", table, tensors)
        try:
            groups = unpack_rollouts(said["groups"], arrays)
        except (Garbled, KeyError) as error:
            raise EngineError(f"rollout server {client.url}: {error}; please report this") from error
        if [len(group) for group in groups] != [len(request.seeds) for request in requests]:
            raise EngineError(f"rollout server {client.url} has left out rollouts; please report this")
        return groups

    def _greet(self, server: Server) -> None:
        """Once, and again where the server was started anew. EngineError where it serves something else."""
        if server.greeted:
            return
        try:
            reply, _ = server.client.post("/session", self._hello)
        except (Unreachable, Stale) as error:
            server.trouble = str(error)
            return
        dtype = getattr(torch, str(reply["dtype"]))
        if self._dtype not in (None, dtype):
            raise EngineError(
                f"rollout server {server.client.url} computes in {dtype}, others in {self._dtype}; start all of them "
                "with the same recipe"
            )
        self._dtype, server.exact = dtype, bool(reply["exact"])
        server.greeted, server.lost = True, False

    def _bring(self, servers: Sequence[Server]) -> None:
        """The newest weights to those of these that have been greeted."""
        servers = [server for server in servers if server.greeted]
        if not servers:
            return
        for server, error in zip(servers, self._courier.bring([s.client for s in servers]), strict=True):
            if isinstance(error, EngineError):
                raise error
            server.ready, server.checked = error is None, False
            server.greeted = not isinstance(error, Stale)
            if error is not None:
                server.trouble = str(error)

    def _leave_out(self, server: Server) -> None:
        if not server.lost:
            why = server.trouble
            _log.warning("rollout server %s is left out until there are new weights: %s", server.client.url, why)
        server.lost, server.ready, server.greeted = True, False, False

    def _alive(self) -> list[Server]:
        if alive := [server for server in self.servers if server.ready]:
            return alive
        them = "; ".join(f"{server.client.url}: {server.trouble}" for server in self.servers)
        raise EngineError(
            f"no rollout server answers ({them}); start them with `mmupt serve`, look at what they say there, and go "
            "on with --resume"
        )

    def _pauses(self) -> list[float]:
        own = self.settings.server
        return [0.0, *(own.pause * 2.0**i + 1e-9 for i in range(own.retries))]

    def _everywhere(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """All at the same time. Where one raises, or the user interrupts, nobody is waited for."""
        try:
            return together(calls, [server.client for server in self.servers])
        except BaseException:
            self._ending.set()
            raise


def _portions(pictures: Sequence[Picture]) -> list[list[Picture]]:
    portions: list[list[Picture]] = []
    room = 0
    for picture in pictures:
        size = sum(tensor.nbytes for tensor in picture.tensors.values())
        if size > room:
            portions.append([])
            room = _PICTURE_BYTES
        portions[-1].append(picture)
        room -= size
    return portions
