"""Builders of everything bundled under ``assets/``; ``make assets`` runs those of the images."""
