# Debian's MariaDB, told by the same variables as the official image of MySQL.
FROM coti-base
RUN groupadd --system --gid 999 mysql && useradd --system --uid 999 --gid 999 --home /nonexistent mysql \
    && apt-get update -q && apt-get install -q -y --no-install-recommends mariadb-server && rm -rf /var/lib/apt/lists/* /var/lib/mysql/*
COPY mysql_start.sh /usr/local/bin/
USER 999:999
ENTRYPOINT ["sh", "/usr/local/bin/mysql_start.sh"]
