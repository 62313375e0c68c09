"""What an experiment is to be trained on, held against what this machine has."""

from bcbm.config.schema import Config
from bcbm.errors import ConfigError


def require_devices(config: Config) -> None:
    """Refuse devices that this machine lacks.

    Raises:
        ConfigError: there is no GPU, or fewer than share the batches.
    """
    trainer = config.trainer
    kind, share = trainer.accelerator, trainer.ranks // trainer.num_nodes
    if config.model.kind != "network" or kind == "cpu" or (kind == "auto" and share == 1):
        return
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    text = f"trainer.accelerator={kind}: no GPU is available"
    if (kind in ("gpu", "cuda") and not gpus) or (kind == "mps" and not torch.backends.mps.is_available()):
        raise ConfigError(f"{text}; write auto or cpu")
    if gpus and share > gpus:
        count = "1 GPU" if gpus == 1 else f"{gpus} GPUs"
        raise ConfigError(
            f"trainer.devices={trainer.devices}: this machine has {count}; write trainer.devices={gpus}, or "
            "trainer.accelerator=cpu"
        )
