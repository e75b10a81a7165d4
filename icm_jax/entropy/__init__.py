"""Probability models of the latents, their quantisers, and the integer tables the coder reads."""
