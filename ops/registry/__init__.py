"""The registry of embeddings, and the gate before its champion."""
