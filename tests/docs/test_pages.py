"""All pages: what they point at is there, and decisions have their form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.documents import GUIDES, README, ROOT, anchors, documents, links, prose, sections
from trimtab.engine.script import DEFAULT_TIMEOUT
from trimtab.plugins.folder.reading import MAX_SIZE
from trimtab.runtime.stream import LANE_MEMORY
from trimtab.runtime.supervisor import BATCH_SECONDS, MOST_BACK_OFF, MOST_EVENTS, WINDOW

DECISIONS = sorted((GUIDES / "adr").glob("*.md"))
_PATH = re.compile(r"`((?:host|plugins|sandbox|scripts|tests|benchmarks|docs)/[\w./-]*\w/?)`")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", documents(), ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


@pytest.mark.parametrize("page", documents(), ids=name)
def test_paths_that_are_named_exist(page: Path) -> None:
    for path in _PATH.findall(prose(page)):
        assert (ROOT / path).exists(), path


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [README]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            targets = ((page.parent / link.partition("#")[0]).resolve() for link in links(page))
            waiting += [target for target in targets if target.suffix == ".md"]
            if GUIDES / "adr" in ((page.parent / link).resolve() for link in links(page)):
                waiting += DECISIONS
    assert reached == set(documents())


def test_decisions_are_numbered_without_gap() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_is_one_page_with_its_parts(page: Path) -> None:
    title, *parts = sections(page)
    assert title.startswith(f"{page.name[:4]}. ")
    assert set(parts) - {"Measured"} == {"Context", "Decision", "Consequences", "Alternatives considered"}
    assert len(page.read_text().splitlines()) <= 80


def test_figures_in_the_pages_are_those_of_the_code() -> None:
    scripts, operating, batches, second_try = (
        " ".join((GUIDES / page).read_text().split())
        for page in (
            "scripts.md",
            "operating.md",
            "adr/0003-json-lines-in-batches-of-5-ms-in-a-window-of-two.md",
            "adr/0006-second-try-in-isolation.md",
        )
    )
    assert f"by default {DEFAULT_TIMEOUT:g} s" in scripts
    assert f"| memory of all scripts in a lane | {LANE_MEMORY >> 20} MiB |" in scripts
    assert f"| size of a file | {MAX_SIZE >> 20} MiB, UTF-8 |" in scripts
    assert f"plan {LANE_MEMORY >> 20} MiB a lane" in operating
    assert f"sized to take {BATCH_SECONDS * 1000:g} ms" in batches
    assert f"more than {MOST_EVENTS:,} events" in batches
    assert WINDOW == 2
    assert f"growing pauses, up to {MOST_BACK_OFF:g} s" in second_try
