"""A model of the first synthetic site on new patients of its own and on the second site's.

    python tests/benchmarks/second_site.py FOLDER [patients=200] [key=value ...]

Other words, such as `cohort.synthetic.images=false task.modalities=[radiomics,position]`, go to the fit; the
validation cohorts have so many patients. A row a site and target: AUROC, calibration in the large and Brier
score, frozen and after each recalibration inside the cohort, and how often conformal sets of 0.9 hold
positive and negative patients.

What is to be seen: at the second site probabilities are too high, as fewer patients are positive, which an
intercept mends; the AUROC falls where the model went by what is measured less sharply there, which nothing
mends; sets keep their promise at the first site, and need not at the second, whose inputs are others.
"""

import sys
from pathlib import Path

from rich.console import Console

from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.prediction.export import export
from bcbm.validation.validate import validate

SITES = {"first": ["cohort.synthetic.seed=1"], "second": ["cohort.synthetic.site=2"]}


def main(folder, words):
    """Print the table."""
    quiet, model = Console(quiet=True), folder / "model"
    if not model.exists():
        own = [word for word in words if not word.startswith("patients=")]
        export(run(compose([f"run.root={folder}", "tracking.to=[]", *own]), quiet), model, quiet)
    count = next((word.partition("=")[2] for word in words if word.startswith("patients=")), "200")
    embedded = [word for word in words if word.startswith("cohort.synthetic.images")]
    print(
        "site    target  AUROC [95 % CI]    in the large: frozen, after   Brier: frozen, after   sets: +, -"
    )
    for name, site in SITES.items():
        settings = [*embedded, *site, f"cohort.synthetic.patients={count}", f"out={folder / name}"]
        content = validate([str(model), *settings], quiet)
        (cohort,) = content["cohorts"]
        for target, block in cohort["results"]["receptors"].items():
            patient, updates = block["patient"], cohort["recalibrated"][target].values()
            ends = f"{patient['auroc']:.2f} [{patient['auroc_low']:.2f}, {patient['auroc_high']:.2f}]"
            large = " ".join(f"{updated['intercept']:+.2f}" for updated in updates)
            brier = " ".join(f"{updated['brier']:.3f}" for updated in updates)
            held = " ".join(f"{row['held']:.2f}" for row in cohort["sets"][target].values())
            print(f"{name:<7} {target:<7} {ends:<18} {large:<29} {brier:<23} {held}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
