"""A table of URLs, fetched: addresses, robots, retries."""
