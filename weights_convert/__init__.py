"""Weights of published PyTorch models brought into this project's parameter trees, and checks of that."""
