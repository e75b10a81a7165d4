"""Time of coding DoRA-ICM's latents of one 448×576 image: entropy coding, and the networks of both float64 passes.

    python benchmarks/dora_icm_coding.py [--rounds N] [--channels N]

Processor time of this process, the fastest round after one that is not counted, on random weights and latents.
"""

import argparse
import time
from collections.abc import Callable

import jax
import numpy as np

from icm_jax.bitstream import guard, rans
from icm_jax.canvas import Canvas
from icm_jax.coding import dual_spatial, latents
from icm_jax.entropy.bit_estimator import estimator_tables
from icm_jax.entropy.tables import centred_scale_table, gaussian_tables
from icm_jax.models import programs
from icm_jax.models.dora_icm.feature_codec import feature_codec
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.pretrained.store import StoredCodec

HEIGHT, WIDTH = 448, 576


def random_codec(channels: int) -> StoredCodec:
    """The published feature codec with random weights."""
    spec, rng = DoraICMSpec(N=channels), np.random.default_rng(0)
    y = jax.ShapeDtypeStruct((1, 4, 4, spec.coded), np.float32)
    shapes = jax.eval_shape(lambda x: feature_codec(spec).init(jax.random.key(0), x, method="code"), y)
    params = jax.tree.map(
        lambda s: (0.02 * rng.standard_normal(s.shape)).astype(np.float32), shapes["params"]
    )
    tables = estimator_tables(params["z_prior"]), gaussian_tables(centred_scale_table())
    return StoredCodec("random", 1, 1.0, spec, params, *tables)


def fastest(rounds: int, run: Callable[[], object]) -> float:
    """Milliseconds of processor time."""
    times = []
    for _ in range(1 + rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1e3 * min(times[1:])


def main() -> None:
    """Prints the times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--channels", type=int, default=448)
    options = parser.parse_args()
    codec = random_codec(options.channels)
    spec, rng, canvas = codec.spec, np.random.default_rng(1), Canvas(HEIGHT, WIDTH, HEIGHT, WIDTH)
    y_shape = (*canvas.coded_grid(spec.y_stride), options.channels)
    z_shape = (*canvas.coded_grid(spec.z_stride), options.channels)
    scales = np.exp(rng.normal(-1.0, 1.0, y_shape))
    symbols = dual_spatial.Symbols(
        np.round(rng.normal(size=z_shape)).astype(np.int32),
        np.round(scales * rng.normal(size=y_shape)).astype(np.int32),
        scales,
    )
    sections, _ = dual_spatial.write(codec, symbols)
    print(f"{y_shape} latents in {sum(len(section.payload) for section in sections):,} bytes")

    def decode() -> None:
        latents.read_z(codec, sections[0].payload, canvas)
        for step, own in enumerate(dual_spatial._pass_masks(y_shape)):
            string, listed = sections[1 + 2 * step].payload, sections[2 + 2 * step].payload
            of_pass = dual_spatial._of_pass(scales, own)
            indexes = guard.decode_guard(listed, of_pass, guard.EPSILON["float64"])
            decoded = rans.decode(string, indexes, codec.y_tables, section="Y")
            assert np.array_equal(decoded, dual_spatial._of_pass(symbols.y, own))
            dual_spatial._spread(decoded, own)

    params64 = programs.double_precision({name: codec.params[name] for name in dual_spatial.SCALE_PATH})
    z_hat = symbols.z[None].astype(np.float32)

    def networks() -> None:
        dual_spatial._two_passes(codec, params64, z_hat, lambda gaussians: symbols.y[None])

    print(
        f"entropy coding, encoder  {fastest(options.rounds, lambda: dual_spatial.write(codec, symbols)):8.0f} ms"
    )
    print(f"entropy coding, decoder  {fastest(options.rounds, decode):8.0f} ms")
    print(f"networks of both passes  {fastest(min(options.rounds, 2), networks):8.0f} ms")


if __name__ == "__main__":
    main()
