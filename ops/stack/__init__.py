"""The active stack: its stores, models, cache and pods."""
