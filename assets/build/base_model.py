"""Build the bundled base text-to-image model, stage by stage.

    python -m assets.build.base_model adopt        (instead of starting from nothing)
    python -m assets.build.base_model autoencoder --minutes 8
    python -m assets.build.base_model captions
    python -m assets.build.base_model diffusion --hours 1.5
    python -m assets.build.base_model decoder --minutes 10
    python -m assets.build.base_model export
    python -m assets.build.base_model ladder

``adopt`` takes the weights of the exported model as the first checkpoint; words that its vocabulary
lacks start anew. ``diffusion`` goes on from its last checkpoint when started again, exports now and
then, and lets the learning rate fall over its last minutes; a file named ``finish`` in the work
folder starts that fall at once. ``decoder`` improves the decoder alone, so that latents stay what
they are. ``ladder`` measures what the last checkpoint is worth. One thread is the default: on a
busy machine two threads that wait for each other are slower than one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

WORK = Path("scratch/base")
TARGET = Path("assets/models/base")


def _diffusion(work: Path, target: Path, hours: float) -> None:
    from assets.build.captions import build_caption_book, build_tokenizer
    from assets.build.diffusion import build_latent_book, train_diffusion

    captions = build_caption_book(work)
    tokenizer = build_tokenizer(captions, work / "tokenizer")
    book = build_latent_book(work, captions, tokenizer)

    def publish() -> None:
        """Export in a process of its own, beside the training, which does not wait for it."""
        command = [sys.executable, "-m", "assets.build.base_model", "export"]
        subprocess.Popen([*command, "--work", work, "--target", target])

    train_diffusion(work, book, hours, publish=publish)


def main() -> None:
    """Run one stage; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stages = ("adopt", "autoencoder", "captions", "diffusion", "decoder", "export", "ladder")
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--work", type=Path, default=WORK, help="checkpoints and caches")
    parser.add_argument("--target", type=Path, default=TARGET, help="the exported model")
    parser.add_argument("--minutes", type=float, default=8.0, help="autoencoder and decoder")
    parser.add_argument("--hours", type=float, default=1.5, help="diffusion, over all runs")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.stage == "adopt":
        from assets.build.base_adopt import adopt

        adopt(options.target, options.work)
    elif options.stage == "autoencoder":
        from assets.build.autoencoder import train_autoencoder

        train_autoencoder(options.work, options.minutes)
    elif options.stage == "captions":
        from assets.build.captions import build_caption_book, build_tokenizer

        build_tokenizer(build_caption_book(options.work), options.work / "tokenizer")
    elif options.stage == "diffusion":
        _diffusion(options.work, options.target, options.hours)
    elif options.stage == "decoder":
        from assets.build.autoencoder import train_autoencoder

        # Latents can't drift here, so what is drawn may follow the features more.
        train_autoencoder(
            options.work, options.minutes, decoder_only=True, peak_rate=8e-4, feature_weight=8.0
        )
    elif options.stage == "export":
        from assets.build.base_export import export

        export(options.work, options.target)
    else:
        from assets.build.base_ladder import run_ladder

        run_ladder(options.work)


if __name__ == "__main__":
    main()
