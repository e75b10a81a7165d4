"""What an `.icm` file holds, as a record and as text."""

from pathlib import Path
from typing import Any

from icm_jax.batch import read_stream
from icm_jax.bitstream import container
from icm_jax.bitstream.header import NO_HASH
from icm_jax.codec import Codec
from icm_jax.evaluate.calibration import expected_losses
from icm_jax.pretrained import store
from icm_jax.task_codec import TaskCodec
from icm_jax.task_files import find_task_codec

BAR = 40  # columns of the longest bar


def report(
    path: Path, codec: str | None = None, adapter: Path | None = None, max_pixels: int = container.MAX_PIXELS
) -> dict[str, Any]:
    """Header, sections, guard cost and bits a latent channel of one file, as plain values.

    Args:
        adapter: the one the stream was made with; then also what its tasks are expected to lose, see
            `icm_jax.evaluate.calibration`.

    Raises:
        IcmError: not readable, damaged, larger than `max_pixels`, or written by a codec that is neither included nor
            given; another adapter, or one that was not calibrated.
    """
    data = read_stream(path)
    header = container.read_header(data)
    made_with = None if header.adapter_hash == NO_HASH else f"{header.adapter_id} {header.adapter_hash.hex()}"
    tasks: dict[str, Any] = {}
    if folder := find_task_codec(codec, None):
        found = TaskCodec(store.load(folder)).inspect(data)
    else:
        reader = Codec.for_stream(data, codec, adapter)
        tasks = {"tasks": _tasks(reader, data)} if adapter else {}
        found = reader.inspect(data, max_pixels)
    return {
        "file": str(path),
        "bytes": len(data),
        "bpp": round(found.bpp, 5),
        "codec": header.codec_id,
        "quality": header.quality,
        "codec_hash": header.codec_hash.hex(),
        "adapter": made_with,
        "size": [header.width, header.height],
        "canvas": [header.padded_width, header.padded_height],
        "alignment": container.Alignment(header.alignment).name.lower(),
        "scale_precision": header.scale_precision,
        "sections": [{"type": kind, "bytes": size} for kind, size in found.section_bytes],
        "container_bytes": len(data) - sum(size for _, size in found.section_bytes),
        "guard_bytes": found.guard_bytes,
        "z_bits": round(found.z_bits, 1),
        "channel_bits": [round(float(bits), 1) for bits in found.channel_bits],
        **tasks,
    }


def _tasks(reader: Codec, data: bytes) -> list[dict[str, Any]]:
    """What each calibrated task is expected to lose."""
    header = container.read_header(data)
    reader.refuse_other_adapter(header)
    assert reader.adapter is not None
    losses = expected_losses(reader.adapter, 8 * len(data) / (header.width * header.height))
    return [{"task": task, **expected._asdict()} for task, expected in losses.items()]


def describe(record: dict[str, Any]) -> str:
    """A report as text for a terminal."""
    width, height = record["size"]
    canvas = "×".join(map(str, record["canvas"]))
    lines = [
        f"{record['file']}  {record['bytes']:,} bytes  {record['bpp']:.4f} bpp",
        f"  codec     {record['codec']} q{record['quality']}  ({record['codec_hash']})",
        f"  adapter   {record['adapter'] or 'none: decodes to an image for people'}",
        f"  image     {width}×{height} on a canvas of {canvas} ({record['alignment']})",
        f"  scales    {record['scale_precision']}, guard {record['guard_bytes']} byte(s)",
        f"  container {record['container_bytes']} bytes",
    ]
    lines += [
        f"  section   {section['type']:<8} {section['bytes']:>9,} bytes" for section in record["sections"]
    ]
    lines += [_expected_line(**task) for task in record.get("tasks", ())]
    return "\n".join(lines + _channels(record["channel_bits"]))


def _expected_line(task: str, metric: str, loss: float, outside: bool) -> str:
    beyond = ", beyond the rates that were calibrated" if outside else ""
    return f"  task      {task:<14} expected to lose {loss:.2f} of {metric}{beyond}"


def _channels(bits: list[float]) -> list[str]:
    """The channels of y by cost, dearest first, those after the tenth summed up."""
    order = sorted(range(len(bits)), key=lambda channel: -bits[channel])
    total, largest = max(sum(bits), 1e-9), max(*bits, 1e-9)
    lines = [f"  y channels by bits ({len(bits)} in all)"]
    for channel in order[:10]:
        bar = "█" * round(BAR * bits[channel] / largest)
        lines.append(
            f"    {channel:>4} {bits[channel]:>10,.0f} bits {100 * bits[channel] / total:>5.1f} %  {bar}"
        )
    rest = sum(bits[channel] for channel in order[10:])
    return [*lines, f"    rest {rest:>10,.0f} bits {100 * rest / total:>5.1f} %"]
