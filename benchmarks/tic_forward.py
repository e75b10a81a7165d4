"""Speed of TIC's transforms beside the same layers in eager PyTorch, float32, on a CPU.

    python benchmarks/tic_forward.py [--threads N] [--default-malloc] [--small]

g_a, h_a, h_s and g_s of the full codec (N 128, M 192) on one image of 768×512 (`--small`: 256×256). Both have the
same parameters, and their images are compared before anything is timed. Needs the extra `parity`.
"""

from turns import compare, random_params, settle

OPTIONS = settle(__doc__)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from flax import traverse_util  # noqa: E402
from tic_torch import TIC as TorchTIC  # noqa: E402
from tic_torch import load  # noqa: E402

from icm_jax.models.registry import build  # noqa: E402
from icm_jax.models.tic import TICSpec  # noqa: E402


def main() -> None:
    """Prints times and ratio."""
    spec = TICSpec()
    height, width = (256, 256) if OPTIONS.small else (512, 768)
    image = np.random.default_rng(1).random((1, height, width, 3), np.float32)
    flat = random_params(spec)

    model = build(spec)
    params = jax.device_put(traverse_util.unflatten_dict(flat, sep="/"))
    analyse, hyper_analyse, hyper_synthesise, synthesise = (
        jax.jit(lambda params, x, method=method: model.apply({"params": params}, x, method=method))
        for method in ("analyse", "hyper_analyse", "hyper_synthesise", "synthesise")
    )
    x = jnp.asarray(image)

    def ours() -> np.ndarray:
        y = analyse(params, x)
        scales, _ = hyper_synthesise(params, hyper_analyse(params, y))
        return np.asarray(jax.block_until_ready((synthesise(params, y), scales))[0])

    opponent = TorchTIC(spec).eval()
    opponent.to(memory_format=torch.channels_last)
    load(opponent, flat)
    torch_x = torch.from_numpy(image)

    def theirs() -> np.ndarray:
        with torch.inference_mode():
            y = opponent.g_a(torch_x)
            opponent.h_s(opponent.h_a(y))
            return opponent.g_s(y).numpy()

    np.testing.assert_allclose(ours(), theirs(), rtol=0, atol=1e-4 * np.abs(theirs()).max())
    title = f"TIC forward, {width}×{height}, float32, {OPTIONS.threads} thread(s)"
    compare(title, {"icm_jax": ours, "pytorch": theirs}, 3 if OPTIONS.small else OPTIONS.rounds)


if __name__ == "__main__":
    main()
