"""The ledger: the same weights and inputs in PyTorch and here, stage by stage, in two precisions."""
