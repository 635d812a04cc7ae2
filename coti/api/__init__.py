"""What a user calls from Python: ``coti.curate``, ``coti.check`` and ``coti.learn``.

They take a diffusers pipeline and images, in memory or in folders, and call the loop.
"""
