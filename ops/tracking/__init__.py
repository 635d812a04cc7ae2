"""A run's record in MLflow."""
