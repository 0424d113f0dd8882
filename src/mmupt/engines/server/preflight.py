"""What can be known of the servers before a run begins."""

from __future__ import annotations

import logging
from functools import partial

import torch

from mmupt.engines.server.client import Client, Stale, Unreachable, together
from mmupt.engines.server.facts import differences, facts
from mmupt.engines.server.secret import read_token
from mmupt.engines.server.wire import Table
from mmupt.engines.settings import RolloutSettings
from mmupt.errors import EngineError
from mmupt.models.families.base import Family

_log = logging.getLogger(__name__)


def check_servers(settings: RolloutSettings, family: Family) -> None:
    """EngineError where no server answers, or where one serves another model or another mmupt; a warning where some do
    not answer. ConfigError without a secret."""
    own = settings.server
    token = read_token(own)
    if own.weights == "nccl" and not torch.cuda.is_available():
        raise EngineError('rollout.server.weights = "nccl" goes from GPU to GPU, and there is none here; use "http"')
    clients = [Client(url, token, own.timeout) for url in settings.servers]
    said = together([partial(_about, client) for client in clients], clients)
    mine = facts(family)
    silent = []
    for client, about in zip(clients, said, strict=True):
        if isinstance(about, str):
            silent.append(f"{client.url}: {about}")
            continue
        its = about["facts"]
        if found := differences(mine, {key: its.get(key) for key in mine}):
            raise EngineError(
                f"rollout server {client.url} does not serve the model of this run: {'; '.join(found)}; start it with "
                "this recipe"
            )
    if len(silent) == len(clients):
        raise EngineError(f"no rollout server answers ({'; '.join(silent)}); start them with `mmupt serve`")
    for who in silent:
        _log.warning("rollout server %s; the others do its work until it is there", who)


def _about(client: Client) -> Table | str:
    try:
        return client.about()
    except (Unreachable, Stale) as error:
        return str(error)
