"""Images, tensors, seeding, weights, hashes and errors: what everything else stands on."""
