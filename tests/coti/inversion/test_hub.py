"""What a hub answers, from a small HTTP server that answers as one: no real hub can be reached."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from coti.core.errors import ModelError
from coti.core.weights import hash_of, local_weights
from coti.inversion.base_model import load_text_to_image
from coti.inversion.model_files import model_on_this_machine
from coti.settings import ModelSettings
from tests.adversary.connections import connections
from tests.coti.small_disk import small_disk

SHA = "0123456789012345678901234567890123456789"
UNET = "unet/diffusion_pytorch_model.safetensors"


class Hub(BaseHTTPRequestHandler):
    """Repositories by name: ``good/model``, ``gated/model``, ``cut/model``; others are unknown.

    ``cut`` loses the connection in the middle of the UNet's weights, until it is ``mended``.
    """

    folder: Path
    mended: bool
    sent: list[str]
    """Files whose content was asked for."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        """As GET without a body."""
        self.do_GET()

    def do_GET(self) -> None:
        """The API's description of a repository, or one of its files."""
        parts = self.path.split("?")[0].strip("/").split("/")
        api = parts[0] == "api"
        owner = parts[2] if api else parts[0]
        if owner == "gated":
            return self._answer(403, b"{}", X_Error_Code="GatedRepo")
        if owner not in ("good", "cut"):
            return self._answer(404, b"{}", X_Error_Code="RepoNotFound")
        revision = parts[5] if api and len(parts) > 5 else "main"
        if revision not in ("main", SHA):
            return self._answer(404, b"{}", X_Error_Code="RevisionNotFound")
        names = [
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_file()
        ]
        if api and parts[4] == "tree":
            files = [{"type": "file", "path": n, "size": 1, "oid": "a" * 40} for n in names]
            return self._answer(200, json.dumps(files).encode())
        if api:
            described = {"id": f"{owner}/model", "sha": SHA}
            described |= {"siblings": [{"rfilename": name} for name in names]}
            return self._answer(200, json.dumps(described).encode())
        name = "/".join(parts[4:])
        content = (self.folder / name).read_bytes()
        headers = {"X_Repo_Commit": SHA, "ETag": f'"{abs(hash(self.path)):040x}"'}
        if self.command == "GET":
            self.sent.append(name)
        if owner == "cut" and self.command == "GET" and name == UNET and not self.mended:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.connection.close()
            return None
        return self._answer(200, content, **headers)


@pytest.fixture
def hub(
    model_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The hub client, pointed at the server, with an empty cache."""
    from huggingface_hub import constants

    Hub.folder = shutil.copytree(model_folder(), tmp_path / "served")
    Hub.mended, Hub.sent = False, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield endpoint
    server.shutdown()
    server.server_close()


def load(name: str, revision: str | None = None) -> object:
    """A model of the hub on the CPU."""
    return load_text_to_image(ModelSettings(base_model=name, revision=revision, device="cpu"))


def test_a_model_is_fetched_at_its_pinned_revision(hub: str) -> None:
    """Its parts load as those of a folder do; a second load finds them cached. Whether it is on
    this machine is told without asking the hub.
    """
    settings = ModelSettings(base_model="good/model", revision=SHA)
    with connections() as reached:
        assert model_on_this_machine(settings) is None
    assert not reached
    assert load("good/model", SHA)
    shutil.rmtree(Hub.folder)
    assert load("good/model", SHA)
    with connections() as reached:
        found = model_on_this_machine(settings)
    assert found is not None
    assert (found / "model_index.json").is_file()
    assert not reached


@pytest.mark.parametrize(
    ("name", "revision", "says"),
    [
        ("gated/model", None, r"gated/model is gated: accept its license .* `hf auth login`"),
        ("no/model", None, r"no/model is neither a folder here nor on the hub \(or is private\)"),
        ("good/model", "nope", r"good/model has no revision nope"),
    ],
)
def test_what_the_hub_refuses_is_named(
    name: str, revision: str | None, says: str, hub: str
) -> None:
    """With the alternatives: another id, a local folder; SD2's repositories have moved."""
    with pytest.raises(ModelError, match=says) as caught:
        load(name, revision)
    assert "may name a mirror's id or a local diffusers folder" in str(caught.value)
    assert "Stable Diffusion 2 repositories have moved" in str(caught.value)


def cached(folder: Path) -> set[str]:
    """The files of a repository that lie whole in the cache."""
    snapshots = folder.glob(f"models--*/snapshots/{SHA}/**/*")
    return {path.as_posix().partition(f"{SHA}/")[2] for path in snapshots if path.is_file()}


@pytest.mark.slow
def test_a_connection_lost_half_way_is_one_sentence_and_the_next_try_goes_on(
    hub: str, tmp_path: Path
) -> None:
    """The UNet's weights break off; the hub back again, they alone are fetched, and it loads."""
    with pytest.raises(ModelError, match=r"broke off \(\w+\); files that arrived whole are kept"):
        load("cut/model", SHA)
    wanted = set(Hub.sent)
    assert len(wanted) > 8
    assert cached(tmp_path / "cache") == wanted - {UNET}
    Hub.mended, Hub.sent = True, []
    assert load("cut/model", SHA)
    assert Hub.sent == [UNET]
    assert cached(tmp_path / "cache") == wanted


def test_a_full_disk_is_not_called_a_lost_hub(hub: str, tmp_path: Path) -> None:
    """The folder and what moves it are named; with room made, what had arrived is not fetched."""
    cache = tmp_path / "cache"
    size = sum(path.stat().st_size for path in Hub.folder.rglob("*") if path.is_file())
    says = rf"cannot be fetched, the disk at {cache} is full: make room, or set HF_HOME to a folder"
    with small_disk(cache, size - (Hub.folder / UNET).stat().st_size // 2) as give_room:
        with pytest.raises(ModelError, match=rf"good/model \(revision {SHA}\) {says}") as caught:
            load("good/model", SHA)
        assert "files that arrived whole are kept" in str(caught.value)
        assert "hub cannot be reached" not in str(caught.value)
        kept = cached(cache)
        assert kept
        give_room(4 * size)
        Hub.sent = []
        assert load("good/model", SHA)
        assert set(Hub.sent) == cached(cache) - kept


@pytest.mark.filterwarnings("ignore:Not enough free disk space:UserWarning")
def test_a_full_disk_under_one_file_of_the_hub(hub: str, tmp_path: Path) -> None:
    """As for hf:// weights, whose cache is the same."""
    cache = tmp_path / "cache"
    source = f"hf://good/model@{SHA}/{UNET}"
    with small_disk(cache, (Hub.folder / UNET).stat().st_size // 2) as give_room:
        with pytest.raises(ModelError, match=f"{source} cannot be fetched, the disk at {cache} is"):
            local_weights(source)
        give_room(64 << 20)
        assert local_weights(source, hash_of(Hub.folder / UNET)).is_file()
