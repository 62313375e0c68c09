"""Weights & Biases on top of the run folder: its runs, what a finished run shows, and a workspace."""
