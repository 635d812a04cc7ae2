"""Speed and scale, run by hand; each prints ratios, its last line is one JSON object."""
