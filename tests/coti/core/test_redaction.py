from __future__ import annotations

import logging
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError, PoolError
from coti.core.redaction import RedactingFormatter, redacted
from coti.settings import PoolSettings, RunSettings

SECRET = st.text(
    st.characters(codec="ascii", exclude_characters=" \"'<>", categories=["L", "N", "P"]),
    min_size=8,
)
PASSWORD = SECRET.filter(lambda text: text[0] not in "/?#" and not text[0].isdigit())
PARAMETERS = (
    "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "x-goog-signature", "Signature",
    "AWSAccessKeyId", "sig", "token", "access_token", "authToken", "api_key", "apikey", "key",
    "password", "Key-Pair-Id", "hmac",
)  # fmt: skip


@given(PASSWORD, st.sampled_from(["s3", "https", "postgresql+psycopg2"]))
def test_no_login_of_an_address_is_left(secret: str, scheme: str) -> None:
    """Whatever is in a password, it goes, and the rest of the sentence stays."""
    said = redacted(f"cannot read {scheme}://me:{secret}@host:5432/db?x=1 now")
    assert secret not in said.replace("host:5432/db?x=1", "")
    assert said.startswith(f"cannot read {scheme}://***@host:5432/db?x=1 now")


@given(SECRET, st.sampled_from(PARAMETERS), st.booleans())
def test_no_signature_of_an_address_is_left(secret: str, name: str, nested: bool) -> None:
    """Signed, tokened and keyed URLs lose what opens them, also inside another URL."""
    url = f"https://h/a%20b.png?width=2&{name}={quote(secret, safe='')}"
    said = redacted(f"https://proxy/?url={quote(url, safe='')}" if nested else f"see {url}.")
    assert quote(secret, safe="") not in said
    assert "width" in said
    assert said.startswith(("see https://h/a%20b.png", "https://proxy/?url="))


@pytest.mark.parametrize(
    "text",
    [
        "https://host:80/a@2x.png",
        "http://h/x?keyword=boots&author=me&monkey=1&size=3",
        "token=<boot>, --embedding boot.safetensors=<my-boot>",
        "min_side=64 key=value me@example.org",
        "s3://bucket/prefix/file.tar",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Ports, at signs in paths, other parameters and our own words are not touched."""
    assert redacted(text) == text


def test_errors_logs_and_settings_hold_no_secret() -> None:
    """An error's text and a log line are redacted where they are made; settings refuse a login."""
    url = "https://me:hunter2@h/x?sig=0123"
    assert "hunter2" not in str(PoolError(f"{url} fails."))
    assert "0123" not in str(PoolError(f"{url} fails."))
    try:
        raise ValueError(url)
    except ValueError as error:
        record = logging.LogRecord(
            "x", 20, "", 0, "at %s", (url,), (ValueError, error, error.__traceback__)
        )
    line = RedactingFormatter("%(message)s").format(record)
    assert "ValueError" in line
    assert "hunter2" not in line
    assert "0123" not in line
    with pytest.raises(ConfigError, match=r"pool_rules\.s3_endpoint holds a login"):
        RunSettings(pool_rules=PoolSettings(s3_endpoint="http://me:hunter2@store:9000"))
