"""What is trained: the tensors that a frozen model learns a concept in."""
