"""The secret that trainer and servers share."""

from __future__ import annotations

import os
from pathlib import Path

from mmupt.engines.settings import ServerSettings
from mmupt.errors import ConfigError

_SHORTEST = 16


def read_token(settings: ServerSettings) -> str:
    """ConfigError where there is none, or one that is no secret."""
    if settings.token_file is not None:
        where = f"the file {settings.token_file} (rollout.server.token_file)"
        try:
            token = Path(settings.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where} cannot be read: {error}") from error
    else:
        where = f"the environment variable {settings.token_env}"
        token = os.environ.get(settings.token_env, "").strip()
    if not (len(token) >= _SHORTEST and token.isascii() and token.isprintable() and " " not in token):
        found = f"holds none of {_SHORTEST} or more plain characters" if token else "holds nothing"
        raise ConfigError(
            f"rollout servers share a secret with the trainer, and {where} {found}; set it to the same long random "
            "word on both sides, for example to what `openssl rand -hex 32` prints"
        )
    return token
