"""Rate and distortion of codecs over a folder of images, counted in the bytes of real files.

    python -m icm_jax.evaluate.rate_distortion kodak/ --codecs tic-lite --anchors jpeg webp --out results

`records.jsonl` grows by one line an image and codec, so an interrupted run goes on where it stopped;
`summary.json`, `table.md`, `rd.png` and `rd.svg` are made from it at the end. Infinite decibels are `null`.
"""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from icm_jax.data.image_io import list_images, read_image, write_bytes
from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import ANCHORS, get_anchor
from icm_jax.evaluate.curves import gain_table, markdown_table
from icm_jax.evaluate.image_quality import ms_ssim_db
from icm_jax.evaluate.measure import ImageCodec, json_scores, measure, warm_up
from icm_jax.evaluate.plots import plot_rd

GAIN_RATES = (0.15, 0.25, 0.35, 0.5, 0.7)  # bpp
SUMMARY_SCHEMA = 1

Record = dict[str, Any]


def evaluate_folder(
    codecs: dict[str, ImageCodec], images: Sequence[Path], anchors: Sequence[str], out: Path
) -> list[Record]:
    """Measure every codec, and every anchor at its sweep of qualities, on every image.

    `codecs` maps a label of your choice ("tic-lite-3") to a codec; points of one `codec.name` are one curve.
    Returns one record an image and codec. A record of an earlier run into the same `out` is taken over when
    codec name, quality, codec hash and image digest all agree. Raises IcmError for an unreadable image.
    """
    references = [anchor.at(quality) for anchor in map(get_anchor, anchors) for quality in anchor.sweep]
    subjects: list[ImageCodec] = [*codecs.values(), *references]
    path = out / "records.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {_key(record): record for record in _read_records(path)}
    warm: set[tuple[str, tuple[int, ...]]] = set()
    wanted: list[Record] = []
    with (
        path.open("a", encoding="utf-8") as log,
        tqdm(total=len(images) * len(subjects), disable=None) as bar,
    ):
        for file in images:
            image = read_image(file)
            identity = {"image": file.name, "image_sha256": hashlib.sha256(image.tobytes()).hexdigest()}
            for codec in subjects:
                head = {"codec": codec.name, "quality": codec.quality, "hash": codec.hash, **identity}
                if _key(head) not in done:
                    # One warm-up a codec family and size: qualities share their compiled programs.
                    if (codec.name, image.shape) not in warm:
                        warm_up(codec, image)
                        warm.add((codec.name, image.shape))
                    record = {**head, **json_scores(measure(codec, image).scores)}
                    log.write(json.dumps(record) + "\n")
                    log.flush()
                    done[_key(head)] = record
                wanted.append(done[_key(head)])
                bar.update()
    return wanted


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """Means a codec and quality.

    `bpp` is the mean of the images' rates, as most papers report; `bpp_pixels` is all bits over all pixels.
    `ms_ssim_db` is the mean of the images' decibels. Raises IcmError when codecs saw different images.
    """
    groups: dict[tuple[str, int, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record["codec"], record["quality"], record["hash"]), []).append(record)
    image_sets = {frozenset(r["image_sha256"] for r in group) for group in groups.values()}
    if len(image_sets) != 1:
        raise IcmError(
            f"codecs were measured on {len(image_sets)} different sets of images; run them on the same"
        )
    return {
        "schema": SUMMARY_SCHEMA,
        "images": list(dict.fromkeys(record["image"] for record in records)),
        "points": [_point(*key, group) for key, group in groups.items()],
    }


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and of each folder its images by name; raises IcmError for an empty folder."""
    return [file for path in paths for file in (list_images(path) if path.is_dir() else [path])]


def _point(codec: str, quality: int, digest: str, group: list[Record]) -> dict[str, Any]:
    def mean(name: str) -> float | None:
        values = [record[name] for record in group]
        return None if None in values else float(np.mean(values))

    pixels = sum(record["height"] * record["width"] for record in group)
    decibels = float(np.mean([ms_ssim_db(record["ms_ssim"]) for record in group]))
    return {
        "codec": codec,
        "quality": quality,
        "hash": digest,
        "bpp": mean("bpp"),
        "bpp_pixels": 8 * sum(record["bytes"] for record in group) / pixels,
        "estimated_bpp": mean("estimated_bpp"),
        "psnr": mean("psnr"),
        "ms_ssim": mean("ms_ssim"),
        "ms_ssim_db": decibels if math.isfinite(decibels) else None,
        "encode_seconds": mean("encode_seconds"),
        "decode_seconds": mean("decode_seconds"),
    }


def _key(record: Record) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("codec", "quality", "hash", "image_sha256"))


def _read_records(path: Path) -> list[Record]:
    """Records of an earlier run. A torn last line, left by a killed run, is cut off the file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    complete = text[: text.rfind("\n") + 1]
    if complete != text:
        write_bytes(path, complete.encode())
    try:
        return [json.loads(line) for line in complete.splitlines()]
    except json.JSONDecodeError as error:
        raise IcmError(
            f"{path} holds a line that is not JSON ({error}); delete the file to start anew"
        ) from error


def _load_codecs(names: Sequence[str], qualities: Sequence[int] | None) -> dict[str, ImageCodec]:
    """An embedded family at all or the given qualities, or an exported codec folder."""
    from icm_jax import pretrained
    from icm_jax.codec import Codec

    codecs: dict[str, ImageCodec] = {}
    for name in names:
        if Path(name).is_dir():
            codecs[name] = Codec.load(name)
        else:
            pretrained.folder(
                name
            )  # refuses a name that is not included, which has no qualities to loop over
            for quality in qualities or pretrained.qualities(name):
                codecs[f"{name}-{quality}"] = Codec.load(name, quality)
    return codecs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m icm_jax.evaluate.rate_distortion",
        description="Measure codecs on images by the bytes of their files: bpp, PSNR, MS-SSIM, times.",
        epilog="example: %(prog)s kodak/ --codecs tic-lite --anchors jpeg webp avif vvc --out results/kodak",
    )
    parser.add_argument("images", nargs="+", type=Path, help="image files or folders of them")
    parser.add_argument(
        "--codecs", nargs="+", default=["tic-lite"], help="codec families or folders (%(default)s)"
    )
    parser.add_argument(
        "--qualities", nargs="+", type=int, help="only these qualities of a family (default: all)"
    )
    parser.add_argument("--anchors", nargs="*", default=["jpeg", "webp"], help=f"any of {', '.join(ANCHORS)}")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for records, summary, table and plots"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        codecs = _load_codecs(options.codecs, options.qualities)
        records = evaluate_folder(codecs, find_images(options.images), options.anchors, options.out)
        summary = summarise(records)
        write_bytes(options.out / "summary.json", json.dumps(summary, indent=2).encode())
        names = list(dict.fromkeys(codec.name for codec in codecs.values()))
        gains = [gain_table(summary, name, GAIN_RATES) for name in names] if options.anchors else []
        report = "\n\n".join([markdown_table(summary), *gains]) + "\n"
        write_bytes(options.out / "table.md", report.encode())
        print(report)
        plot_rd(summary, options.out / "rd.png")
    except IcmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
