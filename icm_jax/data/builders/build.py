"""A data set from downloaded archives: `icm data build`."""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging

from icm_jax.data.builders.registry import find_builder
from icm_jax.data.builders.sharded import ShardedBuilder
from icm_jax.errors import IcmError


def build(
    name: str,
    manual_dir: Path,
    data_dir: Path | None = None,
    as_is: bool = False,
    force: bool = False,
    jobs: int = 1,
) -> Path:
    """Builds a data set, or goes on with an interrupted build; returns its folder.

    Args:
        name: of the data set; `NAME/CONFIG` insists on one of its configurations.
        manual_dir: what was downloaded, extracted.
        data_dir: of TFDS: `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        as_is: leave out comparing with the published counts and checksums.
        force: replace a data set that is there.

    Raises:
        IcmError: unknown name, files missing or not fitting, counts that are not the published ones.
    """
    name, _, wanted = name.partition("/")
    builder_class = find_builder(name)
    if not manual_dir.is_dir() or not any(manual_dir.iterdir()):
        layout = builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS
        raise IcmError(f"{manual_dir}: no such folder, or empty; it has to hold {layout} (see docs/data.md)")
    fitting = builder_class.find_configs(manual_dir)
    if wanted and builder_class.BUILDER_CONFIGS and wanted not in fitting:
        raise IcmError(
            f"{manual_dir}: holds another variant, {' and '.join(fitting)}, not {wanted}; "
            f"extract the archive of {wanted} there, or build {name}/{fitting[0]}"
        )
    chosen = _config(builder_class, wanted or next(iter(fitting), ""))
    with _quiet():
        builder = builder_class(data_dir=data_dir, config=chosen, as_is=as_is, jobs=jobs)
    folder = Path(builder.data_path)
    if folder.exists() and not force:
        raise IcmError(
            f"{folder}: is there already; look at it with `icm data check`, or replace it with --force"
        )
    with _put_aside(folder), _quiet():
        builder = builder_class(data_dir=data_dir, config=chosen, as_is=as_is, jobs=jobs)  # reads nothing old
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    return folder


@contextlib.contextmanager
def _put_aside(folder: Path) -> Iterator[None]:
    """Where a data set is there already: out of the way, back if its replacement fails, gone if that is whole."""
    aside = folder.with_name(f"replaced-{folder.name}")  # no version: `find_sets` does not see it
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    try:
        yield
    except BaseException:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TFDS prints about downloads, of which there are none, and warns of every configuration it does not know."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _config(builder_class: type[ShardedBuilder], name: str) -> tfds.core.BuilderConfig | None:
    """The configuration of a name: one the builder knows, or a new one, of a folder of the user's own."""
    if not name:
        return None
    known = (config for config in builder_class.BUILDER_CONFIGS if config.name == name)
    return next(known, tfds.core.BuilderConfig(name=name))
