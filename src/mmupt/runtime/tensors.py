"""Trees of tensors on disk without pickle: safetensors, with the shape of the tree in the file's own metadata.

Made for `optimizer.state_dict()`: what comes back equals what went in, bit for bit, with its keys, ints and floats.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmupt.errors import RunFolderError

_TREE = "tree"


def save_tensors(path: Path, tree: object) -> None:
    """Writes dicts, lists and tuples, however nested, of dense tensors, None, bool, int, float and str, as a file of a
    checkpoint, which forces it to the disk with all others.

    Dict keys may be any of the scalars. Tensors that share memory are stored one by one. Raises TypeError for anything
    else; nothing is dropped and nothing is turned into something similar.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_encode(tree, tensors), allow_nan=False)
    seen: set[int] = set()
    tensors = {name: _own_memory(tensor, seen) for name, tensor in tensors.items()}
    save_file(tensors, path, metadata={_TREE: skeleton})


def load_tensors(path: Path) -> object:
    """The tree of `save_tensors`, tensors on the CPU. Raises RunFolderError where the file is missing or damaged."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            skeleton = (file.metadata() or {}).get(_TREE)
            if skeleton is None:
                raise RunFolderError(f"{path}: not written by mmupt, it holds no tree; use the file of a checkpoint")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
            return _decode(json.loads(skeleton), tensors)
    except FileNotFoundError:
        raise RunFolderError(f"{path}: is missing; use a complete checkpoint") from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise RunFolderError(f"{path}: damaged ({error}); go on from an older checkpoint") from error


def _encode(node: object, tensors: dict[str, Tensor]) -> list[object]:
    """A node as [kind, content]. Floats go by their hexadecimal form, which is exact and knows NaN and infinity."""
    match node:
        case Tensor():
            name = str(len(tensors))
            tensors[name] = node
            return ["tensor", name]
        case dict():
            return ["dict", [[_encode(key, tensors), _encode(item, tensors)] for key, item in node.items()]]
        case list():
            return ["list", [_encode(item, tensors) for item in node]]
        case tuple():
            return ["tuple", [_encode(item, tensors) for item in node]]
        case None | bool() | int() | str() if type(node) in (type(None), bool, int, str):
            return ["value", node]
        case float() if type(node) is float:
            return ["float", node.hex()]
    raise TypeError(f"a tree of tensors cannot hold a {type(node).__name__}: {node!r:.80}")


def _decode(node: list, tensors: dict[str, Tensor]) -> object:  # type: ignore[type-arg]
    kind, content = node
    match kind:
        case "tensor":
            return tensors[content]
        case "dict":
            return {_decode(key, tensors): _decode(item, tensors) for key, item in content}
        case "list":
            return [_decode(item, tensors) for item in content]
        case "tuple":
            return tuple(_decode(item, tensors) for item in content)
        case "value":
            return content
        case "float":
            return float.fromhex(content)
    raise ValueError(f"unknown kind {kind!r} in the tree")


def _own_memory(tensor: Tensor, seen: set[int]) -> Tensor:
    """safetensors refuses tensors that share memory: a view of something larger, or of something `seen`, is copied."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise TypeError(f"only dense tensors can be stored, not {tensor.layout} of {tensor.dtype}")
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    memory = plain.untyped_storage()
    if memory.nbytes() != plain.nbytes or memory.data_ptr() in seen:
        plain = plain.clone()
    seen.add(plain.untyped_storage().data_ptr())
    return plain
