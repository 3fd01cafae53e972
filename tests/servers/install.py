"""Installs the server programs that the tests start, where that is possible: ``python -m tests.servers.install``.

Without root or apt-get it says what to type, and the tests that need the programs are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers.programs import find

PACKAGES = {
    "redis-server": "redis-server",
    "redis-sentinel": "redis-sentinel",
    "initdb": "postgresql",
    "mariadbd": "mariadb-server",
    "mariadb": "mariadb-client",
    "java": "default-jre-headless",
    "openssl": "openssl",
    "g++": "g++",  # for a few lines of C that drop the clock back; brings the headers of the system
}
"""Debian packages by a program that each has."""
ALSO_IN = ("/usr/lib/postgresql/*/bin",)
JDBC_DRIVER = Path("/usr/share/java/postgresql.jar")
JDBC_PACKAGE = "libpostgresql-jdbc-java"


def main() -> None:
    """Install what is missing, quietly, without starting the packages' own services."""
    packages = [package for name, package in PACKAGES.items() if find(name, ALSO_IN) is None]
    if not JDBC_DRIVER.exists():
        packages.append(JDBC_PACKAGE)
    if not packages:
        return
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"tests that need servers are skipped; to run them: {' '.join(install)}", file=sys.stderr)
        return
    print(f"installing {', '.join(packages)}", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            print(done.stdout.decode(errors="replace"), file=sys.stderr)


if __name__ == "__main__":
    main()
