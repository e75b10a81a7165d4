"""Arguments of `icm convert` and of `icm parity --live`; light to import, so that `icm --help` stays quick."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from icm_jax.errors import IcmError

DONE = 0


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands; `add(name, run, what, example)` makes one's parser."""
    parser = add(
        "convert",
        _convert,
        "published weights -> a folder of ours, and back",
        "icm convert torchvision-resnet resnet50-0676ba61.pth -o weights/resnet50",
    )
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="who wrote the file, or timm:NAME, which is fetched; without a file: what is known of it; without "
        "anything: the sources",
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="published weights: .safetensors, .pth, .tar or .pkl",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder, or with --to-torch a file")
    parser.add_argument("-f", "--force", action="store_true", help="replace a converted folder")
    parser.add_argument(
        "--to-torch",
        type=Path,
        metavar="DIR",
        help="a converted folder -> its published names, as safetensors",
    )
    parser.add_argument(
        "--model",
        default="",
        metavar="NAME",
        help="which network, where several share their names (resnet50, resnet50-v2); or the codec's or adapter's name",
    )
    parser.add_argument("--quality", type=int, default=1, help="rate of a codec on its ladder (%(default)s)")
    parser.add_argument(
        "--lmbda", type=float, default=0.0, help="rate–distortion weight of a codec's training"
    )
    parser.add_argument("--task", default="", help="what an adapter was trained for")
    parser.add_argument(
        "--encoder-prompts",
        type=int,
        default=0,
        help="of transtic: prompts of a window, if not as many as in g_s",
    )
    parser.add_argument("--json", action="store_true", help="print the manifest instead of text")


def add_live(parser: argparse.ArgumentParser) -> None:
    """Options of `icm parity` that run PyTorch instead of reading golden files."""
    parser.add_argument(
        "--live",
        nargs="+",
        default=[],
        metavar="NAME",
        help="run these in PyTorch and here; an unknown name lists all",
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and inputs (%(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps of Adam side by side (%(default)s)")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for NAME.json and NAME.html")


def _convert(options: argparse.Namespace) -> int:
    from weights_convert.convert_command import convert_file, describe, write_reference
    from weights_convert.products import Label
    from weights_convert.timm_hub import PREFIX, fetch

    if options.to_torch is not None:
        if options.output is None or options.source is not None:
            raise IcmError("--to-torch takes a folder and -o FILE.safetensors, and nothing else")
        count = write_reference(options.to_torch, options.output)
        print(json.dumps({"arrays": count}) if options.json else f"{options.output}: {count} arrays")
        return DONE
    by_name = (options.source or "").startswith(PREFIX)
    if options.source is None or (options.file is None and not by_name):
        print(_known(options.source))
        return DONE
    if options.output is None:
        raise IcmError("where to? give a folder with -o")
    source, file, published = options.source, options.file, None
    if by_name:
        if file is not None:
            raise IcmError(f"{options.source} fetches its file; give it without {file}, or a source with it")
        source, file, published = fetch(options.source)
    label = Label(options.model, options.quality, options.lmbda, options.task, options.encoder_prompts)
    manifest = convert_file(source, file, options.output, label, options.force, published)
    shown = {key: value for key, value in manifest.items() if key != "arrays"}
    print(json.dumps(shown, indent=1) if options.json else describe(manifest, options.output))
    return DONE


def _known(name: str | None) -> str:
    """The sources, or the published files of one."""
    from weights_convert.sources import SOURCES, find_source

    if name is None:
        return "\n".join(f"{key:<26} {row.makes:<11} {row.title}" for key, row in SOURCES.items())
    return "\n".join(
        f"{p.model:<24} {p.file:<42} {p.url}\n  {p.licence}" for p in find_source(name).published
    )
