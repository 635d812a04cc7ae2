"""Steps: one a file, thin; artifacts in, a call into ``coti``, artifacts out."""
