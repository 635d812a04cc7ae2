"""Which checkpoint: embeddings, LoRAs or any tool's samples, compared on equal terms."""
