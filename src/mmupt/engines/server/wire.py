"""What trainer and server say to each other: a small table and some tensors, as one safetensors message. Nothing is
pickled, so nothing that arrives is run.

Prompts travel as the trainer has encoded them, for every family alike; what their pictures hold travels once and is
then known by its key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mmupt.engines.base import Request
from mmupt.engines.finished import Finished
from mmupt.types import EncodedPrompt, Picture

_HEAD = "mmupt"
_LENGTH_BYTES = 8

Table = dict[str, Any]


class Garbled(ValueError):
    """Not a message of ours."""


def message(table: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> bytes:
    """`table` holds JSON values. Tensors may share memory and lie anywhere."""
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in (tensors or {}).items()}
    return save(own, metadata={_HEAD: json.dumps(table, allow_nan=False)})


def read(data: bytes) -> tuple[Table, dict[str, Tensor]]:
    """What `message` was given. Raises Garbled for anything else."""
    try:
        tensors = load(data)
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        table = json.loads(json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])["__metadata__"][_HEAD])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Garbled(f"not a message of mmupt ({type(error).__name__})") from error
    if not isinstance(table, dict):
        raise Garbled("not a message of mmupt (no table)")
    return table, tensors


def pack_requests(requests: Sequence[Request]) -> tuple[list[Table], dict[str, Tensor]]:
    """Prompts and seeds, the pictures by their keys alone."""
    rows: list[Table] = [
        {
            "length": request.encoded.length,
            "next": request.encoded.next_position,
            "pictures": [picture.key for picture in request.encoded.pictures],
            "blocks": [list(block) for block in request.encoded.blocks],
            "seeds": list(request.seeds),
        }
        for request in requests
    ]
    encoded = [request.encoded for request in requests]
    return rows, {
        "ids": torch.cat([e.token_ids for e in encoded]),
        "positions": torch.cat([e.positions_3P for e in encoded], dim=1),
    }


def unpack_requests(
    rows: Sequence[Table], tensors: Mapping[str, Tensor], pictures: Mapping[str, Picture]
) -> list[Request]:
    """The requests again; `pictures` holds those that are named. Raises Garbled where the parts do not fit together."""
    try:
        lengths = [int(row["length"]) for row in rows]
        ids = tensors["ids"].split(lengths)
        positions = tensors["positions"].split(lengths, dim=1)
        return [
            Request(
                EncodedPrompt(
                    ids_P,
                    positions_3P,
                    int(row["next"]),
                    tuple(pictures[key] for key in row["pictures"]),
                    tuple((int(start), int(end)) for start, end in row["blocks"]),
                ),
                tuple(int(seed) for seed in row["seeds"]),
            )
            for row, ids_P, positions_3P in zip(rows, ids, positions, strict=True)
        ]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Garbled(f"requests that do not fit together ({error})") from error


def pack_pictures(pictures: Sequence[Picture]) -> tuple[list[Table], dict[str, Tensor]]:
    rows: list[Table] = [{"key": picture.key, "tensors": sorted(picture.tensors)} for picture in pictures]
    tensors = {f"{i}.{name}": t for i, picture in enumerate(pictures) for name, t in picture.tensors.items()}
    return rows, tensors


def unpack_pictures(rows: Sequence[Table], tensors: Mapping[str, Tensor]) -> list[Picture]:
    """The pictures again. Raises Garbled where a tensor is missing."""
    try:
        return [
            Picture(str(row["key"]), {str(name): tensors[f"{i}.{name}"] for name in row["tensors"]})
            for i, row in enumerate(rows)
        ]
    except (KeyError, TypeError) as error:
        raise Garbled(f"a picture without its tensors ({error})") from error


def pack_rollouts(groups: Sequence[Sequence[Finished]]) -> tuple[list[list[Table]], dict[str, Tensor]]:
    rows = [[{"length": len(f.token_ids), "stop": f.stop} for f in group] for group in groups]
    them = [f for group in groups for f in group]
    return rows, {
        "ids": torch.tensor([token for f in them for token in f.token_ids], dtype=torch.long),
        "logprobs": torch.tensor([p for f in them for p in f.logprobs], dtype=torch.float64),
    }


def unpack_rollouts(rows: Sequence[Sequence[Table]], tensors: Mapping[str, Tensor]) -> list[list[Finished]]:
    """The rollouts again, log-probs to the last bit. Raises Garbled where the parts do not fit together."""
    try:
        lengths = [int(row["length"]) for group in rows for row in group]
        ids, logprobs = iter(tensors["ids"].split(lengths)), iter(tensors["logprobs"].split(lengths))
        return [
            [Finished(next(ids).tolist(), next(logprobs).tolist(), _stop(row["stop"])) for row in group]
            for group in rows
        ]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Garbled(f"rollouts that do not fit together ({error})") from error


def _stop(word: object) -> Any:
    if word not in ("end", "length"):
        raise ValueError(f"{word!r} is no reason to stop")
    return word
