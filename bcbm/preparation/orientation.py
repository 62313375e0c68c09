"""Studies whose lesions lie opposite to their names: mirrored or misnamed? A proposal only."""

import pandas as pd

from bcbm.cohort.findings import opposite_sides
from bcbm.cohort.measurements import Brain
from bcbm.errors import Problem
from bcbm.features.brains import likeness, load_brain

KIND = "mirrored or misnamed"
_CLEAR = 0.05  # by which one correlation beats the other; 43 real pairs of sessions: by 0.12 to 0.38
_MIRRORED = "check left and right in the file's header; nothing is flipped"
_MISNAMED = "correct the name in cohort.names; the coordinates count"
OPEN = "ask who has drawn it; nothing is flipped, the coordinates count"


def orientation_problems(table: pd.DataFrame, brains: dict[str, Brain]) -> list[Problem]:
    """Propose, for each study with a lesion opposite to its name, whether it is mirrored or misnamed.

    No single scan tells left from right: the template is its own mirror image. The study's other lesions do,
    and the patient's other sessions, which a brain resembles most the way it lies in truth.

    Args:
        table: the lesion table.
        brains: the registered ones, by the image's path.
    """
    sides = opposite_sides(table).groupby(table["study_id"]).agg(["sum", "size"])
    studies = table[table["image_path"].isin(list(brains))].drop_duplicates("study_id").set_index("study_id")
    problems = []
    for study in sides.index[(sides["sum"] > 0) & sides.index.isin(studies.index)]:
        opposite, named = sides.loc[study]
        text = f"{opposite} of {named} lesions lie opposite to their names"
        if opposite < named:
            problems.append(Problem(study, f"{text}; the others lie where theirs say", _MISNAMED, KIND))
            continue
        sessions = studies.index[studies["patient_id"] == studies.loc[study, "patient_id"]].drop(study)
        brain, words, remedy = load_brain(brains[studies.loc[study, "image_path"]].file), "", OPEN
        for session in sessions:
            as_is, flipped = likeness(brain, load_brain(brains[studies.loc[session, "image_path"]].file))
            alike = f"its brain resembles {session} by {as_is:.2f} as it lies, by {flipped:.2f} flipped"
            contradicted, agreeing = sides["sum"].get(session, 0), sides["size"].get(session, 0)
            if flipped > as_is + _CLEAR:
                words, remedy = f"{alike}: it seems mirrored", _MIRRORED
                break
            if as_is > flipped + _CLEAR and agreeing and not contradicted:
                words, remedy = (
                    f"{alike}, whose lesions lie where their names say: a name seems wrong",
                    _MISNAMED,
                )
            elif not words:
                names = "lies opposite to its names too" if contradicted else "has no name with a side"
                words = f"{alike}, which {names}: both are mirrored, or names are wrong"
        words = words or "there is no other session to compare with: it is mirrored, or a name is wrong"
        problems.append(Problem(study, f"{text}; {words}", remedy, KIND))
    return problems
