"""Searches: an Optuna study for every outer fold, blind to its test patients, and a final one."""

from optuna import logging

logging.set_verbosity(logging.WARNING)
