"""MONAI's 3D ResNets (Hara et al. 2018) as image encoders."""

import math

from monai.networks.nets import resnet
from torch import nn

from bcbm.config.schema.training import Model
from bcbm.model.encoders.image import normalise_by_group


def build(model: Model, channels: int) -> tuple[nn.Module, int]:
    """The ResNet that `model.encoder` names, without its last layer, and the number of its features."""
    expansion = 4 if model.encoder == "resnet50" else 1
    widths = [int(width * model.widen) for width in resnet.get_inplanes()]
    body = getattr(resnet, model.encoder)(
        spatial_dims=3,
        n_input_channels=channels,
        feed_forward=False,
        conv1_t_size=model.stem,
        conv1_t_stride=model.stem_stride,
        no_max_pool=not model.max_pool,
        widen_factor=model.widen,
        # The shortcuts that MedicalNet was trained with.
        shortcut_type="A" if model.weights and model.encoder in ("resnet18", "resnet34") else "B",
        bias_downsample=False,
    )
    # MONAI's own `norm` argument reaches the first norm only.
    normalise_by_group(body, groups=math.gcd(8, *widths))
    return body, widths[-1] * expansion
