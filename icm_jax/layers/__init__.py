"""Building blocks shared by every codec: convolutions, window attention, residual stacks."""
