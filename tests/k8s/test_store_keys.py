"""Each role's key to the bucket, as docs/operations.md makes them, on a real SeaweedFS."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.coti.pool.s3_server import ACCESS, SECRET, client, s3_server
from tests.k8s.capture import ROOT

WRITES = {
    "coti": {"mlflow/1/x"},
    "coti-train": {
        "coti/map:embed_pool:0/x",
        "coti/train_cycle_0/x",
        "coti/train_cycle_2/x",
        "coti/coti_checkpoints/x",
    },
    "coti-ingest": {"coti/ingest_pool/x"},
}
WRITES["coti-run"] = {
    "coti/track_cycle_0/x",
    "coti/coti_leases/x",
    *WRITES["coti-train"],
    *WRITES["coti-ingest"],
}
"""Namespace -> what its key may write of all that is written here."""
KEYS = sorted(set().union(*WRITES.values()))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq: the page's commands are not run")
def test_a_role_writes_its_own_and_nothing_else(tmp_path: Path) -> None:
    """Nobody but MLflow changes an embedding that is registered, ingestion nothing but its own."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    end = text.index("    kubectl -n coti create secret generic coti-seaweedfs")
    script = text[text.index("    identity() {") : end]
    done = subprocess.run(
        ["bash", "-euc", f"kubectl() {{ :; }}\n{script}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    identities = json.loads((tmp_path / "s3.json").read_text())
    keys = {each["name"]: each["credentials"][0] for each in identities["identities"]}
    admin = {"accessKey": ACCESS, "secretKey": SECRET}
    identities["identities"].append({"name": "tests", "actions": ["Admin"], "credentials": [admin]})
    with s3_server(tmp_path, identities) as endpoint:
        client(endpoint).create_bucket(Bucket="coti")
        for key in KEYS:
            client(endpoint).put_object(Bucket="coti", Key=key, Body=b"before")
        for role, writes in WRITES.items():
            own = client(endpoint, keys[role]["secretKey"], keys[role]["accessKey"])
            assert own.list_objects_v2(Bucket="coti")["KeyCount"] == len(KEYS)
            for key in KEYS:
                if role != "coti" or key in writes:
                    assert own.get_object(Bucket="coti", Key=key)["Body"].read() == b"before"
                for change, given in (("put_object", {"Body": b"before"}), ("delete_object", {})):
                    refused = ""
                    try:
                        getattr(own, change)(Bucket="coti", Key=key, **given)
                    except ClientError as error:
                        refused = error.response["Error"]["Code"]
                    assert refused == ("" if key in writes else "AccessDenied"), (role, key)
                client(endpoint).put_object(Bucket="coti", Key=key, Body=b"before")
