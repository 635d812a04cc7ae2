"""Builders of everything bundled under ``assets/``: run them again with ``make assets``."""
