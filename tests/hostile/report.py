"""The counts of a campaign: as a table on the screen, and before and after in the docs."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from hostile.verdicts import BREACHES, REFUSED, SCORED

Counts = dict[str, Counter[str]]  # by kind, then by outcome

DOCS = Path(__file__).parents[2] / "docs"
PAGE, RECORD = DOCS / "reliability.md", DOCS / "reliability.json"
_START, _END = "<!-- counts -->", "<!-- /counts -->"
_OUTCOMES = (SCORED, REFUSED, *BREACHES)


def printed(counts: Counts) -> str:
    """The table for the screen: a line for each kind, a column for each outcome there was."""
    outcomes = [name for name in _OUTCOMES if any(counts[kind][name] for kind in counts)]
    rows = [["kind", "cases", *outcomes]]
    for kind, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        numbers = [found.total(), *(found[name] for name in outcomes)]
        rows.append([kind, *(str(number or "·") for number in numbers)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def page_with(counts: Counts, when: str) -> None:
    """Keep the counts of one state of the program and enter both into the page."""
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[when] = {kind: dict(found) for kind, found in counts.items()}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    page = PAGE.read_text()
    before, _, rest = page.partition(_START)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_START}\n\n{_table(record)}\n\n{_END}{after}")


def _table(record: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    """Counts by kind: cases, and breaches before and after."""
    old, new = record.get("before", {}), record.get("after", {})
    lines = [
        "| kind | cases | breaches before | scored, refused after | breaches after |",
        "|---|---:|---|---|---:|",
    ]
    for kind in dict.fromkeys((*new, *old)):
        lines.append(_row(f"`{kind}`", old.get(kind, {}), new.get(kind, {})))
    whole = [dict(sum(map(Counter, counts.values()), Counter[str]())) for counts in (old, new)]
    return "\n".join([*lines, _row("all", *whole)])


def _row(name: str, was: Mapping[str, int], now: Mapping[str, int]) -> str:
    breaches = ", ".join(f"{was[breach]} {breach}" for breach in BREACHES if was.get(breach)) or "0"
    kept = f"{now.get(SCORED, 0)}, {now.get(REFUSED, 0)}"
    left = str(sum(now.get(breach, 0) for breach in BREACHES))
    cases = sum((now or was).values())
    return (
        f"| {name} | {cases} | {breaches if was else '—'} | {kept if now else '—'} "
        f"| {left if now else '—'} |"
    )
