"""What a run is called and tagged with in ZenML: concept and seed, unless its file names it."""

from __future__ import annotations

from pathlib import Path

from zenml.pipelines.pipeline_definition import Pipeline

from coti.settings import RunSettings
from coti.settings.from_yaml import read_yaml
from ops.run_file import load_settings
from ops.tracking.tracker import slug

__all__ = ["default_run_name", "named", "run_tags"]


def default_run_name(settings: RunSettings) -> str:
    """ZenML's template of a run's name, which is its folder's, too.

    >>> default_run_name(RunSettings(concept="ankle boot", seeds="s", pool="p", seed=3))
    'ankle-boot-seed-3-{date}-{time}'
    """
    return f"{slug(settings.concept)}-seed-{settings.seed}-{{date}}-{{time}}"


def run_tags(settings: RunSettings) -> list[str]:
    """ZenML's tags of a run; MLflow's are of :func:`ops.tracking.lineage.tags_of`.

    >>> run_tags(RunSettings(concept="ankle boot", seeds="s", pool="p", seed=3))
    ['concept=ankle-boot', 'seed=3']
    """
    return [f"concept={slug(settings.concept)}", f"seed={settings.seed}"]


def named(pipeline: Pipeline, settings: RunSettings | None, path: Path | None) -> Pipeline:
    """A pipeline whose runs are found again by concept and seed.

    Args:
        pipeline: the main one, or its static twin.
        settings: of the run file; the quickstart's without one.
        path: of the run file, whose ``run_name`` stands.
    """
    chosen = settings or load_settings()
    own = path is not None and read_yaml(path).get("run_name") is not None
    # ZenML prefers a name given here to the file's, and adds the file's tags to these.
    return pipeline.with_options(
        run_name=None if own else default_run_name(chosen), tags=run_tags(chosen)
    )
