"""Codecs that come with the package, found by name (`tic-lite`, `tic-base`), one folder a quality; their adapters."""

from importlib.resources import files
from pathlib import Path

from icm_jax.errors import IcmError


def _root() -> Path:
    return Path(str(files(__name__)))


def names() -> list[str]:
    """Names of the embedded codecs."""
    return sorted(
        path.name for path in _root().iterdir() if path.is_dir() and any(path.glob("q*/codec.json"))
    )


def qualities(name: str) -> list[int]:
    """Qualities of an embedded codec, low rate to high."""
    return sorted(int(path.parent.name[1:]) for path in (_root() / name).glob("q*/codec.json"))


def default_quality(name: str) -> int:
    """The middle of the ladder."""
    ladder = qualities(name)
    return ladder[len(ladder) // 2]


def folder(name: str, quality: int | None = None) -> Path:
    """Folder of an embedded codec at one quality (default: the middle one).

    Raises:
        IcmError: no such codec or quality.
    """
    if name not in names():
        listed = ", ".join(names()) or "none"
        raise IcmError(
            f"codec {name!r} is neither a folder nor one that is included ({listed}); give the folder of a codec"
        )
    if quality is None:
        quality = default_quality(name)
    if quality not in qualities(name):
        raise IcmError(f"{name} has no quality {quality}; choose {', '.join(map(str, qualities(name)))}")
    return _root() / name / f"q{quality}"


def adapters(name: str, quality: int) -> dict[str, Path]:
    """Files of the adapters that come with an embedded codec, by their names; empty for any other codec."""
    found = sorted((_root() / name / f"q{quality}" / "adapters").glob("*.safetensors"))
    return {path.stem: path for path in found} if name in names() else {}
