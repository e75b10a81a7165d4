"""Frozen networks of other people's training: what a coded image is judged by, and what losses look through."""
