"""Maintainers' scripts: pages, screenshots, checks. Nothing that is shipped."""
