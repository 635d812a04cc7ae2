"""What can be set, one frozen dataclass a part; the prose under a field says what more costs.

These are standard-library dataclasses, so that ``coti`` needs no configuration library; the
pipelines nest them in one pydantic model, which checks types and refuses unknown keys. Values
that are wrong in themselves are refused here, with the remedy in the message.
"""

from __future__ import annotations

from coti.settings.baselines import BaselineSettings, MeasurementSettings
from coti.settings.captioning import CaptionerSettings
from coti.settings.evaluation import EvaluationSettings, PromotionSettings
from coti.settings.image_fit import ImageSettings
from coti.settings.ingestion import FetchSettings, PoolSettings
from coti.settings.model import ModelSettings, TokenSettings
from coti.settings.run import RunSettings
from coti.settings.scoring import (
    AestheticSettings,
    ConceptScoreSettings,
    ControllerSettings,
    ScorerSettings,
    SelectionSettings,
)
from coti.settings.training import GenerationSettings, ScheduleSettings, TrainSettings

__all__ = [
    "AestheticSettings",
    "BaselineSettings",
    "CaptionerSettings",
    "ConceptScoreSettings",
    "ControllerSettings",
    "EvaluationSettings",
    "FetchSettings",
    "GenerationSettings",
    "ImageSettings",
    "MeasurementSettings",
    "ModelSettings",
    "PoolSettings",
    "PromotionSettings",
    "RunSettings",
    "ScheduleSettings",
    "ScorerSettings",
    "SelectionSettings",
    "TokenSettings",
    "TrainSettings",
]
