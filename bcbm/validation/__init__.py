"""A frozen model held against the labels of other cohorts, and two models against each other."""
