"""How the pool is fetched and validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from coti.settings._base import Strict


@dataclass(frozen=True)
class FetchSettings(Strict):
    """How images are fetched where the pool is a table of URLs."""

    _section = "pool_rules.fetch."
    MOST: ClassVar[Mapping[str, int]] = {
        "concurrency": 1_000,
        "per_host": 1_000,
        "host_delay": 3_600,
        "timeout": 86_400,
        "attempts": 20,
        "backoff": 3_600,
        "max_redirects": 100,
        "shard_size": 1_000_000,
    }

    user_agent: str = "coti/0.2 (research crawler; set pool_rules.fetch.user_agent to your contact)"
    """Who asks. Put an address of yours in it; hosts refuse the anonymous."""
    concurrency: int = 32
    """Requests at once, over all hosts."""
    per_host: int = 4
    """Requests at once to one host."""
    host_delay: float = 0.1
    """Least seconds between the starts of two requests to one host."""
    timeout: float = 30.0
    """Seconds an image may take, all of its redirects together."""
    attempts: int = 3
    """Tries of what is worth a retry: refused connections, cut bodies, 408, 425, 429, 5xx."""
    backoff: float = 0.5
    """Seconds before the second try; doubles, with jitter. ``Retry-After`` is honoured."""
    max_redirects: int = 5
    opt_out: tuple[str, ...] = (
        "noai",
        "noimageai",
        "noml",
        "noindex",
        "noimageindex",
        "tdm-reservation",
        "train-ai",
        "data-mining",
    )
    """What owners ask under which an image is left alone: directives of ``X-Robots-Tag`` (``none``
    is ``noindex``), ``tdm-reservation`` (a header, or in XMP), ``train-ai`` (``Content-Usage``),
    ``data-mining`` (PLUS's field in XMP). Columns of a table are read alike."""
    shard_size: int = 1_000
    """URLs a shard; a broken run goes on behind its last whole shard."""
    cache: str = ".coti/fetched"
    """Folder in which a pipeline run keeps what it fetched, so that a broken run goes on. On
    Kubernetes a mounted volume; delete it when the pool is done."""
    allowed_networks: tuple[str, ...] = ()
    """Networks (``127.0.0.0/8``) that may be fetched from though they are not public. For tests
    and mirrors of your own: whoever writes the table then reaches these hosts too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "concurrency", "per_host", "attempts", "shard_size")
        self._at_least(0, "host_delay", "backoff", "max_redirects")
        self._above_zero("timeout")


@dataclass(frozen=True)
class PoolSettings(Strict):
    """What may enter a pool."""

    _section = "pool_rules."
    MOST: ClassVar[Mapping[str, int]] = {
        "max_inputs": 1_000_000_000,
        "min_side": 100_000,
        "max_pixels": 10_000_000_000,
        "max_bytes": 10_000_000_000,
        "max_aspect_ratio": 1_000_000,
        "max_caption_length": 100_000_000,
        "max_raw_caption_length": 100_000_000,
        "max_watermark": 1_000,
        "max_unsafe": 1_000,
        "near_duplicate_difference": 255,
        "feature_shard": 10_000_000,
        "decode_timeout": 86_400,
        "decode_memory": 1_000_000_000_000,
        "workers": 1_024,
        "read_threads": 1_024,
        "min_accepted": 1_000_000_000,
        "max_drift": 1_000_000,
    }

    kind: str = "auto"
    """``auto`` looks at the source and says what it found; else ``folder``, ``url_table``,
    ``webdataset``, ``img2dataset``, ``s3``, or ``module:Class`` of a source of your own."""
    caption_language: str = ""
    """Where sidecar captions are translated (``de.utf8=…`` lines): the language to take, or the
    untranslated line."""
    max_inputs: int = 1_000_000
    """Files, members and rows together; with more the run stops. Each takes some three kilobytes
    of memory, and a small file may claim any number of them."""
    min_side: int = 16
    """Pixels of the shorter side."""
    max_pixels: int = 120_000_000
    """Images of more pixels are not decoded; each takes four bytes while it is."""
    max_bytes: int = 50_000_000
    """Larger files are not opened."""
    max_aspect_ratio: float = 3.0
    """Longer side over shorter side."""
    max_caption_length: int = 2_000
    """Characters; longer captions are cut, and the row says so."""
    max_raw_caption_length: int = 100_000
    """Characters; with more than this it is no caption, and the row is quarantined."""
    animated: Literal["quarantine", "first_frame"] = "quarantine"
    """A first frame is often blank or a title, so animations are not images by default."""
    max_watermark: float = 0.8
    """``pwatermark`` of the table above which a row is quarantined, where there is one."""
    max_unsafe: float = 0.5
    """``punsafe`` of the table above which a row is quarantined, where there is one."""
    allowed_nsfw: tuple[str, ...] = ("UNLIKELY",)
    """Values of the table's NSFW column (LAION-400M: UNLIKELY, UNSURE, NSFW) that a row may have,
    beside those that say no; a number is compared with ``max_unsafe``."""
    min_similarity: float = 0.0
    """CLIP similarity of the table below which a row is quarantined, where there is one."""
    allowed_licenses: tuple[str, ...] = ()
    """Licenses a row may have, where the table names one; empty: any."""
    reject_quality: tuple[Literal["blurry", "dark", "light", "low_information"], ...] = ()
    """Quality flags that quarantine an image; all are recorded in any case. Empty: scoring
    decides, which also knows a dark image that is meant to be dark."""
    near_duplicate_bits: int = 2
    """Hamming distance of two 64-bit perceptual hashes up to which images are near duplicates;
    -1: off."""
    near_duplicate_difference: float = 4.0
    """Mean grey level difference (0 to 255, on 16x16 thumbnails) that near duplicates may have
    besides; perceptual hashes alone take two similar boots for one."""
    near_duplicate_cosine: float = 0.0
    """Cosine of the scorer's features from which two images are near duplicates; 0: off. Costs
    pool x kept images once, so leave it off above some 100,000; 0.98 is usual for CLIP, a small
    scorer calls different images alike."""
    feature_shard: int = 10_000
    """Images a shard of the features: a step of its own, and on Kubernetes a pod. A killed run
    goes on behind its finished shards."""
    decode_timeout: float = 20.0
    """Seconds an image may take to decode."""
    decode_memory: int = 2_000_000_000
    """Bytes of address space that decoding may take on top of the libraries."""
    workers: int = 0
    """Decoding processes; 0: one a core."""
    read_threads: int = 8
    """Files, objects or shard members read at once, beside decoding."""
    min_accepted: int = 1
    """Accepted images below which the run stops."""
    max_quarantined_share: float = 0.9
    """Quarantined share above which the run stops: a pool like that is a mistake."""
    drift: Literal["off", "warn", "stop"] = "warn"
    """What a drift against the last ingested version of the pool does."""
    max_drift: float = 0.5
    """Relative change of the mean width, height, file size, caption length and of the
    accepted share, above which the pool has drifted."""
    s3_endpoint: str | None = None
    """Endpoint of an S3-compatible store; none: AWS, or ``AWS_ENDPOINT_URL``."""
    fetch: FetchSettings = field(default_factory=FetchSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "max_inputs", "min_side", "max_pixels", "max_bytes", "max_aspect_ratio")
        self._at_least(1, "max_caption_length", "max_raw_caption_length", "feature_shard")
        self._at_least(1, "decode_memory", "read_threads")
        self._at_least(0, "max_watermark", "max_unsafe", "near_duplicate_difference")
        self._at_least(0, "workers", "min_accepted", "max_drift")
        self._above_zero("decode_timeout")
        self._within(-1, 16, "bits", "near_duplicate_bits")
        self._within(-1, 1, "a cosine", "min_similarity")
        self._within(0, 1, "a cosine", "near_duplicate_cosine")
        self._within(0, 1, "a share", "max_quarantined_share")
