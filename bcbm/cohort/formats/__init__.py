"""Readers of cohorts, a file a format."""
