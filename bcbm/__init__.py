"""bcbm: receptor status of breast-cancer brain metastases from one post-contrast T1 MRI."""

import os

# Idle OpenMP threads must sleep: with one busy core, spinning ones were seen to slow torch 20-fold.
# It has to be set before torch is imported anywhere.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.2.0"
