"""What all `:smoke` variants have in common: a few steps that start at once."""

import ml_collections


def few_steps(config: ml_collections.ConfigDict, steps: int = 2) -> ml_collections.ConfigDict:
    """The config cut to `steps`, saved half-way and at the end if there are four, with every step logged.

    Almost all of such a run is compilation, so its programs are compiled without most optimisations.
    """
    config.optim.update(total_steps=steps, warmup_steps=0)
    config.checkpoint.every_steps = 2
    config.log.every_steps = 1
    config.compute.quick_compile = True
    return config
