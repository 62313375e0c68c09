"""Where in a crop a network looks: Grad-CAM and occlusion, by MONAI."""

import warnings
from collections.abc import Callable, Mapping

import torch
from monai.visualize.class_activation_maps import GradCAM
from monai.visualize.occlusion_sensitivity import OcclusionSensitivity
from torch import Tensor, nn

LEAST_MAP = 4  # voxels: a map of fewer an edge says "somewhere in the crop"


class ImageOnly(nn.Module):
    """The logits (B, R) of one lesion as a function of its crop alone, its other inputs fixed.

    Args:
        network: a `LesionNetwork`; it is put into evaluation mode.
        lesion: the lesion's batch of one.
    """

    def __init__(self, network: nn.Module, lesion: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network = network
        self.lesion = {name: value for name, value in lesion.items() if name != "image"}
        self.eval()  # MONAI puts the mode back that it finds here, in the network too

    def forward(self, image: Tensor) -> Tensor:
        """Logits of crops (B, C, D, H, W)."""
        inputs = {name: value.expand(len(image), *value.shape[1:]) for name, value in self.lesion.items()}
        logits: Tensor = self.network({**inputs, "image": image})
        return logits


def grad_cam(network: nn.Module, lesion: Mapping[str, Tensor], target: int) -> Tensor:
    """Where the crop speaks for a positive target, (D, H, W), 0 and more (Selvaraju et al., ICCV 2017).

    Read from the deepest stage of the encoder whose map still has 4 voxels an edge.

    Args:
        network: a `LesionNetwork`; it is put into evaluation mode.
        lesion: a batch of one with an `image` (1, C, D, H, W).
        target: the head.
    """
    module = ImageOnly(network, lesion)
    cam = GradCAM(module, _stage(module, lesion["image"]), postprocessing=lambda values: values)
    heatmap: Tensor = cam(lesion["image"], class_idx=target)
    return heatmap[0, 0].detach()


def occlusion(network: nn.Module, lesion: Mapping[str, Tensor], target: int) -> Tensor:
    """How far the logit falls where a cube of a quarter of its edge is hidden, (D, H, W).

    Below 0: what is hidden speaks against a positive target. Zeiler and Fergus, ECCV 2014. Arguments as
    `grad_cam`.
    """
    image = lesion["image"]
    module = ImageOnly(network, lesion)
    test = OcclusionSensitivity(
        module,
        mask_size=max(2, image.shape[-1] // 4),
        n_batch=16,
        mode="mean_img",
        verbose=False,
        activate=False,
    )
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*non-tuple sequence.*")  # MONAI's indexing
        logit = module(image)[0, target]
        hidden, _ = test(image)
    return logit - torch.as_tensor(hidden)[0, target]


def _stage(module: ImageOnly, image: Tensor) -> str:
    """The name of the deepest part of the encoder whose map has LEAST_MAP voxels an edge."""
    maps: dict[str, int] = {}
    handles = []
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv3d):
            handles.append(part.register_forward_hook(_note(maps, name)))
    with torch.no_grad():
        module(image)
    for handle in handles:
        handle.remove()
    fine = [name for name, edge in maps.items() if edge >= LEAST_MAP]
    return fine[-1] if fine else next(iter(maps))


def _note(maps: dict[str, int], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    """A hook that keeps the edge of a layer's map, in the order in which layers are used."""

    def hook(part: nn.Module, inputs: object, output: Tensor) -> None:
        maps.pop(name, None)
        maps[name] = min(output.shape[2:])

    return hook
