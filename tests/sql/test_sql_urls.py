"""Addresses of databases: JDBC's and SQLAlchemy's."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.plugins.sql.urls import read_url

FOLDER = Path("/srv/app")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("jdbc:postgresql://db:5433/orders", "postgresql+psycopg://db:5433/orders"),
        ("jdbc:postgresql://db/orders?user=u&password=p%26w", "postgresql+psycopg://u:p%26w@db/orders"),
        ("jdbc:postgresql:orders", "postgresql+psycopg://localhost/orders"),
        ("jdbc:postgresql://[::1]:5433/o", "postgresql+psycopg://[::1]:5433/o"),
        ("jdbc:postgresql://db/o?ssl=true", "postgresql+psycopg://db/o?sslmode=verify-full"),
        ("jdbc:postgresql://db/o?sslmode=require&ssl=true", "postgresql+psycopg://db/o?sslmode=require"),
        ("jdbc:postgresql://db/o?currentSchema=a,b", "postgresql+psycopg://db/o?options=-csearch_path%3Da%2Cb"),
        ("jdbc:postgresql://db/o?ApplicationName=x&prepareThreshold=0", "postgresql+psycopg://db/o?application_name=x"),
        (
            "jdbc:postgresql://a:1,b/o?targetServerType=primary",
            "postgresql+psycopg:///o?host=a%3A1&host=b%3A5432&target_session_attrs=primary",
        ),
        (
            "jdbc:mysql://db:3307/orders?user=u&password=p&useSSL=false&serverTimezone=UTC",
            "mysql+pymysql://u:p@db:3307/orders",
        ),
        ("jdbc:mysql://db/o?useSSL=true", "mysql+pymysql://db/o?ssl_check_hostname=false"),
        ("jdbc:mysql://db/o?sslMode=VERIFY_IDENTITY", "mysql+pymysql://db/o?ssl_check_hostname=true"),
        ("jdbc:mariadb://db", "mariadb+pymysql://db"),
        ("jdbc:sqlite:data/orders.db", "sqlite:////srv/app/data/orders.db"),
        ("jdbc:sqlite:/var/orders.db?cache=x", "sqlite:////var/orders.db"),
        (
            "jdbc:sqlserver://db:1434;databaseName=orders;user=sa;password={a;b};encrypt=true",
            "mssql+pymssql://sa:a%3Bb@db:1434/orders",
        ),
        (r"jdbc:sqlserver://db\prod;database=orders", r"mssql+pymssql://db\prod/orders"),
        ("jdbc:oracle:thin:@db:1522:ORCL", "oracle+oracledb://db:1522/ORCL"),
        ("jdbc:oracle:thin:u/p@//db/orders.local", "oracle+oracledb://u:p@db:1521?service_name=orders.local"),
        ("postgresql://u:p@db/orders", "postgresql+psycopg://u:p@db/orders"),
        ("postgres://db/orders", "postgresql+psycopg://db/orders"),
        ("postgresql+pg8000://db/orders", "postgresql+pg8000://db/orders"),
        ("mysql://db/orders", "mysql+pymysql://db/orders"),
        ("mariadb://db/orders", "mariadb+pymysql://db/orders"),
        ("sqlite:///orders.db", "sqlite:////srv/app/orders.db"),
        ("sqlite:////var/orders.db", "sqlite:////var/orders.db"),
        ("duckdb:///orders.duck", "duckdb:///orders.duck"),
    ],
)
def test_an_address_is_understood(given: str, meant: str) -> None:
    assert read_url(given, FOLDER).render_as_string(hide_password=False) == meant


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("jdbc:db2://db/o", "expected a JDBC URL of mariadb, mysql"),
        ("jdbc:mysql:loadbalance://a,b/o", "expected jdbc:mysql://HOST"),
        ("jdbc:mysql://a,b/o", "with one host, got 2 hosts"),
        ("jdbc:oracle:thin:@(DESCRIPTION=(secret))", "expected jdbc:oracle:thin:@HOST:PORT:SID"),
        ("jdbc:oracle:oci:@orcl", "expected jdbc:oracle:thin"),
        ("jdbc:sqlserver:secret", "expected jdbc:sqlserver"),
        ("jdbc:postgresql://db:secret/o", "expected jdbc:postgresql://HOST"),
        ("jdbc:sqlite::memory:", "expected the path of a file"),
        ("sqlite://", "expected the path of a file"),
        ("secret", "expected an address such as"),
        ("postgresql://u:secret@db:port/o", "expected an address such as"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_without_being_shown(given: str, message: str) -> None:
    with pytest.raises(ValueError, match="expected") as refusal:
        read_url(given, FOLDER)
    assert message in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_user_and_password_come_before_those_of_the_address() -> None:
    url = read_url("jdbc:postgresql://db/o?user=a&password=b", FOLDER, "c", "d")
    assert (url.username, url.password) == ("c", "d")
