"""Sampling images with learned embeddings."""
