"""How artifacts are stored: safetensors, Parquet and PNG; never pickle."""
