"""What a server does, whatever the way in which it is asked: it serves one trainer at a time, with the weights that
this trainer names, and refuses everything else."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmupt.engines.base import Sampling
from mmupt.engines.server.backends import Backend, Weights
from mmupt.engines.server.broadcast import Group, GroupLost, Place
from mmupt.engines.server.couriers import written
from mmupt.engines.server.facts import differences, facts
from mmupt.engines.server.load import Load
from mmupt.engines.server.wire import (
    Garbled,
    Table,
    pack_rollouts,
    unpack_pictures,
    unpack_requests,
)
from mmupt.errors import EngineError
from mmupt.models.weights import read_shards
from mmupt.runtime.recent import RecentlyUsed
from mmupt.types import Picture

_APPEARS = 30.0
"""Seconds within which a network file system shows what another machine has written."""

_SESSION, _VERSION, _FILE = (
    re.compile("[0-9a-f]{32}"),
    re.compile("[0-9]{1,12}"),
    re.compile("model-[0-9]{5}.safetensors"),
)
"""All that may become part of a path."""

Reply = tuple[Table, Mapping[str, Tensor]]


class Refused(Exception):
    """This trainer is not served, and asking again changes nothing."""


class Stale(Exception):
    """The server has not got what the request takes for granted: it was started anew, or has other weights."""


class Desk:
    """Calls come one after another, from one thread. `folder` is the one that trainer and servers share, None where
    there is none; `spool` is a folder of the server's own, for weights on their way."""

    def __init__(self, backend: Backend, *, folder: Path | None, spool: Path) -> None:
        self._backend, self._folder, self.spool = backend, folder, spool
        self._session: str | None = None
        self._version: str | None = None
        self._pictures: RecentlyUsed[str, Picture] = RecentlyUsed(0)
        self._group: Group | None = None
        self._about = facts(backend.family, backend.config)

    def about(self) -> Reply:
        """What is served; known before any trainer has come."""
        return {"engine": self._backend.name, "facts": self._about}, {}

    def open(self, table: Table, tensors: Mapping[str, Tensor]) -> Reply:
        """A trainer begins. One that was served before is not any more."""
        backend = self._backend
        mine = facts(backend.family, backend.config, backend.shapes)
        if found := differences(table["facts"], mine):
            raise Refused(f"trainer and server do not serve one model: {'; '.join(found)}")
        session = _named(_SESSION, table["session"])
        self._leave()
        backend.start(Load(**table["load"]))
        self._session = session
        self._pictures = RecentlyUsed(int(table["picture_bytes"]))
        return {"dtype": str(backend.dtype).removeprefix("torch."), "exact": backend.exact}, {}

    def end(self, table: Table, tensors: Mapping[str, Tensor]) -> Reply:
        """The trainer is done. Engine and memory stay for the next."""
        self._of(table)
        self._leave()
        return {}, {}

    def known(self, table: Table, tensors: Mapping[str, Tensor]) -> Reply:
        """Whether this trainer is the one that is served; raises if it is not."""
        self._of(table)
        return {}, {}

    def missing(self, table: Table, tensors: Mapping[str, Tensor]) -> Reply:
        """Which of these pictures have to be sent."""
        self._of(table)
        return {"missing": [key for key in table["keys"] if self._pictures.get(str(key)) is None]}, {}

    def keep(self, table: Table, tensors: Mapping[str, Tensor]) -> Reply:
        """Pictures to remember."""
        self._of(table)
        for picture in unpack_pictures(table["pictures"], tensors):
            self._pictures.put(picture.key, picture, sum(tensor.nbytes for tensor in picture.tensors.values()))
        return {}, {}

    def take(self, table: Table, tensors: Mapping[str, Tensor]) -> Reply:
        """New weights, all of them, under the version that later requests name."""
        self._of(table)
        self._version = None
        version, way = _named(_VERSION, table["version"]), table["way"]
        arriving = self.spool / str(self._session) / version
        try:
            if way == "folder":
                self._load(self._shared(version), table["files"])
            elif way == "http":
                self._load(arriving, table["files"])
            elif way == "group":
                self._receive(table)
            else:
                raise Garbled(f"{way!r} is no way for weights")
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        self._version = version
        return {"version": version}, {}

    def generate(self, table: Table, tensors: Mapping[str, Tensor]) -> Reply:
        """Rollouts from the weights of the version that is named, and from no others."""
        self._of(table)
        if self._version is None or self._version != table["version"]:
            raise Stale(f"has the weights {self._version or 'of nobody'}, not {table['version']}")
        keys = {str(key) for row in table["requests"] for key in row["pictures"]}
        known = {key: picture for key in keys if (picture := self._pictures.get(key)) is not None}
        if len(known) < len(keys):
            raise Refused(
                f"{len(keys) - len(known)} of {len(keys)} pictures that are asked about at a time do not fit into the "
                "server's memory of them; raise rollout.server.picture_cache_mib"
            )
        requests = unpack_requests(table["requests"], tensors, known)
        sampling = Sampling(**table["sampling"])
        groups, arrays = pack_rollouts(self._backend.generate(requests, sampling))
        return {"version": self._version, "groups": groups}, arrays

    def close(self) -> None:
        self._leave()
        self._backend.close()

    def arriving(self, session: str, version: str) -> Path:
        """Where files of a version are put that come over the connection. Called from any thread."""
        if self._session is None or session != self._session:
            raise Stale("does not know this trainer")
        folder = self.spool / _named(_SESSION, session) / _named(_VERSION, version)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _of(self, table: Table) -> None:
        if self._session is None:
            raise Stale("does not know this trainer: it was started anew")
        if table.get("session") != self._session:
            raise Refused("another run has taken this server over; a server serves one run at a time")

    def _leave(self) -> None:
        if self._session is not None:
            shutil.rmtree(self.spool / self._session, ignore_errors=True)
        if self._group is not None:
            self._group.close()
        self._session = self._version = self._group = None
        self._pictures = RecentlyUsed(0)

    def _load(self, folder: Path, files: Sequence[Sequence[Any]]) -> None:
        for name, size in files:
            path = folder / _named(_FILE, name)
            found = path.stat().st_size if path.is_file() else None
            if found != size:
                raise Stale(f"has {'nothing' if found is None else f'{found} bytes'} of the {size} bytes of {path}")
        self._take(lambda: read_shards(folder))

    def _shared(self, version: str) -> Path:
        if self._folder is None:
            raise Refused(
                "weights come through a shared folder, and this server knows none; start it with --folder DIR"
            )
        place = self._folder / written(str(self._session)) / version
        deadline = time.monotonic() + _APPEARS
        while not place.is_dir():
            if time.monotonic() > deadline:
                raise Refused(
                    f"the weights do not appear at {place}; --folder has to be what the trainer calls "
                    "rollout.server.folder"
                )
            time.sleep(0.05)
        return place

    def _receive(self, table: Table) -> None:
        place = Place(**table["place"])
        if place.backend == "nccl" and self._backend.device.type != "cuda":
            raise Refused('rollout.server.weights = "nccl" goes from GPU to GPU, and this server computes on a CPU')
        order = [(str(name), [int(n) for n in shape]) for name, shape in table["order"]]
        try:
            if self._group is None or self._group.place != place:
                if self._group is not None:
                    self._group.close()
                self._group = Group(place, self._backend.device)
            group = self._group
            self._take(lambda: group.receive(order, self._backend.dtype))
        except GroupLost as error:
            self._group = None
            raise Stale(str(error)) from error

    def _take(self, weights: Weights) -> None:
        arrived: set[str] = set()
        self._backend.take(lambda: self._known(weights(), arrived))
        if lacking := self._backend.shapes.keys() - arrived:
            raise EngineError(f"{len(lacking)} weights have not come, {min(lacking)} among them; please report this")

    def _known(self, weights: Iterator[tuple[str, Tensor]], arrived: set[str]) -> Iterator[tuple[str, Tensor]]:
        for name, weight in weights:
            if list(weight.shape) != list(self._backend.shapes.get(name, ())):
                raise Garbled(f"{name} is no weight of this model, or has another shape")
            arrived.add(name)
            yield name, weight


def _named(pattern: re.Pattern[str], word: object) -> str:
    if not isinstance(word, str) or not pattern.fullmatch(word):
        raise Garbled(f"{word!r:.80} is no name of ours")
    return word
