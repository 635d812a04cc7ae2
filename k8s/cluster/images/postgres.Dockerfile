# Debian's PostgreSQL, told by the same variables as the official image.
FROM coti-base
RUN groupadd --system --gid 999 postgres && useradd --system --uid 999 --gid 999 --home /var/lib/postgresql postgres \
    && apt-get update -q && apt-get install -q -y --no-install-recommends postgresql-15 && rm -rf /var/lib/apt/lists/*
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
COPY postgres_start.sh /usr/local/bin/
USER 999:999
ENTRYPOINT ["sh", "/usr/local/bin/postgres_start.sh"]
