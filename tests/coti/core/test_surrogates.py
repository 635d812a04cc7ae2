"""A character that came in two halves is one, wherever it is read; a half is never kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.plain_yaml import load_yaml
from coti.core.surrogates import HALF, valid_text
from coti.core.text_files import read_json
from coti.pool.untrusted_text import as_text

TEXTS = st.text(st.sampled_from("a🦊\ud83e\udd8a\udfff\ud800\ue000 é"), max_size=12)


@given(TEXTS)
def test_all_readers_end_with_the_same_characters(text: str) -> None:
    r"""As JSON says it: two escapes that belong together are a character, others U+FFFD."""
    found = valid_text(text)
    found.encode()
    assert valid_text(found) == found
    assert read_json(json.dumps({text: [text]})) == {found: [found]}
    assert as_text(text) == found
    written = json.dumps({"a": text})
    if HALF.search(json.loads(written)["a"]):
        with pytest.raises(ValueError, match="half a character"):
            load_yaml(written)
    else:
        assert load_yaml(written) == {"a": found}
