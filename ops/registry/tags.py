"""What the registry's tags hold as JSON: whoever may write an entry may damage them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from coti.core.errors import RegistryError
from coti.core.text_files import read_json

__all__ = ["tag_json"]

Value = TypeVar("Value")


def tag_json(
    entry: ModelVersion | RegisteredModel,
    name: str,  # of a tag that the entry has
    read: Callable[[Any], Value],  # what was JSON; raises what a mapping and a class do
    remedy: str = "mend or delete the tag in MLflow (`coti ui`)",
) -> Value:
    """What a tag of a version or of a registered model says.

    Raises:
        RegistryError: it is damaged, or says something else; names the tag and whose it is.
    """
    try:
        return read(read_json(entry.tags[name]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        number = f" version {entry.version}" if isinstance(entry, ModelVersion) else ""
        why = " ".join(str(error).split())[:80] or type(error).__name__
        raise RegistryError(
            f"the tag {name} of {entry.name}{number} cannot be read ({why}): {remedy}."
        ) from error
