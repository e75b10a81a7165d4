"""`icm convert`: a published file of weights into a folder of ours, and such a folder back.

file ── sources ──► network, parameters ──► weights + manifest (+ codec or adapter), whole or not at all
"""

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import safetensors.numpy

from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError
from icm_jax.models.eva02 import SIZES, EVA02Spec
from icm_jax.recognizers.registry import RECOGNIZERS
from weights_convert import converted as store
from weights_convert.converted import convert_arrays
from weights_convert.keymap import ConversionError
from weights_convert.products import Label, write_product
from weights_convert.sources import RECOGNISER, Published, Source, find_source
from weights_convert.state_dict import read_state_dict


def convert_file(
    source_name: str,
    file: Path,
    folder: Path,
    label: Label | None = None,
    replace: bool = False,
    published: Published | None = None,
) -> dict[str, Any]:
    """Writes `folder` from a published file and returns its manifest.

    Args:
        label: name and further facts of what is made; `name` chooses among networks that share their arrays' names.
        replace: overwrite a folder of converted weights.
        published: what is known of the file, where that is more than its source's table has.

    Raises:
        IcmError: no such source or file, a file that is not of it, or an output that is in the way.
    """
    label = label or Label()
    source = find_source(source_name)
    if not file.is_file():
        raise IcmError(f"no file {file}; {_placing(source, file)}")
    _refuse_output(folder, replace)
    made = convert_arrays(source_name, read_state_dict(file))
    published = published or _find_published(source, made.network, file, label.name)
    facts = {
        "model": published.model if source.makes == RECOGNISER else label.name or published.model,
        "file": {
            "name": file.name,
            "bytes": file.stat().st_size,
            "sha256": store.digest_of(file),
            "url": published.url,
        },
        "licence": published.licence,
    }
    made = made._replace(manifest=made.manifest | facts)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        manifest = made.manifest | {"product": write_product(made, label, temporary)}
        made = made._replace(manifest=manifest, published={})  # which can be as large as the weights
        store.write(made, temporary)
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return made.manifest


def write_reference(folder: Path, output: Path) -> int:
    """Writes the published names and layouts of a converted folder as safetensors; returns how many arrays.

    Raises:
        IcmError: the folder holds no converted weights, or the output is no `.safetensors`.
    """
    if not store.is_converted(folder):
        raise IcmError(f"{folder} holds no converted weights; give a folder that `icm convert SOURCE` wrote")
    if output.suffix != ".safetensors":
        raise IcmError(f"{output} must end in .safetensors; torch reads it with safetensors.torch.load_file")
    arrays = store.to_reference(store.read(folder))
    write_bytes(output, safetensors.numpy.save(arrays, {"format": "pt"}))
    return len(arrays)


def describe(manifest: dict[str, Any], folder: Path) -> str:
    """What was done, in a few lines."""
    dropped = "".join(f"\n  dropped {count}: {reason}" for reason, count in manifest["dropped"].items())
    cast = "".join(
        f"\n  {n} arrays of {kind} became float32" for kind, n in manifest["other_precisions"].items()
    )
    product = "".join(f"\n  {key} {value}" for key, value in manifest["product"].items())
    return (
        f"{folder}: {manifest['model']}, {manifest['values']:,} values in {manifest['used']} arrays"
        f"{dropped}{cast}{product}\n  licence: {manifest['licence']}"
    )


def _placing(source: Source, file: Path) -> str:
    """What to put where."""
    known = {p.file: p for p in source.published}
    chosen = known.get(file.name, source.published[0])
    return f"place {chosen.file} of {chosen.url} there (nothing is fetched)"


def _refuse_output(folder: Path, replace: bool) -> None:
    if not folder.exists():
        return
    if not store.is_converted(folder):
        raise IcmError(f"{folder} exists and holds no converted weights; choose another output with -o")
    if not replace:
        raise IcmError(f"{folder} exists; replace it with -f, or choose another output with -o")


def _find_published(source: Source, network: Any, file: Path, model: str) -> Published:
    """Which of the published networks of a source this is: by name, by the file's name, by its architecture."""
    rows = source.published
    if source.makes != RECOGNISER:
        by_size = [row for row in rows if row.model == f"eva02-{_size(network)}"]
        by_name = [row for row in rows if row.file == file.name]
        return next(iter(by_size or by_name or rows))
    if model:
        found = [row for row in rows if row.model == model]
        if not found:
            raise ConversionError(
                f"model {model!r} is none of this source; choose one of {', '.join(row.model for row in rows)}"
            )
        return found[0]
    by_name = [row for row in rows if Path(row.file).stem == file.stem]
    by_architecture = [row for row in rows if RECOGNIZERS[row.model].network == network]
    found = by_name or by_architecture or list(rows)
    if len(found) > 1:
        raise ConversionError(
            f"{file.name} can be {' or '.join(row.model for row in found)}, whose arrays have the same names; say "
            "which with --model"
        )
    return found[0]


def _size(network: Any) -> str:
    """Which published EVA-02 this is, whatever its patch and grid; "" if it is none."""
    if not isinstance(network, EVA02Spec):
        return ""
    alike = (
        size
        for size, spec in SIZES.items()
        if dataclasses.replace(spec, patch=network.patch, grid=network.grid) == network
    )
    return next(alike, "")
