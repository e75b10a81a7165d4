"""Reading what archives hold: lists, photos, MATLAB files; the folder an archive was extracted to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from icm_jax.data.image_io import decode_image
from icm_jax.errors import IcmError

ARCHIVES = (".tgz", ".tar.gz", ".tar", ".zip")


def find_root(manual_dir: Path, names: Sequence[str], marker: str) -> Path:
    """The folder that holds `marker`: the manual folder, or one of these names inside.

    Raises:
        IcmError: none does.
    """
    for folder in (manual_dir, *(manual_dir / name for name in names)):
        if (folder / marker).exists():
            return folder
    archives = [path.name for path in manual_dir.iterdir() if path.name.endswith(ARCHIVES)]
    way_out = (
        f"extract {archives[0]} there first"
        if archives
        else f"extract the archive there, so that {names[0]}/{marker} exists"
    )
    raise IcmError(f"{manual_dir}: holds no {marker}, nor {names[0]}/{marker}; {way_out}")


def read_ids(file: Path) -> list[str]:
    """The lines of a list.

    Raises:
        IcmError: not readable, or empty.
    """
    try:
        ids = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise IcmError(f"{file}: not a readable list ({error}); extract the archive again") from None
    if not ids:
        raise IcmError(f"{file}: an empty list, expected an id a line; extract the archive again")
    return ids


def read_photo(file: Path) -> tuple[bytes, np.ndarray]:
    """A photo as it is stored and as pixels uint8 [h, w, 3].

    Raises:
        IcmError: not a readable image.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise IcmError(f"{file}: can not be read ({error.strerror}); check its permissions") from None
    return data, decode_image(data, file)


def read_matlab(key: str, file: Path) -> Any:
    """The variable `key` of a MATLAB file; errors do not name the file.

    Raises:
        IcmError: not a MATLAB file, or without that variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(file)
    except (MatReadError, NotImplementedError, TypeError, ValueError) as error:
        raise IcmError(f"not a readable MATLAB file ({error}); extract the archive again") from None
    if key not in content:
        found = ", ".join(name for name in content if not name.startswith("__")) or "nothing"
        raise IcmError(f"has no variable {key!r} but {found}; is this the archive of another data set?")
    return content[key]
