"""Speed of a run: steps and images a second, arithmetic a second, share of the device's peak, peak memory."""

import resource
import time
from typing import ClassVar

import jax

# Peak of one device in FLOP/s, dense products of bfloat16 (V100: float16), from the makers' data sheets; by part of the
# name. MFU is a share of this one whatever a run computes in: a float32 run can not come near 1.
PEAK_FLOPS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40": 181e12,
    "L4": 121e12,
    "V100": 125e12,
    "TPU v5p": 459e12,
    "TPU v5 lite": 197e12,
    "TPU v4": 275e12,
}


class Speed:
    """Stop watch over steps.

    Args:
        batch_size: images of a step, over all devices.
        step_flops: floating-point operations of one step over all devices, 2 a multiply–accumulate; 0: unknown.
    """

    SHOWN: ClassVar = (
        ("steps_per_second", "steps/s"),
        ("images_per_second_per_device", "images/s/device"),
        ("mfu", "MFU"),
    )

    def __init__(self, batch_size: int, step_flops: float = 0.0) -> None:
        self._batch_size, self.step_flops = batch_size, step_flops
        self._last: tuple[int, float] | None = None

    def start(self, step: int) -> None:
        """Starts the clock: after compilation, or speeds would be wrong for a while."""
        self._last = (step, time.monotonic())

    def lap(self, step: int) -> dict[str, float]:
        """Speeds since the last lap; empty when the clock was not started. `mfu` only where the peak is known."""
        if self._last is None or step == self._last[0]:
            return {}
        now, (last_step, last_time) = time.monotonic(), self._last
        self._last = (step, now)
        per_second = (step - last_step) / max(now - last_time, 1e-9)
        devices = jax.device_count()
        values = {
            "steps_per_second": per_second,
            "images_per_second_per_device": per_second * self._batch_size / devices,
        }
        if self.step_flops:
            values["tflops_per_device"] = per_second * self.step_flops / devices / 1e12
            if peak := peak_flops():
                values["mfu"] = values["tflops_per_device"] * 1e12 / peak
        return values | peak_memory()


def peak_flops() -> float:
    """Peak of this kind of device, 0 where it is not known (every CPU)."""
    kind = jax.local_devices()[0].device_kind
    return next((flops for name, flops in PEAK_FLOPS.items() if name in kind), 0.0)


def peak_memory() -> dict[str, float]:
    """Most memory in use so far, in GiB: on the first device, or of this process where the device is its processor."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return {"peak_gib": stats["peak_bytes_in_use"] / 2**30}
    return {"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}  # Linux counts in KiB
