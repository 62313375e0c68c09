"""From the scanner to a study: DICOM series, what is drawn on them, brain extraction, bias field."""
