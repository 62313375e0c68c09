"""Experiments held against each other on the same folds."""
