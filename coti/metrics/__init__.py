"""Metrics as pure functions on features and ids; none of them knows who made the features."""
