"""SQLConnection, on PostgreSQL and MariaDB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.servers.programs import free_port
from tests.servers.sql_servers import PASSWORD, USER, MariaDbServer, PostgresServer
from trimtab.engine.calls import Call
from trimtab.testing.scripts import Handled, ScriptRunner

Database = PostgresServer | MariaDbServer

SETTINGS = {"lofka": {"sink": "out", "timeout": "10s"}}


def setting(database: Database) -> str:
    """The setting of a connection, as JavaScript writes it; the driver is named and does not matter."""
    drivers = {PostgresServer: "org.postgresql.Driver", MariaDbServer: "com.mysql.jdbc.Driver"}
    values = {"uri": database.jdbc_url, "user": USER, "password": PASSWORD, "driver": drivers[type(database)]}
    return json.dumps({**values, "maxactive": "2", "validation_sql": "select 1"})


def run(connection: str, code: str, **options: Any) -> Handled:
    """Run code with ``conn`` in it, which returns something."""
    source = f"""
var conn = new SQLConnection({connection});
function processing_data(text) {{ return JSON.stringify((function () {{ {code} }})()); }}
function close() {{ conn.close(); }}"""
    with ScriptRunner(settings=SETTINGS, **options) as runner:
        runner.load(a__js=source)
        handled = runner.handle(1)
        assert runner.close() == []
        return handled


def result(connection: str, code: str, **options: Any) -> Any:
    """What the code returns."""
    handled = run(connection, code, **options)
    assert handled.faults == []
    return json.loads(handled.emitted[0])


@pytest.fixture(params=["postgres", "mariadb"])
def database(request: pytest.FixtureRequest) -> Database:
    """Each of the databases."""
    found: Database = request.getfixturevalue(request.param)
    return found


def test_a_query_returns_rows_of_texts_and_what_there_is_of_them(database: Database, name: str) -> None:
    database.run(
        f"create table {name} (id bigint, at timestamp(0) null, price decimal(10, 2), note varchar(20))",
        f"insert into {name} values (4942200360503908, '2018-11-28 00:00:09', 12.50, null), (2, null, 0, 'x?y :z %s')",
    )
    sql = f"SELECT id AS vehicle, at AS gt, price, note FROM {name} WHERE note IS NULL OR note = 'x?y :z %s' ORDER BY price DESC"
    assert result(setting(database), f'return conn.query("{sql}")') == {
        "result": [
            {"vehicle": "4942200360503908", "gt": "2018-11-28 00:00:09", "price": "12.50", "note": None},
            {"vehicle": "2", "gt": None, "price": "0.00", "note": "x?y :z %s"},
        ],
        "sql": sql,
        "columns": ["vehicle", "gt", "price", "note"],
        "cols": 4,
        "rows": 2,
    }


def test_values_of_postgresql_are_what_its_jdbc_driver_shows(postgres: PostgresServer) -> None:
    columns = {
        "true": "t",
        "false": "f",
        "1.5::float8": "1.5",
        "date '2018-11-28'": "2018-11-28",
        "time '07:05:00.25'": "07:05:00.25",
        "timestamp '2018-11-28 00:00:09.120'": "2018-11-28 00:00:09.12",
        "interval '1 day 2 hours'": "1 day 02:00:00",
        "array[1, 2]": "{1,2}",
        """'{"a":  1}'::json""": '{"a":  1}',
        "'\\xff00'::bytea": "\\xff00",
        "1e30::numeric": "1" + "0" * 30,
    }
    sql = "select " + ", ".join(f"{value} as c{number}" for number, value in enumerate(columns))
    (row,) = result(setting(postgres), f"return conn.query({json.dumps(sql)}).result")
    assert list(row.values()) == list(columns.values())


def test_values_of_mysql_are_what_its_jdbc_driver_shows(mariadb: MariaDbServer, name: str) -> None:
    mariadb.run(
        f"create table {name} (b bit(1), t tinyint(1), d double, h time, y date, s datetime(3), x blob, j json)",
        f"""insert into {name} values (b'1', 1, 1.5, '30:01:02', '2018-11-28', '2018-11-28 00:00:09.120', 'blob', '{{"a": 1}}')""",
    )
    (row,) = result(setting(mariadb), f'return conn.query("select * from {name}").result')
    texts = ["1", "1", "1.5", "30:01:02", "2018-11-28", "2018-11-28 00:00:09.12", "blob", '{"a": 1}']
    assert list(row.values()) == texts


def test_exec_runs_a_statement_that_is_committed_at_once(database: Database, name: str) -> None:
    database.run(f"create table {name} (id int)")
    code = f'return [conn.exec("insert into {name} values (1), (2)"), conn.exec("select 1"), conn.query("select id from {name}").rows]'
    assert result(setting(database), code) == [None, None, 2]
    assert database.run(f"select count(*) from {name}") == "2"


def test_a_query_without_rows_has_its_columns(database: Database) -> None:
    answer = result(setting(database), 'return conn.query("select 1 as one from (select 2 as two) t where two = 1")')
    assert (answer["result"], answer["columns"], answer["rows"]) == ([], ["one"], 0)


def test_a_query_of_what_returns_nothing_is_an_error(database: Database, name: str) -> None:
    code = f'try {{ conn.query("create table {name} (id int)") }} catch (e) {{ return [e.name, e.message] }}'
    kind, message = result(setting(database), code)
    assert kind == "SqlError"
    assert "use exec" in message


def test_an_error_of_the_database_can_be_caught_and_the_connection_goes_on(database: Database) -> None:
    code = """
var seen = [];
try { conn.query("select nonsense from nowhere") } catch (e) { seen.push(e.name, typeof e.code) }
return seen.concat(conn.query("select 1 as one").result[0].one);"""
    assert result(setting(database), code) in (["SqlError", "string", "1"], ["SqlError", "number", "1"])


def test_a_database_that_is_not_there_fails_the_event_and_not_the_script() -> None:
    nowhere = json.dumps({"uri": f"jdbc:postgresql://127.0.0.1:{free_port()}/x", "user": "u", "password": "s3cr3t"})
    (fault,) = run(nowhere, 'return conn.query("select 1")').faults
    assert fault.name == "ConnectionError"
    assert "s3cr3t" not in fault.message


def test_an_sqlite_file_will_do(tmp_path: Path) -> None:
    connection = json.dumps({"uri": f"jdbc:sqlite:{tmp_path}/x.db", "driver": "org.sqlite.JDBC"})
    code = """
conn.exec("create table t (a integer, b real, c text)"); conn.exec("insert into t values (1, 2.5, null)");
return conn.query("select * from t").result[0];"""
    assert result(connection, code) == {"a": "1", "b": "2.5", "c": None}


def test_rehearsed_statements_reach_no_database() -> None:
    calls: list[Call] = []
    nowhere = json.dumps({"uri": f"jdbc:postgresql://127.0.0.1:{free_port()}/x"})
    code = 'conn.exec("delete from t"); return conn.query("select 1 as one")'
    answer = result(nowhere, code, rehearsed=calls)
    assert answer == {"result": [], "sql": "select 1 as one", "columns": [], "cols": 0, "rows": 0}
    assert [(call.method, call.arguments) for call in calls] == [
        ("exec", ("delete from t",)),
        ("query", ("select 1 as one",)),
    ]


def test_a_statement_that_the_time_limit_cuts_off_does_not_answer_the_next_one(postgres: PostgresServer) -> None:
    source = f"""
var conn = new SQLConnection({setting(postgres)});
conn.query("select 1");
function processing_data(text) {{
  return conn.query(text === "1" ? "select pg_sleep(5)::text as s" : "select 'right' as s").result[0].s;
}}"""
    with ScriptRunner(settings={"lofka": {"sink": "out", "timeout": "500ms"}}) as runner:
        runner.load(a__js=source)
        handled = runner.handle(1, 2)
        assert (len(handled.faults), handled.emitted) == (1, ["right"])


def test_calls_are_counted_together_whatever_the_address(postgres: PostgresServer) -> None:
    (count,) = run(setting(postgres), 'return conn.query("select 1 as one").rows').calls
    assert (count.resource, count.calls) == ("lofka.sql", 1)
