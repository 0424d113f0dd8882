"""`mmupt export`: one ordinary Hugging Face folder out of a run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from mmupt.cli.answers import one_of


def export(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A run folder (its newest finished stage), RUN:STAGE or a checkpoint."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    dtype: Annotated[
        str, typer.Option(metavar="bfloat16|float16|float32|keep", help="The precision of the weights.")
    ] = "bfloat16",
    shard_size: Annotated[str, typer.Option(metavar="SIZE", help="The most that one weight file holds.")] = "5GB",
    base: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="What an adapter belongs to, where that is no longer in its place."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export at OUT.")] = False,
) -> None:
    """Write a run's model as one Hugging Face folder that transformers and vLLM load.

    Adapters are merged; tokenizer, processor, chat template and generation config come along, and a model card says how
    the model was made. Every tensor is read again and compared before the folder is there.
    """
    from mmupt.export.exporting import export_model, parse_size
    from mmupt.export.weights import Dtype

    chosen, limit = one_of("--dtype", dtype, get_args(Dtype)), parse_size(shard_size)
    try:
        made = export_model(
            source,
            out,
            dtype=chosen,
            shard_bytes=limit,
            base=base,
            overwrite=overwrite,
            command=shlex.join(["mmupt", *sys.argv[1:]]),
            note=typer.echo,
        )
    except KeyboardInterrupt:
        typer.echo("interrupted; nothing is left behind", err=True)
        raise typer.Exit(130) from None
    files = f"{len(made.shards)} file{'s' if len(made.shards) > 1 else ''}"
    typer.echo(f"written: {made.folder} ({made.num_bytes / 1e9:.3g} GB of weights in {files})")
