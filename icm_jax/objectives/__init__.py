"""What can be trained: one file an objective, each a row of `icm_jax.train.registry.OBJECTIVES`."""
