"""All folds of an experiment: dispatched, chosen for, side by side, and put together."""
