"""Base models by family: Stable Diffusion 1.x and 2.x, SDXL."""
