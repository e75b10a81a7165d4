"""The published configuration for real: EVA-02-L, 448×576, a batch of 2."""

import pytest

from benchmarks.dora_icm_training import compiled_step, seconds_a_step
from configs.dora_icm.nyud import get_config
from icm_jax.adapters.low_rank import count


@pytest.mark.slow
def test_a_step_of_the_published_size_fits_and_runs() -> None:
    """With bfloat16 and recomputed blocks in 8 GB; minutes of a processor, and as much memory."""
    step = compiled_step(get_config("semseg,dora,lean"))
    assert round(count(step.state.params) / 1e6, 2) == 83.94
    assert step.memory <= 8e9
    assert seconds_a_step(step, 1) > 0  # and every loss is finite
