"""Are the images there that the run files name: at the engine that runs them, or in a registry."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ops.stack.said import SECONDS, Said

__all__ = ["look_at_builder", "look_at_engine", "look_at_registry"]

_DOCKER_HUB = "registry-1.docker.io"
_REALM = re.compile(r'(\w+)="([^"]*)"')
_UNSET: Said = ("skip", "COTI_IMAGE is not set: no image was looked for.")


def look_at_builder(component: Any) -> Iterator[Said]:
    """The local image builder needs an engine only where ZenML itself builds.

    The image is looked for where it is run from: by the orchestrator's or the registry's check.
    """
    state, said = next(_engine(None))
    if state == "FAIL":
        yield "skip", "no Docker engine answers; run files with `skip_build` need none."
    else:
        yield state, said


def look_at_engine(component: Any) -> Iterator[Said]:
    """The engine that runs the steps, and the image that they run in."""
    yield from _engine(os.environ.get("COTI_IMAGE", ""))


def _engine(image: str | None) -> Iterator[Said]:
    """Whether an engine answers, and has an image; None: none is wanted."""
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        with contextlib.closing(docker.from_env(timeout=SECONDS)) as engine:
            yield "ok", f"Docker engine {engine.version()['Version']} answers."
            if image:
                engine.images.get(image)
                yield "ok", f"image {image} is there."
            elif image is not None:
                yield _UNSET
    except ImageNotFound:
        yield "FAIL", f"image {image} is not there: build it, `docker build -f k8s/Dockerfile .`"
    except DockerException as error:
        said = f"no Docker engine answers ({type(error).__name__}): start one, or set DOCKER_HOST."
        yield "FAIL", said


def look_at_registry(component: Any) -> Iterator[Said]:
    """Ask the registry for the images that the run files name."""
    names = dict.fromkeys(filter(None, map(os.environ.get, ("COTI_IMAGE", "COTI_CPU_IMAGE"))))
    if not names:
        yield _UNSET
    for name in names:
        yield _pushed(name)


def _pushed(image: str) -> Said:
    import requests

    host, _, rest = image.partition("/")
    if not rest or not ("." in host or ":" in host or host == "localhost"):
        return "skip", f"{image} names no registry: nothing was asked."
    path, _, digest = rest.partition("@")
    path, _, tag = path.partition(":")
    local = host.split(":")[0] in ("localhost", "127.0.0.1")
    server = _DOCKER_HUB if host in ("docker.io", "index.docker.io") else host
    url = f"http{'' if local else 's'}://{server}/v2/{path}/manifests/{digest or tag or 'latest'}"
    headers = {
        "Accept": "application/vnd.oci.image.index.v1+json, "
        "application/vnd.oci.image.manifest.v1+json, "
        "application/vnd.docker.distribution.manifest.list.v2+json, "
        "application/vnd.docker.distribution.manifest.v2+json"
    }
    why = "it is forbidden"
    try:
        answer = requests.head(url, headers=headers, timeout=SECONDS)
        if answer.status_code == 401:
            token, why = _anonymous_token(answer.headers.get("WWW-Authenticate", ""), path)
            if token:
                headers["Authorization"] = f"Bearer {token}"
                answer = requests.head(url, headers=headers, timeout=SECONDS)
    except requests.RequestException as error:
        said = f"the registry {host} does not answer ({type(error).__name__}): mend COTI_REGISTRY."
        return "FAIL", said
    if answer.status_code == 200:
        return "ok", f"image {image} is there."
    if answer.status_code == 404:
        build = "`docker build -f k8s/Dockerfile .`, then `docker push`"
        return "FAIL", f"image {image} is not there: build and push it, {build}."
    if answer.status_code in (401, 403):
        return "skip", (
            f"{host} asks for a login, which this check does not have ({why}): "
            f"{image} is private, or there is no such repository."
        )
    return "FAIL", f"{host} answered {answer.status_code} for {image}: look at the registry's log."


def _anonymous_token(challenge: str, path: str) -> tuple[str, str]:
    """The token that a registry gives to everybody who wants to read public images.

    Args:
        challenge: of the registry's 401, ``Bearer realm="…",service="…",scope="…"``.
        path: of the image, for a challenge without a scope.

    Returns:
        It, or nothing; and the reason for a refusal, should there be one.
    """
    import requests

    asked = dict(_REALM.findall(challenge))
    realm = asked.pop("realm", "")
    if not challenge.lower().startswith("bearer ") or not realm.startswith(("http://", "https://")):
        return "", "it gives no tokens to everybody"
    wanted = {"scope": f"repository:{path}:pull"}
    wanted |= {key: asked[key] for key in ("service", "scope") if key in asked}
    host = urlsplit(realm).netloc
    try:
        answer = requests.get(realm, params=wanted, timeout=SECONDS)
        if answer.status_code != 200:
            return "", f"{host} answered {answer.status_code} without one"
        given = answer.json()
        token = given.get("token") or given.get("access_token") or ""
    except (requests.RequestException, ValueError, AttributeError) as error:
        return "", f"{host} gave no token, {type(error).__name__}"
    return str(token), "a token for everybody does not open it"
