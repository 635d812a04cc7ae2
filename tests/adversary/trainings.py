"""A training of seconds on a tiny model, what it keeps on disk, and whether that is still right."""

from __future__ import annotations

import hashlib
import shutil
from functools import cache
from pathlib import Path

import torch

from coti.core.errors import CotiError
from coti.generation.sampler import generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.checkpoint import FolderCheckpointStore
from coti.inversion.latent_store import FolderLatentStore
from coti.inversion.latents import encode_latents
from coti.inversion.trainer import TrainResult, train_cycle
from coti.pool.pool_images import ImageWriter, PoolImages
from coti.settings import (
    GenerationSettings,
    ModelSettings,
    ScheduleSettings,
    TokenSettings,
    TrainSettings,
)
from tests.adversary.lasting import lasting_folder
from tests.coti.conftest import write_model
from tests.coti.pool.conftest import encoded, image

__all__ = ["Kept", "learned_bytes"]

_TOKEN = TokenSettings(placeholder_token="<t>", initializer="shoe", num_vectors=2)


@cache
def _model() -> TextToImageModel:
    folder = write_model(lasting_folder() / "model")
    return load_text_to_image(ModelSettings(base_model=str(folder), device="cpu", dtype="float32"))


@cache
def _images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (10, 3, 32, 32), generator=generator, dtype=torch.uint8)


def _train(
    seed: int, settings: TrainSettings, store: FolderCheckpointStore | None = None
) -> TrainResult:
    start = Embedding.initial(_model(), _TOKEN)
    schedule = ScheduleSettings(dynamic=False)
    return train_cycle(
        _model(), _images(), None, start, settings, schedule, None, seed, store, token=_TOKEN
    )


def learned_bytes(seed: int, batch: int, steps: int) -> bytes:
    """What is learned and what is then generated, of a seed."""
    settings = TrainSettings(batch_size=batch, max_steps=steps, learning_rates=(0.05,))
    embedding = _train(seed, settings).embedding
    shown = GenerationSettings(num_inference_steps=2)
    generated = generate(_model(), ["a <t>"] * 4, [embedding], shown, seed)
    return bytes(embedding.parts[0].numpy().tobytes() + generated.numpy().tobytes())


class Kept:
    """What a training keeps, each file in a folder that is called what it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._store = FolderCheckpointStore(folder / "checkpoint")
        self._settings = TrainSettings(
            batch_size=4, max_steps=6, learning_rates=(0.05,), checkpoint_every=3
        )
        self._result = _train(0, self._settings, self._store)
        self._latents = self._encoded()
        self._embedding = folder / "embedding" / "learned_embeds.safetensors"
        self._embedding.parent.mkdir()
        self._result.embedding.save(self._embedding)
        self._pool = folder / "pool" / "images.parquet"
        self._pool.parent.mkdir()
        writer = ImageWriter(self._pool)
        for number in range(3):
            writer.add(str(number), encoded(image(number, (32, 32))))
        writer.close()
        whole = PoolImages(self._pool)
        self._known = whole.ids, whole.hashes
        self._pngs = whole.png(whole.ids)
        self._sha256 = hashlib.sha256(self._embedding.read_bytes()).hexdigest()

    def check(self, path: Path) -> str:
        """Whether a damaged file is refused, or replaced by the same content."""
        return str(getattr(self, f"_check_{path.parent.name}")())

    def restore(self, path: Path, content: bytes) -> None:
        """Put back what was damaged, and nothing beside it."""
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        path.write_bytes(content)

    def _check_checkpoint(self) -> str:
        again = _train(0, self._settings, self._store)
        assert torch.equal(again.embedding.parts[0], self._result.embedding.parts[0])
        assert again.curve == self._result.curve
        return "trained again"

    def _check_latents(self) -> str:
        again = self._encoded()
        assert all(torch.equal(a, b) for a, b in zip(again, self._latents, strict=True))
        return "encoded again"

    def _check_pool(self) -> str:
        try:
            found = PoolImages(self._pool)
            if (found.ids, found.hashes) != self._known:
                return "another artifact's hash"
            assert found.png(found.ids) == self._pngs
        except CotiError:
            return "refused"
        return "nothing that is read"

    def _check_embedding(self) -> str:
        """An embedding is a file for others, without a hash of its own: the registry has that."""
        assert hashlib.sha256(self._embedding.read_bytes()).hexdigest() != self._sha256
        try:
            Embedding.load(self._embedding)
        except CotiError as error:
            assert len(str(error).splitlines()) == 1, error
            return "refused"
        return "another file's hash"

    def _encoded(self) -> tuple[torch.Tensor, torch.Tensor]:
        store = FolderLatentStore(self.folder / "latents")
        found = encode_latents(_model(), _images(), store=store, keep_from=1)
        return found.mean, found.std
