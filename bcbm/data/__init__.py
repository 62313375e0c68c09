"""Batches of three modalities, sampled lesion by lesion."""
