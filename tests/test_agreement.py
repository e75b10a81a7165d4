"""The promise of the format: another batch size, instruction set and thread count decode to the same symbols.

Streams are written here and decoded by a second process whose compiler makes other programs. A decoder checks the
hash of its symbols, so an image that comes back at all was decoded from identical symbols.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from icm_jax import Codec, pretrained
from icm_jax.data.image_io import list_images, read_image
from icm_jax.data.samples import sample_images

KODAK = Path(__file__).parent.parent.parent / "shared" / "data" / "kodak"
INCLUDED = [(name, quality) for name in pretrained.names() for quality in pretrained.qualities(name)]
FLAGS = "--xla_cpu_max_isa=SSE4_2 --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
DECODE = """
import sys, numpy as np
from pathlib import Path
from icm_jax import Codec
folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.icm")):
    data = path.read_bytes()
    np.save(path.with_suffix(".npy"), Codec.for_stream(data).decompress(data))
"""


def decode_elsewhere(folder: Path) -> None:
    environment = {**os.environ, "XLA_FLAGS": FLAGS, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    subprocess.run([sys.executable, "-c", DECODE, str(folder)], check=True, env=environment)


def check(images: list[np.ndarray], name: str, quality: int, folder: Path) -> None:
    codec = Codec.load(name, quality)
    streams = codec.compress_batch(images)
    for i, data in enumerate(streams):
        (folder / f"{i:02}.icm").write_bytes(data)
    decode_elsewhere(folder)
    for i, data in enumerate(streams):
        elsewhere, here = np.load(folder / f"{i:02}.npy"), codec.decompress(data)
        assert np.abs(elsewhere.astype(int) - here.astype(int)).max() <= 1  # synthesis may round another way


@pytest.mark.parametrize("name", pretrained.names())
def test_included_photo_decodes_on_another_instruction_set(name, tmp_path) -> None:
    photo = min((sample.image for sample in sample_images()), key=lambda image: image.size)
    check([photo[:128, :256], photo[128:256, :256]], name, pretrained.default_quality(name), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not KODAK.exists(), reason="the Kodak photos are not at hand")
@pytest.mark.parametrize(("name", "quality"), INCLUDED)
def test_every_kodak_photo_decodes_on_another_instruction_set(name, quality, tmp_path) -> None:
    check([read_image(path) for path in list_images(KODAK)], name, quality, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not KODAK.exists(), reason="the Kodak photos are not at hand")
@pytest.mark.parametrize(("name", "quality"), INCLUDED)
def test_file_size_is_what_the_model_estimates(name, quality) -> None:
    codec = Codec.load(name, quality)
    for path in list_images(KODAK):
        image = read_image(path)
        size, estimate = len(codec.compress(image)), codec.estimated_bits(image).bits / 8
        assert abs(size - estimate) <= 0.01 * estimate + 48, path.name
