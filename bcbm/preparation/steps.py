"""The steps of preparation that a modality's values go through, each with the version of what it makes."""

from bcbm.config.schema import Config
from bcbm.features import crops, radiomics, shells, survey
from bcbm.modalities import MODALITIES
from bcbm.preparation import deep_features


def steps(config: Config, extracted: bool) -> dict[str, int]:
    """The versions of the steps that a configuration's lesions go through, by name.

    Args:
        config: the experiment.
        extracted: its radiomics come from images and masks, not from a table.
    """
    modalities = [MODALITIES[name] for name in config.task.modalities]
    needs = {need for modality in modalities for need in modality.needs}
    taken = {}
    if "crops" in needs:
        taken["crops"] = crops.RECORD
    if "radiomics" in needs and extracted:
        taken["radiomics"] = radiomics.RECORD
    if config.features.shells and "radiomics" in needs:
        taken["shells"] = shells.RECORD
    if "deep_features" in needs:
        taken["deep_features"] = deep_features.RECORD
    if config.cohort.position == "image" and any(modality.registered for modality in modalities):
        taken["registration"] = survey.REGISTRATION
    return {"survey": survey.SURVEY, **taken} if taken else {}
