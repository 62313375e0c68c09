"""What is there: the download, its names, the lesion table and the patient folds."""
