"""How the two Fréchet distances rank images that no training has touched.

    python -m benchmarks.reference_judge            # eight concepts, some minutes

Table 1 ranks what embeddings generate. Where its two distances disagree, this tells whose doing
it is: for each concept, ``--images`` pool images at random ("random"), as many that the ground
truth calls clean ("clean"), and the clean ones through the base model's autoencoder and back
("decoded"), each against the held-out references, on the judge's and on EfficientNet's features;
the mean over ``--draws`` draws. The last line is one JSON object.
"""

from __future__ import annotations

import argparse

import torch
from tqdm import tqdm

from assets.build import world
from benchmarks.result import say, table
from benchmarks.selection_quality import made_pool
from coti.encoders.efficientnet import load_efficientnet
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.encoders.protocol import ImageEncoder
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.latents import decode_latents, encode_latents
from coti.metrics.frechet import frechet_distance
from coti.settings import ModelSettings

SETS = ("random", "clean", "decoded")


def images_of(
    concept: str, pool_seed: int, count: int, draws: int, network: TextToImageModel
) -> tuple[dict[str, list[torch.Tensor]], torch.Tensor]:
    """The sets, ``draws`` of each, and the references: uint8 [n, 3, h, w]."""
    made = made_pool(concept, pool_seed)
    pool, clean, references = made.pool, made.clean, made.references
    found: dict[str, list[torch.Tensor]] = {name: [] for name in SETS}
    for draw in range(draws):
        generator = torch.Generator().manual_seed(draw)
        found["random"].append(pool[torch.randperm(len(pool), generator=generator)[:count]])
        order = torch.randperm(int(clean.sum()), generator=generator)[:count]
        found["clean"].append(pool[clean.nonzero().squeeze(1)[order]])
        latents = encode_latents(network, found["clean"][-1])
        scaled = network.to_latents(latents.mean)
        found["decoded"].append(decode_latents(network, scaled))
    return found, references


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="two Fréchet distances on untouched images")
    parser.add_argument("--concepts", nargs="+", default=list(world.BENCHMARK_CONCEPTS))
    parser.add_argument("--pool", type=int, default=0, help="seed of the pools")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    network = load_text_to_image(ModelSettings())
    encoders: dict[str, ImageEncoder] = {
        "judge": load_image_text_encoder("assets/models/judge"),
        "efficientnet": load_efficientnet(),
    }
    means: dict[str, dict[str, list[float]]] = {}
    for concept in tqdm(given.concepts, "concepts", leave=False, disable=None):
        sets, references = images_of(concept, given.pool, given.images, given.draws, network)
        means[concept] = {}
        for name, encoder in encoders.items():
            against = encoder.encode_images(references)
            means[concept][name] = [
                sum(frechet_distance(encoder.encode_images(one), against) for one in sets[kind])
                / given.draws
                for kind in SETS
            ]
    head = ["concept", *(f"{name}, {kind}" for name in encoders for kind in SETS)]
    rows = [
        [
            concept,
            *(f"{value:.2f}" for value in both["judge"]),
            *(f"{value:.0f}" for value in both["efficientnet"]),
        ]
        for concept, both in means.items()
    ]
    say(table(head, rows), {"benchmark": "reference_judge", "sets": SETS, "means": means})


if __name__ == "__main__":
    main()
