"""`mmupt export`: from a run or a checkpoint to one ordinary Hugging Face folder, verified before it is there."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mmupt
from mmupt.errors import ConfigError, ModelError
from mmupt.export.card import CardFacts, model_card
from mmupt.export.folder import MARK, check_out, check_room, new_folder
from mmupt.export.source import ModelBehind, model_behind
from mmupt.export.weights import Dtype, compare_weights, copy_weights, num_bytes, open_weights
from mmupt.export.whole import whole_folder
from mmupt.models.families import FAMILIES
from mmupt.models.loading import load_family
from mmupt.models.settings import ModelSettings

SUMS = "SHA256SUMS"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
# What a checkpoint has beside the model: the trainer's state, and peft's own papers.
_LEFT_BEHIND = re.compile(
    r"manifest\.json|state\.json|optimizer\.safetensors|reward\.safetensors|README\.md|adapter_.*|.*\.safetensors"
    r"|model\.safetensors\.index\.json"
)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: `tensors` of them, in the weight files `shards`, `num_bytes` of weights together."""

    folder: Path
    behind: ModelBehind
    tensors: int
    shards: tuple[str, ...]
    num_bytes: int


def export_model(
    source: str,
    out: Path,
    *,
    dtype: Dtype = "bfloat16",
    shard_bytes: int = 5 * 10**9,
    base: str | None = None,
    overwrite: bool = False,
    command: str = "",
    note: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Writes the model that `source` names (see `model_behind`) to `out`, which is whole or not there.

    Every tensor that was written is read again and compared with the checkpoint's, and the folder's tokenizer and
    processor are loaded, before the folder takes its place. `command` is what the card says it was made with, `note` is
    told what goes on. Raises RunFolderError about the source, ModelError about everything else.
    """
    check_out(out, overwrite=overwrite)
    behind = model_behind(source, base)
    note(f"{behind.folder}: every file is as it was written")
    with new_folder(out) as folder:
        scratch = folder / "whole"
        if behind.base is not None:
            note(f"adding the adapter to {behind.base}")
        whole = whole_folder(behind, scratch)
        config = _config(whole)
        with open_weights(whole) as weights:
            size = num_bytes(weights, dtype)
            check_room(out, size)
            shards = copy_weights(weights, folder, dtype, shard_bytes)
            _copy_others(whole, folder)
            (folder / "config.json").write_text(_dump(_in_dtype(config, dtype)), encoding="utf-8")
            tensors = compare_weights(weights, folder, dtype)
        shutil.rmtree(scratch, ignore_errors=True)
        load_family(str(folder), ModelSettings(path=str(folder)))
        note(f"{tensors} tensors read again and compared")
        _write_papers(folder, out.name, behind, config, dtype, command)
    return Exported(out, behind, tensors, tuple(shards), size)


def parse_size(text: str) -> int:
    """Bytes. ConfigError for what is no size, and for less than a megabyte.

    >>> parse_size("5GB"), parse_size("500 MiB")
    (5000000000, 524288000)
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * _UNITS[(match[2] or "").upper()]) if match is not None else 0
    if size < 10**6:
        raise ConfigError(f'--shard-size "{text}": give a size of at least 1MB, such as 5GB or 500MB')
    return size


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: holds no model of transformers (config.json: {error})") from error
    if config.get("model_type") not in FAMILIES:
        raise ModelError(f"{folder}: architecture {config.get('model_type')!r} is not known to mmupt")
    return config


def _in_dtype(config: Mapping[str, Any], dtype: Dtype) -> dict[str, Any]:
    """The configuration with the precision that the weights are in, wherever one is named."""
    return {
        key: _in_dtype(value, dtype)
        if isinstance(value, dict)
        else dtype
        if key in ("dtype", "torch_dtype") and dtype != "keep"
        else value
        for key, value in config.items()
    }


def _copy_others(whole: Path, folder: Path) -> None:
    """Tokenizer, chat template, picture processor, generation config: every file that is not the trainer's."""
    for file in sorted(whole.iterdir()):
        if file.is_file() and not _LEFT_BEHIND.fullmatch(file.name):
            shutil.copyfile(file, folder / file.name)


def _write_papers(
    folder: Path, name: str, behind: ModelBehind, config: Mapping[str, Any], dtype: Dtype, command: str
) -> None:
    """Model card, a record for programs, and last the hashes of all files."""
    versions = {"mmupt": mmupt.__version__, "python": platform.python_version()}
    versions |= {library: version(library) for library in ("torch", "transformers", "safetensors")}
    written = dtype if dtype != "keep" else str(config.get("dtype", config.get("torch_dtype", "float32")))
    pictures = FAMILIES[str(config["model_type"])].pictures
    (folder / "README.md").write_text(
        model_card(CardFacts(name, behind, pictures, written, versions, command)), encoding="utf-8"
    )
    record = {
        "stage": behind.stage,
        "step": behind.step,
        "finished": behind.finished,
        "adapter_merged": behind.base is not None,
        "dtype": written,
        "versions": versions,
    }
    (folder / MARK).write_text(_dump(record), encoding="utf-8")
    sums = [f"{_sha256(file)}  {file.name}\n" for file in sorted(folder.iterdir()) if file.is_file()]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _dump(value: object) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
