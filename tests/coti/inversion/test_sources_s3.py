"""Base models from a real S3 server: a whole diffusers folder, and a single file."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from coti.core.errors import ModelError
from coti.core.weights import hash_of
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.families.random_base_model import reduced, write_random
from coti.settings import ModelSettings
from tests.coti.inversion.ldm import write_single_file
from tests.coti.pool.s3_server import ACCESS, SECRET, Proxy, client, s3_server
from tests.coti.small_disk import small_disk

pytestmark = pytest.mark.slow

BASE = Path(__file__).resolve().parents[3] / "assets" / "models" / "base"
BUCKET = "models"
FOLDER = f"s3://{BUCKET}/sd/base"
UNET = f"/{BUCKET}/sd/base/unet/diffusion_pytorch_model.safetensors"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the bundled base model below a prefix."""
    with s3_server(tmp_path_factory.mktemp("weed")) as endpoint:
        store = client(endpoint)
        store.create_bucket(Bucket=BUCKET)
        for path in sorted(BASE.rglob("*")):
            if path.is_file():
                name = path.relative_to(BASE).as_posix()
                store.upload_file(str(path), BUCKET, f"sd/base/{name}")
        yield endpoint


@pytest.fixture
def proxy(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What stands between us and the server; the cache is empty."""
    found = Proxy(server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.start())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("COTI_CACHE", str(tmp_path / "cache"))
    yield found
    found.stop()


def load(name: str | Path, **changes: Any) -> TextToImageModel:
    """The model on the CPU."""
    settings = ModelSettings(base_model=str(name), device="cpu", dtype="float32", **changes)
    return load_text_to_image(settings)


def same_weights(ours: TextToImageModel, theirs: TextToImageModel) -> bool:
    """Whether every tensor of every part is the same."""
    pairs = zip(
        (ours.unet, ours.vae, *ours.text_encoders),
        (theirs.unet, theirs.vae, *theirs.text_encoders),
        strict=True,
    )
    return all(
        torch.equal(value, other.state_dict()[key])
        for part, other in pairs
        for key, value in part.state_dict().items()
    )


def test_a_whole_model_is_fetched_once_by_its_pinned_hash(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the folder's model, fingerprint and all; the second load needs no server."""
    pinned = hash_of(BASE)
    local = load(BASE)
    fetched = load(FOLDER, sha256=pinned)
    assert same_weights(fetched, local)
    assert fetched.fingerprint == local.fingerprint
    assert fetched.name == FOLDER
    assert proxy.asked[UNET] > 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    assert same_weights(load(FOLDER, sha256=pinned), local)


def test_a_model_that_is_not_the_pinned_one_is_refused(proxy: Proxy, tmp_path: Path) -> None:
    """Both hashes are named, nothing is kept, and without a pin nothing is fetched at all."""
    with pytest.raises(
        ModelError, match=f"{FOLDER} is not the pinned weights: its sha256 is {hash_of(BASE)}, pin"
    ):
        load(FOLDER, sha256="0" * 64)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    asked = proxy.asked.total()
    with pytest.raises(ModelError, match=f"{FOLDER} needs its pinned sha256"):
        load(FOLDER)
    assert proxy.asked.total() == asked


def test_a_single_file_is_fetched_once_by_its_pinned_hash(
    server: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of Stable Diffusion 1.5's shape gives the tensors that it was written from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = write_random(reduced("sd15", resolution=64), tmp_path / "sd15", torch.float32)
    path = write_single_file(folder, tmp_path / "sd15.safetensors", open_clip=False)
    client(server).upload_file(str(path), BUCKET, "sd15.safetensors")
    source, pinned = f"s3://{BUCKET}/sd15.safetensors", hash_of(path)
    described = load(folder)
    assert same_weights(load(source, sha256=pinned, config=str(folder)), described)
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    assert same_weights(load(source, sha256=pinned, config=str(folder)), described)
    with pytest.raises(ModelError, match=rf"{source} cannot be fetched .*check AWS_ENDPOINT_URL"):
        load(source, sha256="0" * 64, config=str(folder))


# boto3 leaves answers that broke off to the garbage collector, which must not come in later tests.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_connection_lost_half_way_is_one_sentence_and_the_next_try_loads(
    proxy: Proxy, tmp_path: Path
) -> None:
    """The UNet's weights break off, as often as they are asked for; nothing half is kept."""
    proxy.plan = {UNET: ["", *["cut"] * 40]}  # its size is still told
    with pytest.raises(
        ModelError, match=rf"{FOLDER} cannot be fetched \(RetriesExceeded.*run it again"
    ):
        load(FOLDER, sha256=hash_of(BASE))
    assert proxy.done["cut answer"] > 0
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    proxy.plan = {}
    assert load(FOLDER, sha256=hash_of(BASE))
    gc.collect()


def test_a_full_disk_is_not_called_a_lost_store(proxy: Proxy, tmp_path: Path) -> None:
    """The folder and what moves it are named; with room made, the model loads."""
    cache = tmp_path / "cache"
    says = (
        f"{FOLDER} cannot be fetched, the disk at {cache / 'weights'} is full: make room, or set "
        "COTI_CACHE to a folder on a larger disk, and run it again"
    )
    with small_disk(cache, 8 << 20) as give_room:
        with pytest.raises(ModelError, match=says):
            load(FOLDER, sha256=hash_of(BASE))
        assert not [path for path in cache.rglob("*") if path.is_file()]
        give_room(64 << 20)
        assert load(FOLDER, sha256=hash_of(BASE))
