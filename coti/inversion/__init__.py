"""Textual inversion (Gal et al. 2022): a few vectors are learned, everything else is frozen.

Read :func:`coti.inversion.trainer.train_cycle` first; the other modules are what it calls.
"""
