#!/bin/sh
# Makes the database once, then becomes its server.
set -eu
data=/var/lib/mysql
if [ ! -d "$data/mysql" ]; then
    umask 077
    mysql_install_db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >&2
    cat >/tmp/init.sql <<END
FLUSH PRIVILEGES;
ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\` CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$MYSQL_USER'@'%';
END
    mariadbd --no-defaults --datadir="$data" --bootstrap </tmp/init.sql
    rm /tmp/init.sql
fi
# As MySQL 8's default: names and tracebacks hold more than Latin letters.
exec mariadbd --no-defaults --datadir="$data" --character-set-server=utf8mb4 --collation-server=utf8mb4_general_ci --bind-address=0.0.0.0 --skip-name-resolve \
    --socket=/var/run/mysqld/mysqld.sock --pid-file=/var/run/mysqld/mysqld.pid --tmpdir=/tmp
