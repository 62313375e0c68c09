"""MONAI's 3D DenseNet-121 (Huang et al. 2017) as an image encoder."""

from monai.networks.nets import DenseNet121
from torch import nn

from bcbm.config.schema.training import Model
from bcbm.model.encoders.image import normalise_by_group


def build(model: Model, channels: int) -> tuple[nn.Module, int]:
    """The DenseNet without its last layer, and the number of its features.

    Of the keys of a ResNet it has `max_pool` and `mask_channel`; `widen` and the stem are those of the paper.
    """
    body = DenseNet121(spatial_dims=3, in_channels=channels, out_channels=1)
    last = body.class_layers.out
    assert isinstance(last, nn.Linear)
    body.class_layers.out = nn.Identity()
    if not model.max_pool:
        body.features.pool0 = nn.Identity()
    normalise_by_group(body, groups=8)
    return body, last.in_features
