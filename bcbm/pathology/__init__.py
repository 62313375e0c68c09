"""What pathologists write of receptors: words, percentages and scores, read after ASCO and CAP."""
