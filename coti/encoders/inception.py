"""Inception-v3 as FID is defined on it, from torch-fidelity.

Of the two maintained libraries, torch-fidelity and clean-fid, torch-fidelity was taken: its network
and its weights reproduce the original TensorFlow graph, resizing included, so ``fid`` is the number
that the field has compared since 2017, and the weights can be given as a local file. clean-fid
mends that resizing, which makes another number under the same name, and always downloads.
"""

from __future__ import annotations

from typing import Any

import torch

from coti.core.errors import ModelError
from coti.core.extras import install_extra
from coti.core.out_of_memory import out_of_memory_at
from coti.core.weights import local_weights
from coti.encoders.image_batches import batches, looking_at
from coti.encoders.protocol import EncoderOptions

__all__ = ["InceptionEncoder"]

_LARGER = "leave out evaluation.inception, or take a larger device"


class InceptionEncoder:
    """The 2,048 features before Inception-v3's classifier, for :func:`frechet_distance`."""

    name = "inception"
    size = 2048

    def __init__(
        self, weights: str, sha256: str, *, device: str = "cpu", batch_size: int = 64
    ) -> None:
        """Load ``pt_inception-2015-12-05`` from a path, ``hf://…`` or ``s3://…``.

        The library reads it as a pickle, so its hash is always checked before.

        Raises:
            ModelError: no or other weights, or torch-fidelity is not installed.
        """
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            message = f"torch-fidelity is not installed: {install_extra('fid')}."
            raise ModelError(message) from error
        path = local_weights(weights, sha256)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.batch_size = batch_size
        try:
            network: Any = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
        except Exception as error:  # the library lets torch's exceptions through
            raise ModelError(f"{weights} holds no Inception-v3 of torch-fidelity's.") from error
        with out_of_memory_at(ModelError, "loading Inception-v3", _LARGER, network):
            self._network = network.to(self.device)

    @classmethod
    def load(cls, options: EncoderOptions) -> InceptionEncoder:
        """By ``model``, the weights, and ``sha256``."""
        if options.model is None or options.sha256 is None:
            raise ModelError("Inception-v3 needs its weights and their sha256.")
        return cls(
            options.model, options.sha256, device=options.device, batch_size=options.batch_size
        )

    @torch.inference_mode()
    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w], any size, to float32 [n, 2048] on the CPU."""
        with looking_at("Inception-v3", self.batch_size):
            parts = [
                self._network(batch.to(self.device))[0].float().cpu()
                for batch in batches(images, self.batch_size, "inception features")
            ]
        return torch.cat(parts) if parts else torch.empty(0, self.size)
