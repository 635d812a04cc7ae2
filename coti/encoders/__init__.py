"""What turns images (and texts) into features, behind one protocol."""
