"""Start an image encoder from the weights of MedicalNet, read from a local file."""

from pathlib import Path

import torch
from torch import Tensor, nn

from bcbm.config.schema.training import Model
from bcbm.errors import ConfigError
from bcbm.model.tensors import TensorsError, read_tensors
from bcbm.system.words import listed

SOURCE = "github.com/Tencent/MedicalNet (MIT licence), such as resnet_10_23dataset.pth"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
SHOWN = 5  # names that a report lists


class WeightsError(ConfigError):
    """Weights that cannot be used; the message says what was found, where, and what to do."""


def load_medicalnet(body: nn.Module, model: Model) -> str:
    """Copy the tensors of `model.weights` into a ResNet wherever name and shape agree, and say which did.

    The file is one of MedicalNet (Chen, Ma and Zheng 2019, arXiv:1904.00625), under the MIT licence, from
    github.com/Tencent/MedicalNet; nothing is downloaded. The scales and shifts of its batch norms go into our
    group norms; its running statistics have no place here.

    Args:
        body: MONAI's ResNet, its norms already replaced.
        model: `weights`, and what the shapes depend on.

    Raises:
        WeightsError: no such file, not readable as tensors alone, no convolution that fits, or a frozen
            tensor that is not in it.

    Example:
        The file has the first of two convolutions, under the name that DataParallel gave it, and a bias that
        has no place in the network.

        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "resnet_10.pth"
        >>> tensors = {"module.conv1.weight": torch.ones(2, 1, 3, 3, 3), "module.fc.bias": torch.ones(2)}
        >>> torch.save({"state_dict": tensors}, path)
        >>> first, second = nn.Conv3d(1, 2, 3, bias=False), nn.Conv3d(2, 2, 1, bias=False)
        >>> body = nn.ModuleDict({"conv1": first, "conv2": second})
        >>> for line in load_medicalnet(body, Model(weights=str(path))).split("; ")[:3]:
        ...     print(line.partition(" (1 of 2")[0])
        resnet_10.pth: 1 of 2 tensors matched
        not matched: conv2.weight ((2, 2, 1, 1, 1) here, not there)
        not used: fc.bias
        >>> bool((first.weight == 1).all())
        True
    """
    path = Path(str(model.weights))
    tensors, parameters = _read(path), dict(body.named_parameters())
    same_shape = [n for n, to in parameters.items() if n in tensors and tensors[n].shape == to.shape]
    fits = {name: tensors[name] for name in same_shape}
    missing = [name for name in parameters if name not in fits]
    convolutions = [name for name, to in parameters.items() if to.ndim == 5]
    matched = [name for name in convolutions if name in fits]
    differs = "not matched: " + listed([_difference(name, parameters, tensors) for name in missing], SHOWN)
    if not matched:
        raise WeightsError(
            f"model.weights={path}: no convolution of {model.encoder} fits; {differs}; write "
            f"model.encoder of the same depth, model.widen=1.0 and model.stem=7, or leave model.weights empty"
        )
    frozen = [name for name in missing if not parameters[name].requires_grad]
    if frozen:
        differences = [_difference(name, parameters, tensors) for name in frozen]
        raise WeightsError(
            f"model.weights={path}: {listed(differences, SHOWN)}, and "
            f"model.encoder_training={model.encoder_training} would freeze random numbers there; write "
            "model.widen=1.0 model.stem=7 model.mask_channel=false, or model.encoder_training=full"
        )
    with torch.no_grad():
        for name, values in fits.items():
            parameters[name].copy_(values)
    unused = [name for name in tensors if name not in fits and not name.endswith(STATISTICS)]
    lines = [
        f"{path.name}: {len(fits)} of {len(parameters)} tensors matched ({len(matched)} of "
        f"{len(convolutions)} convolutions, {len(fits) - len(matched)} scales and shifts of batch norms, "
        "now of group norms)"
    ]
    lines += [differs] if missing else []
    lines += [f"not used: {listed(unused, SHOWN)}"] if unused else []
    if (model.stem, model.stem_stride, model.max_pool) != (7, 2, True):
        lines.append("MedicalNet had model.stem=7 model.stem_stride=2 model.max_pool=true")
    return "; ".join(lines)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(
            f"model.weights={path}: there is no such file; get one from {SOURCE}, or leave it empty"
        )
    try:
        return {name: tensor.float() for name, tensor in read_tensors(path).items()}
    except TensorsError as error:
        raise WeightsError(f"model.weights={path}: {error}; get one from {SOURCE}") from error


def _difference(name: str, parameters: dict[str, nn.Parameter], tensors: dict[str, Tensor]) -> str:
    shape = f"{tuple(tensors[name].shape)} there" if name in tensors else "not there"
    return f"{name} ({tuple(parameters[name].shape)} here, {shape})"
