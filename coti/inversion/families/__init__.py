"""Families of base models: what Stable Diffusion and SDXL do differently, a file each.

:class:`coti.inversion.families.protocol.ModelFamily` says what a family is,
:mod:`coti.inversion.families.registry` finds one.
"""
