"""Writes what docs/promql.md says about the comparison with Prometheus: `--check` only tells whether it is up to date.

The figures come from the corpus and the list of known differences in tests/plugins/promql_comparison; the test there
holds the list to what a real Prometheus answers.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.plugins.promql_comparison.corpus import (  # noqa: E402
    KNOWN_BY_DEFAULT,
    Mode,
    Query,
    cases,
    off_grid,
    read_known,
    read_queries,
)

PAGE = ROOT / "docs" / "promql.md"
BEGIN, END = "<!-- comparison -->", "<!-- /comparison -->"
EXAMPLES = 3

Known = Mapping[tuple[str, Mode], str]


def main(arguments: Sequence[str]) -> int:
    """Rewrite the page, or with --check say whether it is up to date."""
    page = PAGE.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        sys.stderr.write(f"{PAGE} must hold {BEGIN} and {END} once each; write them where the section belongs\n")
        return 1
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    wanted = f"{before}{BEGIN}\n{section(read_queries(), read_known(), read_known(KNOWN_BY_DEFAULT))}{END}{after}"
    if "--check" in arguments:
        if wanted != page:
            sys.stderr.write(f"{PAGE} is out of date; run python scripts/generate_promql_differences.py\n")
        return int(wanted != page)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


def section(queries: Sequence[Query], known: Known, known_by_default: Known) -> str:
    """Return the figures, tables of the differences by reason and one of the groups of queries."""
    asked = len(cases(queries))
    alike = asked - len(known)
    off = len(off_grid(queries))
    return f"""
{len(queries):,} queries are asked at a moment on the grid of the samples, where it matters at one beside it, and over a
range; {sum(query.refused for query in queries):,} of them are wrong and must be refused. Of {asked:,} answers with
`range_boundaries: prometheus2`, {alike:,} ({100 * alike / asked:.2f} %) are those of Prometheus 2.42.

{_reasons(known)}
With the default `prometheus3`, asked beside the grid, where the windows of both versions hold the same samples, {off:,}
answers are compared, and {off - len(known_by_default):,} ({100 * (1 - len(known_by_default) / off):.2f} %) are alike.

{_reasons(known_by_default)}
{_groups(queries, known)}
"""


def _reasons(known: Known) -> str:
    if not known:
        return "No difference is known.\n"
    rows = ["| difference | answers | such as |", "|---|---|---|"]
    by_reason = sorted(known.items(), key=lambda item: item[1])
    for reason, members in groupby(by_reason, key=lambda item: item[1]):
        texts = [text for (text, _), _ in members]
        examples = ", ".join(_code(text) for text in list(dict.fromkeys(texts))[:EXAMPLES])
        rows.append(f"| {reason} | {len(texts)} | {examples} |")
    return "\n".join(rows) + "\n"


def _groups(queries: Sequence[Query], known: Known) -> str:
    asked = Counter(case.query.group for case in cases(queries))
    groups = {query.text: query.group for query in queries}
    different = Counter(groups[text] for text, _ in known)
    rows = (f"| {group} | {count} | {different[group]} |" for group, count in asked.items())
    return "\n".join(["| group | answers | different |", "|---|---|---|", *rows])


def _code(text: str) -> str:
    """Return code that can stand in a cell of a table."""
    fence = "``" if "`" in text else "`"
    padding = " " if "`" in text else ""
    return f"{fence}{padding}{text}{padding}{fence}".replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
