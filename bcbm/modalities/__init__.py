"""What a lesion is described by: a file a modality, and those that installed packages add."""

from bcbm.modalities.base import Modality
from bcbm.system.registry import Registry

MODALITIES: Registry[Modality] = Registry(
    Modality,
    {
        "image": "bcbm.modalities.image:IMAGE",
        "radiomics": "bcbm.modalities.radiomics:RADIOMICS",
        "position": "bcbm.modalities.position:POSITION",
        "deep_features": "bcbm.modalities.deep_features:DEEP_FEATURES",
        "clinical": "bcbm.modalities.tables:CLINICAL",
        "acquisition": "bcbm.modalities.tables:ACQUISITION",
        "burden": "bcbm.modalities.tables:BURDEN",
        "primary": "bcbm.modalities.primary:STATUS",
    },
    group="bcbm.modalities",
)
