"""How many processes a launcher has started, held against how many share a fold, before work begins."""

import os
import warnings

from bcbm.config.schema import Config
from bcbm.errors import ConfigError, Note
from bcbm.system.processes import SRUN, TORCHRUN, forget_ranks, rank, rank_variables
from bcbm.system.words import listed


def check_launch(config: Config) -> None:
    """Refuse what would wait for processes that nobody has started; forget ranks that are left over.

    Tasks of one srun that train on one device each are let through: each may have a fold of its own.

    Raises:
        ConfigError: torchrun, srun or what has set MASTER_ADDR counts other processes than the configuration.

    Warns:
        Note: of ranks in the environment that no launcher goes with.
    """
    if left_over := forget_ranks():
        text = (
            f"{listed(left_over)} in the environment: ignored, as no launcher (torchrun, srun, MASTER_ADDR) "
        )
        warnings.warn(f"{text}has started this process", Note, stacklevel=2)
    ranks, by_srun = config.trainer.ranks, SRUN in os.environ and TORCHRUN not in os.environ
    devices = ranks // config.trainer.num_nodes
    remedy = "start as many as that, or unset these where no launcher has started this process"
    if by_srun:
        remedy = f"write srun --ntasks-per-node={devices}, or another number here"
        if ranks > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise ConfigError(f"trainer.devices={devices} shares a fold between tasks of srun; {remedy}")
    count = os.environ.get("SLURM_NTASKS" if by_srun else "WORLD_SIZE", "")
    if not count.isdecimal() or int(count) == ranks or (ranks == 1 and (by_srun or rank() == 0)):
        return
    raise ConfigError(
        f"{listed(rank_variables())} in the environment say that {count} processes were started, and "
        f"trainer.devices={devices} and trainer.num_nodes={config.trainer.num_nodes} share a fold between "
        f"{ranks}; {remedy}"
    )
