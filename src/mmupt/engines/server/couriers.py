"""How new weights get from the trainer to the servers. A new way is a class here and a line in `courier_of`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import torch

from mmupt.engines.server.broadcast import Group, GroupLost, Place, list_keeper
from mmupt.engines.server.client import Client, Stale, Unreachable, together
from mmupt.engines.settings import ServerSettings
from mmupt.engines.source import Source
from mmupt.errors import EngineError
from mmupt.models.weights import write_shards
from mmupt.runtime.lock import FolderLock

_WRITTEN = "mmupt-weights-"
"""How folders begin in the shared one that hold a run's weights."""


def written(session: str) -> str:
    """Where in a shared folder the weights of a run lie, a folder a version."""
    return f"{_WRITTEN}{session}"


class Courier(Protocol):
    """One version at a time; the one before is forgotten."""

    def publish(self, version: str, source: Source, dtype: torch.dtype) -> None:
        """The weights of `source` as they are, merged with their adapters, are `version`; they do not move until the
        next call."""
        ...

    def bring(self, clients: Sequence[Client]) -> list[Exception | None]:
        """The newest version to each of these servers. None where one has confirmed it, else what it said (Unreachable,
        Stale, EngineError)."""
        ...

    def close(self) -> None: ...


def courier_of(settings: ServerSettings, session: str) -> Courier:
    if settings.weights in ("http", "folder"):
        return ThroughFiles(session, settings.folder if settings.weights == "folder" else None)
    return ThroughGroup(session, settings.weights)


class ThroughFiles:
    """Written once, as safetensors. Through a shared `folder` servers read it there, without one each is sent it."""

    def __init__(self, session: str, folder: str | None) -> None:
        self._session, self._shared = session, folder is not None
        self._lock: FolderLock | None = None
        if folder is None:
            self._root = Path(tempfile.mkdtemp(prefix=_WRITTEN))
            self._own = self._root
        else:
            self._root = Path(folder)
            self._root.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self._root)  # two runs in one folder would remove each other's
            for left in self._root.glob(f"{_WRITTEN}*"):
                shutil.rmtree(left, ignore_errors=True)
            self._own = self._root / written(session)
        self._version = ""
        self._files: list[Path] = []

    def publish(self, version: str, source: Source, dtype: torch.dtype) -> None:
        place = self._own / version
        begun = self._own / f"{version}.tmp"
        begun.mkdir(parents=True)
        names = [file.name for file in write_shards(source.weights(), begun, dtype)]
        begun.rename(place)
        if self._version:
            shutil.rmtree(self._own / self._version, ignore_errors=True)
        self._version, self._files = version, [place / name for name in names]

    def bring(self, clients: Sequence[Client]) -> list[Exception | None]:
        return together([partial(_attempt, partial(self._to, client)) for client in clients], clients)

    def close(self) -> None:
        shutil.rmtree(self._own, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()

    def _to(self, client: Client) -> None:
        client.post("/known", {"session": self._session})  # else a refusal would be lost behind a long upload
        if not self._shared:
            for file in self._files:
                client.upload(f"/weights/{self._session}/{self._version}/{file.name}", file)
        order = {
            "session": self._session,
            "version": self._version,
            "way": "folder" if self._shared else "http",
            "files": [[file.name, file.stat().st_size] for file in self._files],
        }
        client.post("/weights", order)


class ThroughGroup:
    """From the trainer to all servers at once, see broadcast.py. The group is kept while its members are the same."""

    def __init__(self, session: str, backend: str) -> None:
        self._session, self._backend = session, backend
        self._lock = Lock()
        self._members: tuple[Client, ...] = ()
        self._group: Group | None = None
        self._version = ""

    def publish(self, version: str, source: Source, dtype: torch.dtype) -> None:
        if self._backend == "nccl" and source.device.type != "cuda":
            raise EngineError(
                'rollout.server.weights = "nccl" goes from GPU to GPU, and this trainer computes on a CPU; use "http", '
                'or "folder"'
            )
        self._version, self._source, self._dtype = version, source, dtype
        self._device = source.device if self._backend == "nccl" else torch.device("cpu")

    def bring(self, clients: Sequence[Client]) -> list[Exception | None]:
        with self._lock:  # a group is made, and used, by one at a time
            knock = [partial(_attempt, partial(c.post, "/known", {"session": self._session})) for c in clients]
            said = dict(zip(clients, together(knock, clients), strict=True))  # nobody waits for one that is gone
            members = tuple(client for client in clients if said[client] is None)
            if members:
                said |= zip(members, self._bring(members), strict=True)
            if any(said[member] for member in members):
                self._disband()
            return [said[client] for client in clients]

    def close(self) -> None:
        self._disband()

    def _bring(self, members: tuple[Client, ...]) -> list[Exception | None]:
        if members != self._members:
            self._disband()
        keeper = None
        if self._group is None:
            keeper, self._port = list_keeper(members[0].seen_as)
        size = len(members) + 1
        order = [[name, shape] for name, shape in self._source.shapes.items()]
        announce = [
            partial(_attempt, partial(self._announce, client, self._place(rank, client, size), order))
            for rank, client in enumerate(members, start=1)
        ]

        def send() -> Exception | None:
            try:
                if self._group is None:
                    self._group = Group(self._place(0, members[0], size), self._device, keeper)
                    self._members = members
                self._group.send(self._source.weights(), self._dtype)
            except GroupLost as error:
                return Stale(str(error))
            return None

        calls: list[Callable[[], Exception | None]] = [send, *announce]
        lost, *heard = together(calls, members)
        return [error or lost for error in heard]

    def _announce(self, client: Client, place: Place, order: list[list[Any]]) -> None:
        table = {"session": self._session, "version": self._version, "way": "group", "order": order}
        client.post("/weights", {**table, "place": place.as_json()})

    def _place(self, rank: int, client: Client, size: int) -> Place:
        return Place(self._backend, client.seen_as, self._port, rank, size)

    def _disband(self) -> None:
        if self._group is not None:
            self._group.close()
        self._group, self._members = None, ()


def _attempt(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except (Unreachable, Stale, EngineError) as error:
        return error
    return None
