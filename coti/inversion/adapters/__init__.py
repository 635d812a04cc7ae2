"""What can be trained with the base model frozen: today an embedding.

:class:`coti.inversion.adapters.protocol.Adapter` says what an adapter is,
:mod:`coti.inversion.adapters.registry` finds one by its name.
"""
