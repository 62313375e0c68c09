# %% [markdown]
# # bcbm in a notebook
# The embedded cohort, its tables only: half a minute on one core. Cells are marked by `# %%`, which Jupyter
# (through jupytext), VS Code and Spyder open as a notebook; `python docs/how-to/notebook.py` runs them all.

# %% What is run: an experiment with some keys set
import pandas as pd

from bcbm import compare, compose, evaluate, fit, prepare

WORDS = [
    "cohort.synthetic.patients=40",
    "cohort.synthetic.images=false",
    "task.modalities=[radiomics,position]",
    "trainer.max_epochs=3",
    "split.folds=2",
    "bootstrap=200",
    "tracking=csv",
]
config = compose(WORDS)

# %% The lesions: which enter, and why the others do not
lesions = prepare(config)
print(lesions.table["reason"].replace("", "enters").value_counts())
print(lesions.entering.groupby("patient_id").size().describe())

# %% Cross-validate; a second call with the same configuration reads what is there
run = fit(config)
print(run.folder)
print(run.predictions.head())


# %% Results with intervals over patients
def table(results: dict) -> pd.DataFrame:
    """Patient-level AUROC with its interval, one row a target."""
    rows = {name: block["patient"] for name, block in results["receptors"].items()}
    return pd.DataFrame(rows).T[["auroc", "auroc_low", "auroc_high", "positives", "negatives"]]


print(table(run.results))

# %% The same from the run's tables, with a report, for any finished run
results = evaluate(run.folder)
print(table(results))
print(run.folder / "report.html")

# %% A traditional model on the same folds, and the difference between the two
forest = fit(compose([*WORDS, "experiment=demo+baselines/forest", "baseline.trees=50"]))
comparison = compare(run, forest)
print(pd.DataFrame(comparison["tests"])[["label", "target", "difference", "low", "high", "q"]])
