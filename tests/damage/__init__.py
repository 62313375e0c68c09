"""Kinds of bad input and damage: each is met with one line that names it, and costs nothing but itself.

An entry is a function that damages what it is given, under `@kind`, in the file of what it damages, which lie
beside this one. `python docs/make.py` makes the table of docs/reference.
"""

from damage import exports, hospitals, images, lists, models, prepared, runs, tables, words  # noqa: F401  (each adds its kinds)
from damage.kind import KINDS as KINDS
from damage.kind import Kind as Kind
