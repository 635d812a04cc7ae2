"""Algorithm 1, once."""
