"""A cohort made ready for any command."""
