"""COTI: controllable textual inversion (Yang et al. 2023), the method in plain torch.

Nothing in this package imports zenml or mlflow; ``steps`` and ``pipelines`` wrap it.
"""

__version__ = "0.2.0"
