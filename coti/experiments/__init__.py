"""An experiment's runs, and what they leave for a reader: CSV, Markdown and images.

Nothing is exported here: a run's cache key would have the tables and figures in it.
"""
