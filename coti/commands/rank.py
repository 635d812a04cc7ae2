"""``coti rank``: which of several checkpoints is the best, and which can't be told from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from coti.commands.generation_options import GenerationOptions, generation_options
from coti.commands.image_options import fit_options
from coti.commands.json_output import json_option, print_json
from coti.commands.project import project
from coti.core.errors import ConfigError
from coti.core.file_rules import user_path
from coti.core.whole_files import require_writable
from coti.settings.presets import PRESETS

if TYPE_CHECKING:
    from coti.commands.project import EmbeddingSource
    from coti.core.fitting import Fit
    from coti.ranking.checkpoint_kinds import Checkpoint

__all__ = ["rank"]

_LARGEST_SIDE = 512
"""Pixels that samples of other tools are looked at with at most."""


@click.command()
@click.argument("given", nargs=-1, required=True, metavar="CHECKPOINT...")
@click.option(
    "--references",
    type=click.Path(path_type=Path),
    help="A folder of the concept's images that nothing was trained on.",
)
@click.option(
    "--training",
    type=click.Path(path_type=Path),
    help="The folder that was trained on: says who gives its images back.",
)
@click.option("--trigger", metavar="WORD", help="What stands for the concept in a LoRA's prompts.")
@click.option(
    "--concept",
    metavar="NAME",
    help="What they are all of: the ranking's title, and its experiment in MLflow. The first "
    "embedding's own without it.",
)
@click.option("--cycles", is_flag=True, help="Of a run: each of its cycles, as MLflow has them.")
@click.option("--prompt", default="a photo of a {}", help="{} stands for a checkpoint's word.")
@click.option(
    "--prompts-file",
    type=click.Path(path_type=Path),
    help="Scenes with {}, one a line, for text agreement.",
)
@click.option(
    "--general-prompt",
    "general",
    multiple=True,
    help="Without {}: what a LoRA changes there is its drift. Repeatable.",
)
@click.option("--num-images", type=click.IntRange(2, 10_000), default=64, help="Of --prompt.")
@click.option(
    "--scene-images",
    type=click.IntRange(0, 1_000),
    default=4,
    help="Of each scene and general prompt; 0 leaves both out.",
)
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    help="Whose judges look at the images; the base model's own without it, else sd15.",
)
@click.option(
    "--track/--no-track",
    default=None,
    help="Write it into MLflow; by default where the ZenML project is there.",
)
@generation_options
@fit_options
@json_option
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Folder.")
def rank(
    given: tuple[str, ...],
    references: Path | None,
    training: Path | None,
    trigger: str | None,
    concept: str | None,
    cycles: bool,
    prompt: str,
    prompts_file: Path | None,
    general: tuple[str, ...],
    num_images: int,
    scene_images: int,
    preset: str | None,
    track: bool | None,
    how: GenerationOptions,
    fit: Fit,
    as_json: bool,
    output: Path | None,
) -> None:
    """Put checkpoints in order: embeddings, LoRAs, folders of samples of any tool.

    Writes rank.csv and rank.html. What generates here does so from the same prompts and noise. The
    order is by the distance to --references, without them to --training; who gives training images
    back comes last.

    \b
    Examples:
      coti rank step-*.safetensors --references my/held_out --training my/set
      coti rank lora-*.safetensors --model sdxl.safetensors --trigger sks --concept mug \\
        --training my/set
      coti rank samples/epoch-1 samples/epoch-2 --training my/set
      coti rank latest --cycles --references my/held_out
    """
    project().quiet_terminal()
    tracking = project().tracking() if (project().tracks if track is None else track) else None
    from coti.commands.embedding_sources import load_base_model
    from coti.commands.generate import new_folder
    from coti.generation.own_settings import sampling_settings
    from coti.generation.prompts import EDITABILITY_PROMPTS, read_prompts
    from coti.loop.load_models import load_judge, load_ssl_judge, loader
    from coti.pool.chosen_images import read_chosen_images
    from coti.ranking.checkpoint_kinds import with_samples
    from coti.ranking.ranking import GENERAL_PROMPTS, Judges, Protocol
    from coti.ranking.ranking import rank as ranked
    from coti.ranking.results import lines_of, rows_of, write_csv, write_page
    from coti.settings.from_yaml import parse_settings
    from coti.settings.presets import preset_for

    if references is None and training is None:
        raise ConfigError(
            "There is nothing to compare with: give images of the concept that nothing was trained "
            "on (--references FOLDER), those that were trained on (--training FOLDER), or both."
        )
    scenes = read_prompts(prompts_file) if prompts_file else EDITABILITY_PROMPTS
    protocol = Protocol(
        prompt=_with_place(prompt),
        images=num_images,
        scenes=tuple(_with_place(each) for group in scenes.values() for each in group)
        if scene_images
        else (),
        scene_images=scene_images,
        general=(general or GENERAL_PROMPTS) if scene_images else (),
        negative_prompt=how.negative_prompt,
        seed=how.seed,
    )
    checkpoints, sources = _found(given, trigger, cycles)
    model = None
    if any(each.generates for each in checkpoints):
        model = load_base_model(how, sources)
        preset = preset or preset_for(model.widths)
    evaluation = parse_settings(
        {"preset": preset or "sd15", "concept": concept or "ranked"}, "coti rank"
    ).evaluation
    load = loader(project().locate)
    image_text = load_judge(evaluation, load)
    judges = Judges(image_text, load_ssl_judge(evaluation, load) or image_text)
    folder = output or new_folder("ranked")
    require_writable(folder)
    own = (each.embedding.metadata.get("concept", "") for each in sources)
    concept = concept or next(filter(None, own), "checkpoints")
    if tracking is not None:
        tracking.require_experiment(concept)
    side = model.resolution if model is not None else _common_side(checkpoints)
    read = {
        name: None if path is None else read_chosen_images(path, side, fit)[2]
        for name, path in {"references": references, "training": training}.items()
    }
    settings = how.settings_for(
        [source.embedding for source in sources], model.widths if model is not None else ()
    )
    ranking = ranked(
        checkpoints,
        judges,
        read=lambda each: with_samples(each, side, fit),
        model=model,
        settings=settings,
        protocol=protocol,
        **read,
    )
    params = {
        **(
            {
                "base_model": model.name,
                "base_model_hash": model.fingerprint,
                "prompt": protocol.prompt,
                "images": protocol.images,
                "scene_images": protocol.scene_images,
                "negative_prompt": protocol.negative_prompt,
                "seed": protocol.seed,
                **sampling_settings(settings),
            }
            if model is not None
            else {}
        ),
        "judge": image_text.name,
        "class_blind_judge": judges.images.name,
        **{name: 0 if images is None else len(images) for name, images in read.items()},
    }
    table = write_csv(ranking, folder / "rank.csv")
    page = write_page(
        ranking,
        folder / "rank.html",
        f"{concept}: {len(ranking.rows)} checkpoints",
        [f"{name.replace('_', ' ')}: {value}" for name, value in params.items()],
    )
    run = None
    if tracking is not None:
        run = tracking.record_ranking(concept, rows_of(ranking), params, [table, page])
    if as_json:
        print_json(
            {
                "best": ranking.best.checkpoint.label,
                "sentence": ranking.sentence,
                "rows": rows_of(ranking),
                "table": table,
                "page": page,
                "mlflow_run": run,
            }
        )
        return
    for line in lines_of(ranking):
        click.echo(line)
    click.echo(ranking.sentence)
    click.echo(f"table: {table}; page: {page}")
    if run is not None:
        click.echo(f"MLflow: coti ui --run {run}")


def _with_place(prompt: str) -> str:
    if "{}" not in prompt:
        raise ConfigError(
            f"The prompt {prompt!r} has no place for a checkpoint's word: write {{}}."
        )
    return prompt


def _found(
    given: tuple[str, ...], trigger: str | None, cycles: bool
) -> tuple[list[Checkpoint], list[EmbeddingSource]]:
    """The checkpoints, and of those that are embeddings what is known of where they came from."""
    from coti.commands.embedding_sources import find_embeddings, variants_of
    from coti.ranking.checkpoint_kinds import Checkpoint, lora_checkpoint, told_apart

    found: list[Checkpoint] = []
    sources: list[EmbeddingSource] = []
    for name in given:
        path = user_path(name)
        if path.is_dir() and not (path / "learned_embeds.safetensors").is_file():
            found.append(Checkpoint(path.resolve().name, "samples", path))
        elif (lora := lora_checkpoint(path, trigger)) is not None:
            found.append(lora)
        else:
            own = find_embeddings((), (name,))
            sources += own
            place = own[0].folder or path
            variants = (
                variants_of(own, ["cycles"]) if cycles else {own[0].label: [own[0].embedding]}
            )
            found += [
                Checkpoint(label, "embedding", place, each[0], each[0].token)
                for label, each in variants.items()
            ]
    return told_apart(found), sources


def _common_side(checkpoints: list[Checkpoint]) -> int:
    """Of samples alone: as large as most of the first folder's."""
    from coti.pool.chosen_images import look_at_chosen_images

    looked = look_at_chosen_images(checkpoints[0].path)
    sides = sorted(min(each.width, each.height) for each in looked if not each.refused)
    return min(_LARGEST_SIDE, sides[len(sides) // 2]) if sides else _LARGEST_SIDE
