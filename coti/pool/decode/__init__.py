"""Strangers' files, decoded in a sandbox."""
