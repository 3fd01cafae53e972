"""Lofka scripts in a running host: saved, replaced, refused, rolled back like all others."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.project import Numbers, Project, eventually, running
from tests.lofka.lofka_http import EchoServer
from tests.servers.programs import free_port
from tests.servers.redis_servers import RedisServer

SETTINGS = '[settings.lofka]\nsink = "out"\n'


def script(redis: str, version: str) -> str:
    """A script that returns its version and the number of the event, and counts in Redis."""
    return f"""
var redis = null;
function open() {{ redis = new RedisCluster(["{redis}"]); }}
function close() {{ redis.set("closed", "{version}"); redis.close(); }}
function processing_data(text) {{
  var n = JSON.parse(text).n;
  if (n === 3) throw new Error("three");
  redis.get_connection().rpush("seen", n);
  return "{version} " + n;
}}"""


def test_a_lofka_script_is_replaced_and_rolled_back_without_losing_an_event(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    project = Project(tmp_path, lanes=1, extra=SETTINGS)
    first, second = script(redis_server.address, "v1"), script(redis_server.address, "v2")
    project.save("lofka.js", first)
    with running(project):
        numbers = Numbers(project)
        numbers.send(10)
        eventually(lambda: len(project.emitted()) == 9, "all but one come out")
        (letter,) = project.letters()
        assert (letter["script"], letter["fault"]["message"], letter["fault"]["line"]) == ("lofka.js", "three", 7)

        project.save("lofka.js", second)
        numbers.send_until(lambda: any(text.startswith("v2") for text in project.emitted()), "v2 runs")
        assert redis_server.ask("GET", "closed") == "v1"

        project.save("lofka.js", script(f"127.0.0.1:{free_port()}", "v3"))
        eventually(lambda: project.script("lofka.js").get("error"), "the unreachable Redis is refused")
        assert "lofka.js:3" in project.script("lofka.js")["error"]

        project.trimtab("rollback", "lofka.js", "--to", "1")
        numbers.send_until(lambda: project.emitted()[-1].startswith("v1"), "v1 runs again")
        eventually(lambda: len(project.emitted()) == numbers.sent - 1, "everything comes out")
        assert [int(text.split()[1]) for text in project.emitted()] == [n for n in range(numbers.sent) if n != 3]
        assert [int(n) for n in redis_server.ask("LRANGE", "seen", 0, -1)] == [n for n in range(numbers.sent) if n != 3]


def test_trimtab_try_rehearses_a_lofka_script(tmp_path: Path, http_server: EchoServer) -> None:
    project = Project(tmp_path, extra=SETTINGS)
    project.save(
        "lofka.js",
        f"""
var redis = new RedisCluster(["127.0.0.1:{free_port()}"]);
function processing_data(text) {{
  $.post("{http_server.url}/send", {{to: text}}, function () {{}});
  return String(redis.get("k"));
}}""",
    )
    project.send({"n": 1})
    done = project.trimtab("try", str(project.scripts / "lofka.js"), "--events", str(project.events))
    assert '"sink":"out","value":"null"' in done.stdout
    assert http_server.asked == []
