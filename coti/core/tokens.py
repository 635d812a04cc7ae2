"""The one form of a placeholder token: what every consumer's tokenizer reads as it is written.

CLIP's tokenizers, in diffusers and in the web UIs, compose Unicode (NFC) and make small letters of
a prompt before they look for tokens: a token in any other form is never found whole. Prompts are
brought to the same form before they are searched for tokens.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["fault_of_token", "folded", "holds_token", "replace_token", "token_of"]

_LONGEST = 100
"""Letters of a token; composing many that belong together takes the square of their number."""


def folded(text: str) -> str:
    """A text as CLIP's tokenizers read it: composed (NFC), each letter small.

    >>> folded("A Photo of ANKLEBOOT, Cafe\\u0301")
    'a photo of ankleboot, café'
    """
    text = unicodedata.normalize("NFC", text)
    # Letter by letter, as they do it: str.lower() knows that a word ends in another sigma.
    return unicodedata.normalize("NFC", "".join(map(str.lower, text)))


def token_of(name: str) -> str:
    """The token nearest to a name from elsewhere: folded, with ``-`` for what is not printed.

    >>> token_of("<Ankle Boot>")
    '<ankle-boot>'
    """
    start = folded(name[: 4 * _LONGEST])
    kept = "".join(c if c.isprintable() and not c.isspace() else " " for c in start)
    return folded("-".join(kept.split()))[:_LONGEST]


def holds_token(prompt: str, token: str) -> bool:
    """Whether a tokenizer finds the token in a prompt, in whatever letters it is written there."""
    return token in folded(prompt)


def replace_token(prompt: str, token: str, word: str) -> str:
    """The prompt with another word for the token, in whatever letters that is written.

    >>> replace_token("a photo of <Ankle-Boot> at night", "<ankle-boot>", "boot")
    'a photo of boot at night'
    """
    prompt = unicodedata.normalize("NFC", prompt)
    return word.join(re.split(re.escape(token), prompt, flags=re.IGNORECASE))


def fault_of_token(token: str) -> str:
    """What is wrong with a token, with the remedy; nothing if it will do.

    >>> fault_of_token("<ankle-boot>"), fault_of_token("AnkleBoot").rpartition(" ")[2]
    ('', "'ankleboot'")
    """
    if len(token) > _LONGEST:
        return f"has {len(token)} letters: choose one of at most {_LONGEST}"
    if not token or any(c.isspace() or not c.isprintable() for c in token):
        return f"{token!r} must be one word without spaces, such as <my-concept>"
    if token != token_of(token):
        return (
            f"{token!r} must be in small letters and composed Unicode, since tokenizers read it "
            f"so: {token_of(token)!r}"
        )
    return ""
