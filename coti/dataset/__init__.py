"""What was selected and learned, as other tools take it."""
