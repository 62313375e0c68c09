"""METRICS (Kocak et al., Insights into Imaging 15:8, 2024)."""

from bcbm.report.checklists import facts
from bcbm.report.checklists.facts import BLANK, UNCERTAINTY, UNDEFINED, Answer, Answers, either
from bcbm.runs.finished import FinishedRun


def conditions(run: FinishedRun) -> Answers:
    """Under which some items apply."""
    modalities = run.config["task"]["modalities"]
    tables, training = facts.tables(modalities), "card_training"
    count = f"{facts.radiomics_columns(run.config)} radiomics"
    return {
        "1": Answer("yes", "every lesion is a mask of the cohort", "flow"),
        "2": Answer("", "the masks come with the cohort; nothing is segmented here"),
        "3": either("radiomics" in modalities, count, training, "radiomics are switched off"),
        "4": either(bool(tables), " and ".join(tables), training, "the image alone enters"),
        "5": either(
            facts.reads_crops(modalities), "crops enter a 3D network", training, "the image is switched off"
        ),
    }


def answers(run: FinishedRun, shared_patients: int) -> Answers:
    """Of every item that the run knows anything of."""
    config, modalities = run.config, run.config["task"]["modalities"]
    has_figures, division = facts.has_figures(run), facts.division(run, shared_patients)
    acquisition, fitted = facts.acquisition(run), facts.fitted_models(run)
    known = {
        "1": Answer(
            "partly", "this page fills METRICS, TRIPOD+AI and CLAIM as far as the run knows", "claim"
        ),
        "2": Answer("partly", f"{facts.flow(run)}; whom they represent is the authors' to say", "flow"),
        "3": Answer("", "the cohort's clinical table; how a status was determined is not in it"),
        "6": Answer("partly", acquisition) if acquisition else BLANK,
        "8": Answer("", "masks are taken from the cohort as they are"),
        "18": either(not shared_patients, division, "leak", division),
        "19": Answer("", "python -m bcbm.audit tests acquisition against targets"),
        "20": either(
            has_figures,
            "of patients: AUROC, average precision, Brier score, operating points",
            "results",
            UNDEFINED,
        ),
        "21": either(has_figures, UNCERTAINTY, "results", UNDEFINED),
        "22": either(has_figures, "slope, intercept and plot of patients", "reliability", UNDEFINED),
        "24": Answer("", "python -m bcbm.compare puts experiments side by side"),
        "25": Answer("", "python -m bcbm.compare puts experiments side by side"),
        "26": _tested(run, shared_patients),
        "29": Answer("partly", f"{facts.code(run)}; where it is published is the authors' to say", "card"),
        "30": Answer("partly", fitted, "card_training") if fitted else BLANK,
        "16": Answer("", "; ".join(filter(None, [facts.columns(run), facts.rarer_class(run)]))),
    }
    if facts.is_synthetic(run):
        known["3"] = Answer("no", "labels of the embedded cohort are invented")
        known["28"] = Answer("yes", "the program writes the embedded cohort", "card_data")
    if facts.reads_crops(modalities):
        known["11"] = Answer("yes", facts.preprocessing(config), "card_training")
        read = f"of a study is read: {facts.sequences(config)}"
        single = len(config["task"].get("sequences", ["t1c"])) == 1
        known["23"] = Answer("yes", read, "card_training") if single else Answer("", read)
    if "radiomics" in modalities:
        known |= _radiomics(run)
    if config["split"]["repeats"] > 1:
        known["17"] = Answer("partly", f"cross-validated {config['split']['repeats']} times over", "folds")
    return known


def _radiomics(run: FinishedRun) -> Answers:
    config = run.config
    values = "values are those of the cohort's workbook; its authors know software and settings"
    known = {"12": Answer("", values), "13": Answer("", values)}
    if config["features"]["radiomics"] == "extract":
        software = f"pyradiomics-bhklab {run.environment['versions'].get('pyradiomics-bhklab', '')}"
        settings = "kept with the values in radiomics.parquet, original image, 7 classes"
        known = {"12": Answer("yes", software, "card_training"), "13": Answer("partly", settings)}
    if config["model"]["kind"] == "network":
        unfiltered = f"all {facts.radiomics_columns(config)} enter; the network is regularised"
    elif config["baseline"]["selected"]:
        unfiltered = "columns are chosen one by one, by their correlation with the label in the fold"
    else:
        unfiltered = "every column enters"
    robust = Answer("no", unfiltered)
    if stable := config["features"].get("stable"):
        robust = Answer("yes", f"features.stable={stable:g}, decided inside the fold", "explanations")
    return known | {"14": robust, "15": Answer("no", unfiltered)}


def _tested(run: FinishedRun, shared_patients: int) -> Answer:
    if shared_patients:
        return Answer("no", "training and test patients are not apart")
    if run.chosen_by:
        text = f"{facts.folds(run)}, but a search chose the settings on the tested patients too"
        return Answer("partly", text, "results")
    return Answer("yes", f"{facts.folds(run)}; every figure is out of fold", "results")
