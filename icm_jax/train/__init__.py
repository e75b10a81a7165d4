"""Training: configuration, optimiser, step, state, checkpoints and the loop over them."""
