"""Can the stack's artifact store be used, and if not, what is to be done."""

from __future__ import annotations

import os
import uuid
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "read_object",
    "s3_client",
    "s3_problem",
    "share_s3_credentials",
    "share_with_pool",
]

_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "ExpiredToken")
_READS = 4


def s3_client(store: Any, *, attempts: int, read_seconds: int) -> Any:
    """A boto3 client with the endpoint and the key of a ZenML S3 artifact store.

    Args:
        store: ZenML's.
        attempts: how often a request is made before the store counts as gone.
        read_seconds: to wait for an answer.
    """
    import boto3
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    key, secret, token, region = store.get_credentials()
    return boto3.session.Session().client(
        "s3",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        **{"region_name": region or "us-east-1", **(store.config.client_kwargs or {})},
        config=Config(connect_timeout=5, read_timeout=read_seconds, retries=retries),
    )


def read_object(client: Any, bucket: str, key: str) -> tuple[bytes, str]:
    """A small object and its ETag; boto3 asks again for an answer, but not for a body cut short."""
    from botocore.exceptions import IncompleteReadError, ResponseStreamingError

    for left in range(_READS - 1, -1, -1):
        answer = client.get_object(Bucket=bucket, Key=key)
        try:
            return bytes(answer["Body"].read()), str(answer["ETag"])
        except (IncompleteReadError, ResponseStreamingError):
            if not left:
                raise
    raise AssertionError


def share_s3_credentials() -> None:
    """Libraries that read the environment, MLflow's S3 client for one, get the stack's key there.

    What is set already stays; without an S3 artifact store nothing happens.
    """
    from zenml.client import Client

    store: Any = Client().active_stack.artifact_store
    if not str(store.path).startswith("s3://"):
        return
    key, secret, token, region = store.get_credentials()
    kwargs = store.config.client_kwargs or {}
    found = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": token,
        "AWS_DEFAULT_REGION": region or kwargs.get("region_name"),
        "MLFLOW_S3_ENDPOINT_URL": kwargs.get("endpoint_url"),
    }
    for name, value in found.items():
        if value:
            os.environ.setdefault(name, value)


def share_with_pool(source: str, endpoint: str | None) -> None:
    """A pool in the artifact store's own S3 is read with the stack's key: pods have no other.

    Args:
        source: of the pool.
        endpoint: of the pool's store; None: AWS, or what ``AWS_ENDPOINT_URL`` says.
    """
    from zenml.client import Client

    if not source.startswith("s3://"):
        return
    store: Any = Client().active_stack.artifact_store
    kwargs = getattr(store.config, "client_kwargs", None) or {}
    wanted = endpoint or os.environ.get("AWS_ENDPOINT_URL") or ""
    if (kwargs.get("endpoint_url") or "").rstrip("/") == wanted.rstrip("/"):
        share_s3_credentials()


def s3_problem(store: Any) -> str | None:
    """Write, read and delete an object below the store's path; a sentence if that fails."""
    from botocore.exceptions import BotoCoreError, ClientError

    place = urlsplit(str(store.path))
    bucket = place.netloc
    name = f"{place.path.strip('/')}/coti_check/{uuid.uuid4().hex}".lstrip("/")
    client = s3_client(store, attempts=3, read_seconds=5)
    try:
        # Some stores make a bucket when they are written to; a mistyped name must not.
        client.head_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key=name, Body=b"coti")
        read_object(client, bucket, name)
        client.delete_object(Bucket=bucket, Key=name)
    except ClientError as error:
        return _refusal(str(error.response.get("Error", {}).get("Code", "")), bucket)
    except BotoCoreError as error:
        if "Credential" in type(error).__name__:
            return (
                "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and "
                "repeat `coti stack up`."
            )
        return (
            f"the endpoint {client.meta.endpoint_url} does not answer ({type(error).__name__}): "
            "start it, or set COTI_S3_ENDPOINT and repeat `coti stack up`."
        )
    return None


def _refusal(code: str, bucket: str) -> str:
    if code in ("NoSuchBucket", "404"):
        return (
            f"there is no bucket {bucket!r}: make it, or set COTI_S3_BUCKET and repeat "
            "`coti stack up`."
        )
    if code in _REFUSED:
        return (
            f"the key is refused ({code}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and "
            "repeat `coti stack up`, or mend the bucket's policy."
        )
    return f"{bucket!r} answered {code}: look at the store's own log."
