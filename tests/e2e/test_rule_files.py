"""Rules in the scripts folder, in a host that runs: with versions, diff, rollback and refusals as scripts have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.project import Numbers, Project, eventually, running

RULE = "alarms/big.rule.json"
CALL = "import json\nfrom trimtab import emit\n\ndef told(match, ctx):\n    emit('out', 'told')\n"


def rule(condition: str, function: str = "emit:out") -> str:
    """A rule of one stage, in one line."""
    single = {"consumingStrategy": "SKIP_TILL_NEXT", "properties": ["SINGLE"]}
    stage = {"name": "one", "type": "ATOMIC", "quantifier": single}
    stage["condition"] = {"type": "AVIATOR", "expression": condition}
    pattern = {"name": "rule", "type": "COMPOSITE", "quantifier": single, "nodes": [stage], "edges": []}
    return json.dumps(
        {
            "id": "big",
            "version": 1,
            "function": function,
            "pattern": {**pattern, "afterMatchStrategy": {"type": "NO_SKIP"}},
        }
    )


def state(project: Project, name: str = RULE) -> dict[str, Any]:
    """What the host says of a rule; empty where it has none of this name."""
    found: list[dict[str, Any]] = project.ask("/api/rules")
    return next((each for each in found if each["name"] == name), {})


def found(project: Project, least: int) -> bool:
    """Whether a match of an event with so much was emitted."""
    return any(isinstance(row, dict) and row["events"]["one"][0]["n"] >= least for row in project.emitted())


def test_a_rule_in_the_folder_is_changed_refused_rolled_back_and_deleted_as_scripts_are(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save(RULE, rule("n >= 5"))
    with running(project):
        numbers = Numbers(project)
        numbers.send_until(lambda: found(project, 5), "the rule finds something")
        project.save(RULE, rule("n >= 1000000"))
        eventually(lambda: state(project).get("seq") == 2, "the second version runs")
        lines = project.trimtab("diff", RULE).stdout.splitlines()
        assert [line.strip("+- ") for line in lines if line.startswith(("+ ", "- "))] == [
            '"expression": "n >= 5"',
            '"expression": "n >= 1000000"',
        ]
        project.save(RULE, rule("n >>> 5"))
        error = eventually(lambda: state(project)["error"], "the third version is refused")
        assert "$.pattern.nodes[0].condition" in error
        assert project.status()["rules"] == {"running": 1, "rolled_back": 0, "refused": 1, "errors": {RULE: error}}
        project.trimtab("rollback", RULE)
        assert (project.scripts / RULE).read_text() == rule("n >= 5")
        assert state(project)["state"] == "rolled-back"
        before = len(project.emitted())
        numbers.send_until(lambda: len(project.emitted()) > before, "the first version finds something again")
        history = project.history(RULE)
        assert [(each["seq"], each["active"], each["fault"] is None) for each in history["versions"]] == [
            (1, True, True),
            (2, False, True),
            (3, False, False),
        ]
        assert project.trimtab("show", RULE).stdout == rule("n >= 5")
        (project.scripts / RULE).unlink()
        eventually(lambda: not state(project), "the rule is gone")
        project.trimtab("rollback", RULE, "--to", "1")
        assert (project.scripts / RULE).exists()


def test_a_rule_and_the_script_that_it_calls_come_as_one_and_a_change_of_the_script_leaves_the_rule(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path)
    with running(project):
        project.checkout({"work.py": CALL, RULE: rule("n >= 0", "work.py:told")})
        numbers = Numbers(project)
        numbers.send_until(lambda: "told" in project.emitted(), "the script is told of a match")
        project.save("work.py", CALL.replace("'told'", "'told again'"))
        numbers.send_until(lambda: "told again" in project.emitted(), "the new script is told of a match")
        changes = [generation["changes"] for generation in project.history()["generations"]]
        assert [set(change) - {"settings"} for change in changes][:2] == [{"work.py"}, {"work.py", RULE}]


def test_a_bad_rule_refuses_the_change_set_of_its_files(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.save("work.py", CALL)
    with running(project):
        version = project.script("work.py")["version"]
        project.checkout({"work.py": CALL + "#\n", RULE: "{}", "other.rule.json": rule("n > 1")})
        eventually(lambda: state(project).get("error"), "the rule is refused")
        assert project.script("work.py")["version"] == version
        assert "saved together with" in project.script("work.py")["error"]
        assert "saved together with" in state(project, "other.rule.json")["error"]
        project.save(RULE, rule("n > 1"))
        eventually(lambda: state(project).get("state") == "active", "all run, now that the rule is good")
        assert project.script("work.py")["error"] is None
        assert state(project, "other.rule.json")["state"] == "active"
