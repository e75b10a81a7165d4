"""Checkpoints of TransTIC and AdaptICMH into a codec folder and an adapter file.

    python -m weights_convert.adapter CHECKPOINT --name det --task detection --quality 1 --lmbda 0.0018 --out DIR

A checkpoint holds its base as well: DIR/base becomes that codec, DIR/NAME.safetensors the adapter, bound to it.
Weights of the base are rounded to float16, as in every codec folder.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from icm_jax.adapters import store
from icm_jax.errors import IcmError
from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.tic import TICSpec
from icm_jax.pretrained.store import save as save_codec
from icm_jax.train.export import make_codec
from weights_convert.sfma import is_sfma, tic_sfma_from_state_dict
from weights_convert.state_dict import read_state_dict
from weights_convert.transtic_prompts import transtic_from_state_dict


class Converted(NamedTuple):
    """A base and an adapter on it."""

    base: TICSpec
    base_params: dict[str, Any]
    spec: AdapterSpec
    variables: dict[str, Any]


def convert_checkpoint(state_dict: Mapping[str, np.ndarray], encoder_prompts: int = 0) -> Converted:
    """Base and adapter of a checkpoint; its names say which method it is of.

    Raises:
        ConversionError: it is of neither.
    """
    if any(is_sfma(name) for name in state_dict):
        sfma = tic_sfma_from_state_dict(state_dict)
        return Converted(sfma.base, sfma.base_params, sfma.spec, {"params": sfma.params})
    prompts = transtic_from_state_dict(state_dict, encoder_prompts)
    return Converted(prompts.base, prompts.base_params, prompts.spec, prompts.variables)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of `python -m weights_convert.adapter`."""
    parser = argparse.ArgumentParser(prog="adapter", description="Convert a published adapter and its base.")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=".pth, .pth.tar or .safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder for base and adapter")
    parser.add_argument("--name", required=True, help="name that streams carry")
    parser.add_argument("--task", default="", help="what it was trained for")
    parser.add_argument("--base-name", default="tic", help="name of the base (%(default)s)")
    parser.add_argument("--quality", type=int, default=1, help="quality of the base (%(default)s)")
    parser.add_argument("--lmbda", type=float, default=0.0, help="rate–distortion weight of the base")
    parser.add_argument(
        "--encoder-prompts", type=int, default=0, help="prompts of a window, if not as many as in g_s"
    )
    options = parser.parse_args(argv)
    try:
        found = convert_checkpoint(read_state_dict(options.checkpoint), options.encoder_prompts)
        origin = {"converted_from": options.checkpoint.name}
        base = make_codec(
            options.base_name, options.quality, options.lmbda, found.base, found.base_params, origin
        )
        save_codec(base, options.out / "base")
        made = store.make_adapter(options.name, options.task, found.spec, found.variables, base)
        store.save(made, options.out / f"{options.name}.safetensors")
    except IcmError as error:
        print(f"adapter: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}/base  {base.hash[:16]}\n{options.out}/{options.name}.safetensors  {made.hash[:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
