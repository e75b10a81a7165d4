"""Shared set-up: compiled programs are kept between tests, workers and runs."""

import os
from pathlib import Path

# Before anything imports JAX. Most of a test's time is compilation, and workers compile the same programs.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "xla")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # programs that run once, compiled faster
# On top of that: the emitters of fused loops take more than half of what is left of a training step's compilation.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# XLA takes a second to compile each draw of the default generator, and fresh networks draw hundreds of times.
os.environ.setdefault("JAX_DEFAULT_PRNG_IMPL", "rbg")
