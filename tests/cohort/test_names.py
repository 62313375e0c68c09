"""Names as they were really typed, by what a reader must get right about them."""

from pathlib import Path

import pytest

from bcbm.cohort.names import CATEGORIES, HEMISPHERES, REGIONS, plain_name, read_name

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "bcbm-radiogenomics"
WORKBOOK = DATA / "BCBM-RadioGenomic_Radiomics_Data.xlsx"

# Real names that say at most a side: nobody could tell a region from them.
WITHOUT_ANATOMY = {
    *(
        "Tumor-1",
        "Tumor-2",
        "tumor",
        "cavity",
        "surgical-cavity",
        "lcdeep",
        "lcsup",
        "L-cavity",
        "Left-Lateral",
    ),
    *("Rt-Parasagittal", "rt-more-post-lat", "43-Lt-Paramedian", "43-Lt-Paramedian0"),
}


def place(name: str) -> tuple[str, str]:
    reading = read_name(name)
    return reading.hemisphere, reading.region


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mask_10_left-parietal", ("left", "parietal")),
        ("mask_LEFT-OCC", ("left", "occipital")),
        ("mask_34-Rt-temporal0", ("right", "temporal")),
        ("mask_lateral-left-occipital", ("left", "occipital")),
        ("mask_ant-rt-basal-ganglia", ("right", "deep")),
        ("mask_L-Internal-Capsule", ("left", "deep")),
        ("mask_3_right-sensory", ("right", "parietal")),
        ("L-motor-strip", ("left", "frontal")),
        ("R-P-fossa", ("right", "cerebellum")),
        ("Lt-subtentorial", ("left", "cerebellum")),
        ("mask_dorsal-right-midbrain", ("right", "brainstem")),
        ("mask_R-mid-cerebellum-2", ("right", "cerebellum")),
    ],
)
def test_spelled_names_are_read_with_full_confidence(name, expected):
    assert place(name) == expected
    assert read_name(name).confidence == 1.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mask_lfront", ("left", "frontal")),
        ("mask_ltemp", ("left", "temporal")),
        ("mask_rttemp", ("right", "temporal")),
        ("mask_lefttemp", ("left", "temporal")),
        ("mask_lthalamus", ("left", "deep")),
        ("mask_loccip", ("left", "occipital")),
        ("mask_rpons", ("right", "brainstem")),
        ("mask_lftsupfro", ("left", "frontal")),
        ("mask_lmesfront", ("left", "frontal")),
        ("mask_Rmedfront", ("right", "frontal")),
        ("mask_Rpostparie", ("right", "parietal")),
        ("mask_rmedcerebe", ("right", "cerebellum")),
        ("mask_ltlatparie", ("left", "parietal")),
        ("mask_LLatPosFro", ("left", "frontal")),
        ("mask_LInfLatCbm", ("left", "cerebellum")),
        ("mask_RtMedCrblm", ("right", "cerebellum")),
        ("mask_RtLatCllum", ("right", "cerebellum")),
        ("mask_RtPosSupCb", ("right", "cerebellum")),
        ("mask_LtOccHorn", ("left", "occipital")),
        ("mask_2_LT-Pariet1mm", ("left", "parietal")),
        ("rtmestemp", ("right", "temporal")),
    ],
)
def test_glued_names_are_cut_into_side_and_place(name, expected):
    assert place(name) == expected


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("l. frontale dx", "unknown"),  # of the lobe, to whoever reads Italian
        ("l frontal derecho", "unknown"),
        ("frontale sx", "left"),
        ("frontal gauche", "left"),
        ("frontal izq", "left"),
        ("parietale destro", "right"),
        ("sinus sagittalis", "unknown"),
    ],
)
def test_sides_in_romance_languages_are_sides(name, side):
    assert read_name(name).hemisphere == side


@pytest.mark.parametrize(
    "name",
    ["Isodose 12Gy", "dose left frontal", "Dose 20[Gy]", "ISODOSE50", "V12Gy", "Plan1_V12Gy", "12Gy", "50%"],
)
def test_a_dose_is_no_lesion(name):
    assert read_name(name).category == "other"


@pytest.mark.parametrize(
    ("name", "region"), [("latposttem", "temporal"), ("mask_lcdeep", "unknown"), ("mask_lcsup", "unknown")]
)
def test_an_initial_letter_of_another_word_is_no_side(name, region):
    assert place(name) == ("unknown", region)


def test_a_target_letter_is_no_side():
    for name in ("mask_Plan1_TgtL_180Gy40", "mask_Plan1_TgtR_180Gy80", "TgtR"):
        assert place(name) == ("unknown", "unknown")
        assert read_name(name).category == "target"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mask_L-celebellar", ("left", "cerebellum")),
        ("mask_L-cereballar-tumor", ("left", "cerebellum")),
        ("mask_Rt-Cerebelmm-", ("right", "cerebellum")),
        ("mask_L-occipal", ("left", "occipital")),
        ("mask_R-occpital", ("right", "occipital")),
        ("mask_L-occiptal-tumor-2", ("left", "occipital")),
        ("mask_meidal-left-occipital", ("left", "occipital")),
        ("mask_L-frntl", ("left", "frontal")),
        ("lcerebelar", ("left", "cerebellum")),
        ("rtmedcerebelr", ("right", "cerebellum")),
    ],
)
def test_misspelled_places_are_recognised(name, expected):
    assert place(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mask_8-Vermis", ("midline", "cerebellum")),
        ("mask_supvermis", ("midline", "cerebellum")),
        ("mask_pons", ("midline", "brainstem")),
        ("mask_Pineal-tumor", ("midline", "deep")),
        ("mask_corpus-callosum", ("midline", "deep")),
        ("mask_Bifrontal-tumor", ("midline", "frontal")),
        ("mask_Midline_Parietal", ("midline", "parietal")),
        ("mask_ml-cerebel-marg", ("midline", "cerebellum")),
        ("mask_Ant-sup-falx-tumor", ("midline", "frontal")),
        ("mask_R-vermis", ("right", "cerebellum")),
        ("mask_L-pons", ("left", "brainstem")),
        ("mask_L-corpus-callosum-tumor", ("left", "deep")),
        ("mask_R-ant-falx-tumor", ("right", "frontal")),
    ],
)
def test_midline_places_are_midline_unless_a_side_is_spelled(name, expected):
    assert place(name) == expected


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("mask_rt-frontoparietal", "frontal"),
        ("mask_97-Lt-Frntopariet", "frontal"),
        ("mask_19-Lt-Frontotemp", "frontal"),
        ("mask_L_partemp", "parietal"),
        ("mask_Rt-tempo-parietal", "temporal"),
        ("mask_Left-FP", "frontal"),
    ],
)
def test_compounds_keep_the_first_lobe_and_say_so(name, region):
    assert read_name(name).region == region
    assert 0 < read_name(name).confidence <= 0.6


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("mask_lt-ant-lat-ft", "frontal"),
        ("mask_LtMedPosFr", "frontal"),
        ("mask_LEFT-MED-PAR", "parietal"),
        ("mask_lt_ant_cer", "cerebellum"),
        ("mask_LtFrLatCbl", "cerebellum"),  # Fr is far: the weak word yields
    ],
)
def test_weak_words_are_read_with_less_confidence(name, region):
    assert read_name(name).region == region
    assert 0 < read_name(name).confidence <= 0.6


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("mask_Plan1-_TgtA_220Gy80", "target"),
        ("mask_Plan1_Tgtb_180Gy800", "target"),
        ("PTV-left-frontal", "target"),
        ("GTV1", "target"),
        ("mask_Right-Occipital-Surgical", "cavity"),
        ("mask_rt-temp-surgery-bed", "cavity"),
        ("mask_L-cerebellar-cavity0", "cavity"),
        ("L-frontal-post-op", "cavity"),
        ("mask_lt-opt-nrv", "structure"),
        ("mask_rt-op-trct", "structure"),
        ("mask_left-chiasm", "structure"),
        ("mask_Cochlea", "structure"),
        ("mask_pit-stalk", "structure"),
        ("mask_R-hiccpocampus", "structure"),
        ("mask_rlatvent", "structure"),
        ("mask_BrainStem", "structure"),
        ("mask_Brain_Stem", "structure"),
        ("mask_bst", "structure"),
        ("mask_BrainStem_met", "lesion"),
        ("L-brainstem-tumor", "lesion"),
        ("mask_lt-brnstm", "lesion"),
        ("mask_rt-post-brnstm", "lesion"),
        ("mask_Rbrainstem", "lesion"),
        ("mask_R-pons-tumor", "lesion"),
        ("mask_pons", "lesion"),
        ("mask_medulla", "lesion"),
        ("mask_Left-Periventricular", "lesion"),
        ("mask_1_R-Frnt1mm", "margin"),
        ("mask_Rt-deep-cerb-2-mrg", "margin"),
        ("mask_rt-tmp-retreat-marg", "margin"),
        ("mask_left-occipital-lesion-margin", "margin"),
        ("mask_R-temp-recur1mm", "margin"),
        ("mask_R-midbrain-RECURRENCE", "retreatment"),
        ("mask_rt-pariet-retreat--kd", "retreatment"),
        ("mask_Tumor-1", "lesion"),
        ("mask_R-inferior-cerebellar-tum", "lesion"),
        ("mask_L-lat-sup-cerebellar-tumo", "lesion"),
    ],
)
def test_categories_are_read_in_their_order_of_care(name, category):
    assert read_name(name).category == category


@pytest.mark.parametrize(
    "name", ["mask_tumor", "mask_Tumor-2", "mask_cavity", "mask_Plan2_TgtC_200Gy5000", "mask_", ""]
)
def test_names_without_anatomy_have_no_confidence(name):
    assert place(name) == ("unknown", "unknown")
    assert read_name(name).confidence == 0


def test_a_side_alone_is_worth_less_than_any_region():
    assert place("mask_Rt-Parasagittal") == ("right", "unknown")
    assert 0 < read_name("mask_Rt-Parasagittal").confidence < 0.4


@pytest.mark.parametrize("name", ["LLatPosFro", "10_Lt-Pariet1mm", "BrainStem_met", "Plan1_TgtA_220Gy80"])
def test_the_mask_prefix_changes_nothing(name):
    assert read_name(name) == read_name("mask_" + name)


@pytest.mark.skipif(not WORKBOOK.exists(), reason=f"the real workbook is not at {WORKBOOK}")
def test_real_names_with_anatomy_get_a_region():
    openpyxl = pytest.importorskip("openpyxl")
    rows = openpyxl.load_workbook(WORKBOOK, read_only=True)["merged_orig"].iter_rows(values_only=True)
    column = next(rows).index("Segmentation_Name")
    readings = {name: read_name(name) for name in {str(row[column]) for row in rows}}
    for reading in readings.values():
        assert reading.category in CATEGORIES
        assert reading.hemisphere in HEMISPHERES
        assert reading.region in REGIONS
        assert 0 <= reading.confidence <= 1
    named = {
        name: reading
        for name, reading in readings.items()
        if reading.category not in ("target", "structure")
        and name.removeprefix("mask_") not in WITHOUT_ANATOMY
    }
    assert len(named) > 100
    missed = sorted(name for name, reading in named.items() if reading.region == "unknown")
    assert len(missed) <= 0.03 * len(named), missed


@pytest.mark.skipif(not WORKBOOK.exists(), reason=f"the real workbook is not at {WORKBOOK}")
def test_a_real_name_says_the_same_in_words_of_the_field():
    openpyxl = pytest.importorskip("openpyxl")
    rows = openpyxl.load_workbook(WORKBOOK, read_only=True)["merged_orig"].iter_rows(values_only=True)
    column = next(rows).index("Segmentation_Name")
    for name in {str(row[column]) for row in rows}:
        reading, plain = read_name(name), read_name(plain_name(name))
        parts = ("category", "hemisphere", "region")
        assert [getattr(plain, part) for part in parts] == [getattr(reading, part) for part in parts], name


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("GTV_Schmidt Lt frontal met2", "gtv-lt-frontal-met-2"),
        ("Doe^Jane 19531224", "lesion"),
        ("Brain Stem", "brainstem"),
        ("Plan1_TgtA_22Gy80", "plan-1-tgta-22gy-80"),
        ("12", "lesion"),
        ("Old GTV L frontal", "old-gtv-l-frontal"),
        ("GTV_prev_Schmidt", "gtv-prev"),
        ("\u00d6dem rechts", "oedem-rechts"),
        ("OP-H\u00f6hle M\u00fcller", "op-hoehle"),
        ("L1 frontal", "l1-frontal"),
        ("Met R2_parietal", "met-r2-parietal"),
    ],
)
def test_a_name_in_words_of_the_field_holds_nobodys(name, plain):
    assert plain_name(name) == plain
    assert plain_name(plain) == plain


@pytest.mark.parametrize(
    "name",
    [
        *(
            "edema-left-frontal",
            "peritumoralEdema",
            "necrotic-core",
            "csf",
            "contralateral control",
            "vessel",
        ),
        *(
            "no tumor",
            "not a met",
            "Non-tumor",
            "NoMet2 L frontal",
            "keine Metastase",
            "GTV_deleted",
            "do not use",
        ),
        *("\u00d6dem", "O\u0308dem rechts", "\u0153d\u00e8me", "Nekrose", "n\u00e9crose", "Blutung"),
    ],
)
def test_what_is_drawn_and_is_no_metastasis_is_neither_lesion_nor_structure(name):
    assert read_name(name).category == "other"


@pytest.mark.parametrize(
    "name",
    [
        "necrotic-met-left-frontal",
        "tumor_edema",
        "hemorrhagic met",
        "central",
        "north met",
        "nonenhancing met",
    ],
)
def test_a_metastasis_beside_an_edema_is_a_lesion(name):
    assert read_name(name).category == "lesion"


@pytest.mark.parametrize("name", ["H\u00f6hle", "Resektionsh\u00f6hle links", "cavit\u00e9"])
def test_a_cavity_is_one_in_other_languages(name):
    assert read_name(name).category == "cavity"


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *((name, "unknown") for name in ("frontal preRT", "re-RT frontal", "before RT parietal")),
        *((name, "right") for name in ("rt frontal", "post-rt-basal-ganglia", "Rt_frontal")),
    ],
)
def test_radiotherapy_is_no_side(name, side):
    assert read_name(name).hemisphere == side


@pytest.mark.parametrize("name", ["post-RT frontal", "post_rt_occipital"])
def test_after_radiotherapy_or_behind_on_the_right_is_asked(name):
    assert read_name(name).confidence <= 0.5
    assert read_name(name.replace("RT", "right").replace("rt", "right")).confidence == 1.0


@pytest.mark.parametrize(
    "name", ["L1 frontal", "L2_parietal", "frontal_R1", "RT1 parietal", "RT 2019 frontal"]
)
def test_a_letter_before_a_number_may_be_a_lesions_or_a_readers_and_is_asked(name):
    assert read_name(name).hemisphere == read_name(plain_name(name)).hemisphere == "unknown"
    assert 0 < read_name(name).confidence <= 0.5
    assert read_name("LT1 frontal").hemisphere == "left" and read_name("L-1-frontal").hemisphere == "left"


@pytest.mark.parametrize(
    "name",
    [
        "left cerebral met",
        "cerebrum",
        "intracerebral L",
        "cérébral gauche",
        "left partial response",
        "coronal",
    ],
)
def test_words_that_are_spelt_nearly_as_a_region_are_none(name):
    assert read_name(name).region == "unknown"


@pytest.mark.parametrize("name", ["Hirnstammmetastase", "Kleinhirnmetastase li", "radiosurgery L frontal"])
def test_compounds_and_treatments_are_lesions(name):
    assert read_name(name).category == "lesion"


@pytest.mark.parametrize("name", ["re-irradiated frontal", "Re-SRS parietal", "re-resection left frontal"])
def test_again_is_no_side(name):
    assert read_name(name).hemisphere == ("left" if "left" in name else "unknown")
    assert read_name("RTstruct frontal").hemisphere == read_name("RTPLAN frontal").hemisphere == "unknown"


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("Frontal Rt Plan", "target"),
        ("Rt SS frontal", "lesion"),
        ("GTV re op", "target"),
        ("Met re SRS", "lesion"),
    ],
)
def test_a_side_before_a_word_of_planning_is_one(name, category):
    assert (read_name(name).hemisphere, read_name(name).category) == ("right", category)


@pytest.mark.parametrize(
    ("name", "category"),
    [
        *((name, "other") for name in ("normal_tissue", "Muskel", "reference-2")),
        ("normal side met", "lesion"),
    ],
)
def test_a_region_of_reference_is_no_lesion(name, category):
    assert read_name(name).category == category
