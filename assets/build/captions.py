"""Label-free rich captions for the base model, and the tokenizer that reads them.

No caption names a class. What a caption may say about an image:

* one of five supercategories, each given to a whole group of classes;
* one invented word per *view* of the image: k-means clusters, found without labels, of several
  features at several granularities (``VIEWS``);
* how it is degraded, for the degraded share of the images.

Every word is dropped at random and the order is shuffled, so that phrases of one word and of
six are equally at home, and some captions offer alternatives ("kelto or brami"), which teaches
the text encoder to stand for unions of clusters. Both make the embedding space searchable:
textual inversion then finds a place for a class that no word names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from assets.build.mess import DEGRADATIONS
from assets.build.templates import TEMPLATES
from assets.build.world import CLASS_NAMES, load_split

MAX_TOKENS = 32
"""Tokens in a prompt, start and end included; the text encoder has as many positions."""

SUPERCATEGORIES = ("top", "legs", "top", "long", "top", "foot", "top", "foot", "carrier", "foot")
"""The supercategory of each class, in label order."""

NAMED = (1.0, 1.0, 1.0, 1.0, 1.0, 0.45, 1.0, 1.0, 1.0, 0.2)
"""How often a class gets its supercategory, against what is usual, in label order.

People who write captions call some things by the group's name more readily than others: "foot" is
above all a sneaker. That makes the word skewed, as words of real models are; a fairer one can be
learned (Gal et al. 2022, section 4.6).
"""

GENERIC_NOUNS = ("item", "object", "thing", "product", "image", "article")
"""What a phrase is about when its supercategory is dropped."""

FILLER_TEXT = """
apple autumn bird blue bottle bread bridge bright brown candle castle chair city clock
cloud cold cotton desk door dog early evening family fashion field fire fish flower forest
fresh friend garden gentle glass gold grass great green happy heavy hill home honest horse
house island jacket kitchen lake leather letter light little love lunar market metal
mirror modern moon morning mountain music narrow natural night ocean office old orange
paper penguin people piano plain plastic purple quiet rain red river road round royal
rubber sand school sea shelf shoe short silk silver simple sky small snow soft spring
square star stone store street striped strong style summer sun table tall town train tree
velvet village warm water wear white wide wild wind window winter wood wool yellow young
"""
FILLERS = tuple(FILLER_TEXT.split())
"""Words that say nothing about an image: captions hold some, so unknown words are inert."""

CONCEPT_WORDS = frozenset(word for name in CLASS_NAMES for word in name.split())
"""Words that no caption may hold."""

FILLED = 0.15
"""Share of captions with a filler beside what they say."""

FILLER_ONLY = 0.06
"""Share of captions that a filler stands in alone, and that so say nothing."""

DEGRADATION_WORD_KEPT = 0.8
"""Chance that a degraded image's caption says so."""

VIEWS: tuple[tuple[str, int], ...] = (
    ("pixels", 16),
    ("pixels", 96),
    ("pixels", 384),
    ("shape", 24),
    ("shape", 128),
    ("detail", 48),
    ("detail", 192),
    ("edges", 48),
    ("edges", 192),
    ("edges", 640),
    ("front", 128),
    ("collar", 96),
)
"""(feature, number of clusters) of each cluster word. Words are numbered in this order: a new view
goes to the end, or the words of a trained model change their meaning."""


def edge_histograms(grey: npt.NDArray[np.uint8], bins: int = 8) -> npt.NDArray[np.float32]:
    """Which way edges run in each 4x4 cell (Dalal and Triggs 2005): [n, bins, 8, 8].

    Every cell holds the root of its edge strength by direction, unit length over the bins of the
    whole image's mean cell. A zip, a lapel or a button row is in here; grey levels are not.
    """
    images = grey.astype(np.float32) / 255.0
    down, across = np.gradient(images, axis=1), np.gradient(images, axis=2)
    strength = np.hypot(down, across)
    direction = (np.arctan2(down, across) % np.pi) / np.pi * bins
    lower = np.floor(direction)
    upper_share = direction - lower
    cells = np.empty((len(grey), bins, 8, 8), np.float32)
    for place in range(bins):
        weight = strength * (
            (lower % bins == place) * (1 - upper_share)
            + ((lower + 1) % bins == place) * upper_share
        )
        cells[:, place] = np.sqrt(weight.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)))
    length = np.linalg.norm(cells, axis=1, keepdims=True).mean(axis=(2, 3), keepdims=True)
    histograms: npt.NDArray[np.float32] = cells / (length + 0.02)
    return histograms


def _principal_parts(features: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """The first ``count`` principal components of [n, ...] features."""
    flat = features.reshape(len(features), -1)
    principal = PCA(count, svd_solver="randomized", random_state=0)
    parts: npt.NDArray[np.float32] = principal.fit_transform(flat).astype(np.float32)
    return parts


def view_features(grey: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """What the views cluster, from grey uint8 [n, 32, 32]; no labels are used.

    ``pixels``: the image at 8x8. ``shape``: its silhouette at 16x16. ``detail``: the image
    at 32x32 with its brightness and contrast divided out. ``edges``: the edge histograms of the
    whole image. ``front`` and ``collar``: those of its middle columns and of its upper middle.
    All but the first as principal components.
    """
    edges = edge_histograms(grey)
    images = grey.astype(np.float32) / 255.0
    blocks = images.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(-1, 64)
    silhouette = (images > 0.08).astype(np.float32)
    shape = silhouette.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4)).reshape(-1, 256)
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6
    return {
        "pixels": blocks,
        "shape": PCA(40, random_state=0).fit_transform(shape).astype(np.float32),
        "detail": PCA(40, random_state=0).fit_transform(flat).astype(np.float32),
        "edges": _principal_parts(edges, 60),
        "front": _principal_parts(edges[:, :, :, 2:6], 30),
        "collar": _principal_parts(edges[:, :, :4, 1:7], 30),
    }


def invent_words(count: int, seed: int) -> list[str]:
    """That many different invented words of two syllables, none of them or in a class name."""
    random = np.random.default_rng(seed)
    onsets, vowels, codas = list("bdfgklmnprstvz"), list("aeiou"), list("lmnrs") + [""] * 3
    taken = {*FILLERS, *GENERIC_NOUNS, *SUPERCATEGORIES, *DEGRADATIONS}
    names = "".join(CLASS_NAMES)
    words: list[str] = []
    while len(words) < count:
        parts = (onsets, vowels, codas, onsets, vowels)
        word = "".join(str(random.choice(part)) for part in parts)
        if word not in taken and word not in names:
            taken.add(word)
            words.append(word)
    return words


@dataclass(frozen=True)
class CaptionBook:
    """All that is needed to caption an image of the base split."""

    words: tuple[tuple[str, ...], ...]
    """For each view, the word of each cluster."""
    clusters: npt.NDArray[np.int16]
    """[n, views] the cluster of each image in each view."""
    neighbours: tuple[npt.NDArray[np.int16], ...]
    """For each view [clusters, 6], the nearest other clusters."""
    labels: npt.NDArray[np.int64]
    """[n] used for the supercategory only."""

    def describe(self, row: int, degradations: Sequence[str], random: np.random.Generator) -> str:
        """The phrase that stands where a template has its ``{}``."""
        if random.random() < FILLER_ONLY:
            return _filler(random)
        draw = random.random()
        views = random.permutation(len(self.words))
        label = int(self.labels[row])
        called = random.random() < NAMED[label]
        named = called and random.random() < 0.55
        if draw < 0.13:
            words, named = [], called
        elif draw < 0.30:
            words = [self._word(row, int(views[0]))]
        elif draw < 0.45:
            words = [self._alternatives(row, int(views[0]), random)]
        else:
            kept = min(len(views), 1 + int(random.geometric(0.38)))
            words = [self._word(row, int(view)) for view in views[:kept]]
        if random.random() < FILLED:
            words.append(_filler(random))
        words += [word for word in degradations if random.random() < DEGRADATION_WORD_KEPT]
        random.shuffle(words)
        if named:
            words.insert(len(words) if random.random() < 0.7 else 0, SUPERCATEGORIES[label])
        elif not words or random.random() < 0.35:
            words.append(str(random.choice(GENERIC_NOUNS)))
        return " ".join(words)

    def caption(self, row: int, degradations: Sequence[str], random: np.random.Generator) -> str:
        """A whole caption: a template around a phrase, now and then the bare phrase."""
        phrase = self.describe(row, degradations, random)
        if random.random() < 0.15:
            return phrase
        return TEMPLATES[int(random.integers(len(TEMPLATES)))].format(phrase)

    def _word(self, row: int, view: int) -> str:
        return self.words[view][int(self.clusters[row, view])]

    def _alternatives(self, row: int, view: int, random: np.random.Generator) -> str:
        """The cluster's word among one to three others, half of them neighbours."""
        own = int(self.clusters[row, view])
        choice = {own}
        for _ in range(int(random.integers(1, 4))):
            if random.random() < 0.5:
                choice.add(int(random.choice(self.neighbours[view][own])))
            else:
                choice.add(int(self.clusters[random.integers(len(self.clusters)), view]))
        order = random.permutation(sorted(choice))
        return " or ".join(self.words[view][int(cluster)] for cluster in order)


def _filler(random: np.random.Generator) -> str:
    """A word without meaning: an English one, the halves of two, or random letters.

    Halves are of the length of syllables, so that the pieces into which the tokenizer cuts a word
    that it has never seen are inert, too.
    """
    draw = random.random()
    if draw < 0.3:
        return str(random.choice(FILLERS))
    if draw < 0.75:
        first, last = (str(word) for word in random.choice(FILLERS, 2, replace=False))
        made = first[: int(random.integers(1, 5))] + last[-int(random.integers(2, 6)) :]
    else:
        letters = list("abcdefghijklmnopqrstuvwxyz")
        made = "".join(random.choice(letters, int(random.integers(3, 8))))
    return made if made not in CONCEPT_WORDS else _filler(random)


def build_caption_book(folder: Path, seed: int = 0) -> CaptionBook:
    """Cluster the base split; kept in ``captions.npz`` and read from there the next time."""
    images, labels = load_split("base")
    kept = folder / "captions.npz"
    if not kept.is_file():
        features = view_features(images)
        arrays: dict[str, npt.NDArray[np.int16]] = {}
        for view, (name, count) in enumerate(VIEWS):
            means = MiniBatchKMeans(
                count, batch_size=4096, n_init=2, max_iter=60, random_state=seed + view
            )
            arrays[f"clusters{view}"] = means.fit_predict(features[name]).astype(np.int16)
            centres = means.cluster_centers_
            apart = ((centres[:, None] - centres[None]) ** 2).sum(axis=2)
            arrays[f"neighbours{view}"] = apart.argsort(axis=1)[:, 1:7].astype(np.int16)
        beside = kept.with_name(".captions.npz")
        np.savez(beside, allow_pickle=False, **arrays)
        beside.replace(kept)
    with np.load(kept) as stored:
        clusters = np.stack([stored[f"clusters{v}"] for v in range(len(VIEWS))], axis=1)
        neighbours = tuple(stored[f"neighbours{v}"] for v in range(len(VIEWS)))
    invented = iter(invent_words(sum(count for _, count in VIEWS), seed))
    words = tuple(tuple(next(invented) for _ in range(count)) for _, count in VIEWS)
    return CaptionBook(words, clusters, neighbours, labels)


def build_tokenizer(book: CaptionBook, folder: Path) -> CLIPTokenizer:
    """Train the BPE vocabulary on the captions' words and save it as a ``CLIPTokenizer``.

    Each word of a caption becomes one token; any other text falls apart into known pieces, in
    the end into single bytes, so nothing is unknown. A tokenizer that is there already is read
    instead: its ids must not move under a text encoder that knows them.
    """
    if (folder / "tokenizer.json").is_file():
        kept: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
        return kept
    words = {word for view in book.words for word in view}
    words |= {*SUPERCATEGORIES, *GENERIC_NOUNS, *DEGRADATIONS, *FILLERS}
    words |= {word for template in TEMPLATES for word in template.replace("{}", "").split()}
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    endings = [letter + "</w>" for letter in letters]
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex(r"'s|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), behavior="removed", invert=True
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=20_000,
        min_frequency=1,
        end_of_word_suffix="</w>",
        special_tokens=[*letters, *endings],  # named here, their order is the same each time
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(words), trainer)
    stored = json.loads(tokenizer.to_str())["model"]["merges"]
    merges: list[Any] = [tuple(pair) for pair in stored]
    pieces = [*letters, *endings, *(left + right for left, right in merges)]
    pieces = [*dict.fromkeys(pieces), "<|startoftext|>", "<|endoftext|>"]
    clip = CLIPTokenizer(
        vocab={piece: place for place, piece in enumerate(pieces)},
        merges=merges,
        model_max_length=MAX_TOKENS,
    )
    clip.save_pretrained(folder)
    return clip
