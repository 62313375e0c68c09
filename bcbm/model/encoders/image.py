"""One encoder a modality: batch tensor -> features (B, F)."""

import math
from collections.abc import Mapping, Sequence

import torch
from monai.networks.nets import DenseNet121, resnet
from torch import Tensor, nn

from bcbm.config.schema import DENSENET_CROP, Model

TRAINED: dict[str, tuple[str, ...]] = {  # how the names begin, by `model.encoder_training`
    "full": ("",),
    "partial": ("layer4.", "features.denseblock4.", "features.norm5."),
    "frozen": (),
}
CLIP = 4.0  # standard deviations beyond which a radiomics value says no more than "large"


class ImageEncoder(nn.Sequential):
    """A 3D network and a linear layer: crops (B, 1 or 2, D, H, W) -> (B, F).

    Norms are over groups of channels of one lesion, never over the batch: a crop of 32 voxels ends in a map
    of one or a few voxels, a batch may hold one lesion, and devices need not share statistics. A group norm
    has no running statistics: frozen, it stays as it is.

    Arguments:
        model: `encoder` and what belongs to it. `encoder_training=partial` leaves the last stage and the
            linear layer to be trained, `frozen` the linear layer.

    Raises:
        ValueError: no channels are left, or a crop is too small (then in `forward`).
    """

    def __init__(self, model: Model) -> None:
        body, width = _densenet(model) if model.encoder == "densenet121" else _resnet(model)
        super().__init__(body, nn.Linear(width, model.image_features), nn.ReLU())
        self.smallest = DENSENET_CROP[model.max_pool] if model.encoder == "densenet121" else 1
        for name, parameter in body.named_parameters():
            parameter.requires_grad_(name.startswith(TRAINED[model.encoder_training]))

    def forward(self, image: Tensor) -> Tensor:
        """Encode crops (B, 1 or 2, D, H, W)."""
        if min(image.shape[2:]) < self.smallest:
            raise ValueError(
                f"a crop of {tuple(image.shape[2:])} voxels is too small for this encoder; write "
                f"features.crop_size={self.smallest} or more"
            )
        features: Tensor = super().forward(image)
        return features


def _resnet(model: Model) -> tuple[nn.Module, int]:
    """MONAI's 3D ResNet (Hara et al. 2018) without its last layer, and its features."""
    expansion = 4 if model.encoder == "resnet50" else 1
    widths = [int(width * model.widen) for width in resnet.get_inplanes()]
    if min(widths) < 2:
        raise ValueError(f"model.widen={model.widen} leaves no channels; write at least 0.04")
    body = getattr(resnet, model.encoder)(
        spatial_dims=3,
        n_input_channels=2 if model.mask_channel else 1,
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
    _normalise_by_group(body, groups=math.gcd(8, *widths))
    return body, widths[-1] * expansion


def _densenet(model: Model) -> tuple[nn.Module, int]:
    """MONAI's 3D DenseNet-121 (Huang et al. 2017) without its last layer, and its features.

    Of the keys of a ResNet it has `max_pool` and `mask_channel`; `widen` and the stem are those of the paper.
    """
    body = DenseNet121(spatial_dims=3, in_channels=2 if model.mask_channel else 1, out_channels=1)
    last = body.get_submodule("class_layers.out")
    assert isinstance(last, nn.Linear)
    body.class_layers.out = nn.Identity()
    if not model.max_pool:
        body.features.pool0 = nn.Identity()
    _normalise_by_group(body, groups=8)
    return body, last.in_features


def _normalise_by_group(module: nn.Module, groups: int) -> None:
    """Put GroupNorm (Wu and He 2018) in the place of every batch norm."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm3d):
            setattr(module, name, nn.GroupNorm(groups, child.num_features))
        else:
            _normalise_by_group(child, groups)


class RadiomicsEncoder(nn.Module):
    """Raw radiomics (B, F) -> (B, features): signed log, impute, standardise, clip, then a small MLP.

    Arguments:
        fitted: `median`, `mean` and `scale` of every column after the signed log; a scale of 0 marks a
            constant column, which becomes 0.
        hidden: hidden units.
        features: features that come out.
        dropout: chance of dropping an input or a hidden unit: a hundred noisy columns would swamp the rest.
    """

    def __init__(
        self, fitted: Mapping[str, Sequence[float]], hidden: int, features: int, dropout: float
    ) -> None:
        super().__init__()
        for name in ("median", "mean", "scale"):
            self.register_buffer(name, torch.tensor(fitted[name], dtype=torch.float32))
        self.mlp = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(len(fitted["mean"]), hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, features),
            nn.ReLU(),
        )

    def standardise(self, radiomics: Tensor) -> Tensor:
        """Raw values (B, F) -> finite values within +/- 4 (B, F)."""
        median, mean, scale = self.get_buffer("median"), self.get_buffer("mean"), self.get_buffer("scale")
        values = radiomics.float()
        values = values.sign() * values.abs().log1p()
        values = torch.where(values.isfinite(), values, median)
        standard = (values - mean) / torch.where(scale > 0, scale, 1.0)
        return torch.where(scale > 0, standard.clamp(-CLIP, CLIP), 0.0)

    def forward(self, radiomics: Tensor) -> Tensor:
        """Encode (B, F) raw values."""
        features: Tensor = self.mlp(self.standardise(radiomics))
        return features
