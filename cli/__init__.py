"""The ``coti`` command."""
