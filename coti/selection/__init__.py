"""Which images of the pool a cycle adds to X_T."""
