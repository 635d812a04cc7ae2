"""The ``coti`` command: what needs neither zenml nor mlflow, and nothing from the repository.

Above everything else in :mod:`coti`: it may import all of it, and nothing imports it.
"""
