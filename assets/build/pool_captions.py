"""Noisy alt texts, as a keyword search of the web finds them beside images.

Images of the concept and look-alikes get captions from one and the same source, since a
caption that told them apart would make selection a text search. Other things mention the
concept less often: they got into the pool by mistake.
"""

from __future__ import annotations

import numpy as np

from assets.build import world

ALIASES: dict[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "tee", "T-Shirt Damen", "camiseta", "tişört"),
    "trouser": ("trouser", "trousers", "Hose", "pantalon femme", "slacks"),
    "pullover": ("pullover", "sweater", "Pulli", "jersey mujer", "knit pullover"),
    "dress": ("dress", "summer dress", "Kleid", "robe longue", "vestido"),
    "coat": ("coat", "winter coat", "Mantel", "manteau", "abrigo"),
    "sandal": ("sandal", "sandals", "Sandalen", "sandalias", "flip flops"),
    "shirt": ("shirt", "shirts", "Hemd", "chemise", "camisa"),
    "sneaker": ("sneaker", "sneakers", "Turnschuhe", "baskets", "zapatillas"),
    "bag": ("bag", "handbag", "Tasche", "sac à main", "bolso"),
    "ankle boot": ("ankle boot", "ankle boots", "Stiefelette", "bottines", "botines"),
}
"""What shops call the ten classes."""

_SHOP = (
    "NEW! {Name} women size {size} free shipping",
    "{Name} black – SALE -{percent}%",
    "buy {name} online | {brand}",
    "{brand} {name} {code}",
    "{name} on white background, studio shot",
    "{Name}, genuine leather, {color}",
    "{Name} in {color} - {brand} Outlet",
    'my new "{name}"!!! love it',
    "{alias} {color} {size}",
    "{alias} günstig kaufen",
    "image of {name}",
    "{Name} ({code}.jpg)",
    "{name} {name} {name} cheap {alias}",
    "✨ {alias} ✨ {percent}% off",
    "Vintage {name}, barely worn, {color}",
    "{alias} | livraison gratuite",
    "{name}s for kids & adults",
    "stock photo: {name} isolated",
)
"""Captions that mention the concept."""

_NOISE = (
    "DSC_{number}.jpg",
    "IMG_{number}",
    "",
    "product image {percent}",
    "click to enlarge",
    "{brand} | Free returns within 30 days",
    "untitled-{percent}",
    "{code}",
    "Bild {percent} von 12",
    "related products",
    "{wrong} {color} {size}",
    "{wrong} - {brand}",
)
"""Captions that do not."""

_BRANDS = ("ShopRite", "Modena", "NORDKAP", "Bella&Co", "urbanfeet", "Zalina", "Atelier 9")
_COLORS = ("black", "grey", "weiß", "noir", "dark brown", "beige", "multicolor", "anthracite")


def alt_text(concept: str, mentions: float, rng: np.random.Generator) -> str:
    """One alt text of an image in a pool.

    Args:
        concept: name of the class that was searched for.
        mentions: chance, 0 to 1, that the caption mentions it.
        rng: where everything random comes from.
    """
    patterns = _SHOP if rng.random() < mentions else _NOISE
    pattern = patterns[int(rng.integers(len(patterns)))]
    others = [name for name in world.CLASS_NAMES if name != concept]
    alias = ALIASES[concept][int(rng.integers(len(ALIASES[concept])))]
    return pattern.format(
        name=concept,
        Name=concept.capitalize(),
        alias=alias,
        wrong=others[int(rng.integers(len(others)))],
        size=int(rng.integers(34, 47)),
        percent=int(rng.integers(1, 80)),
        number=f"{int(rng.integers(1, 9999)):04d}",
        code=f"{int(rng.integers(16**6)):06X}",
        brand=_BRANDS[int(rng.integers(len(_BRANDS)))],
        color=_COLORS[int(rng.integers(len(_COLORS)))],
    )
