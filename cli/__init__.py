"""What the ``coti`` command can do in this repository alone: ZenML stacks, registry, studio."""
