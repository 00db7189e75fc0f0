# SPDX-License-Identifier: Apache-2.0
"""Write docs/reference/proven.md: which tests show what each input does, and how they went (build/input_coverage.json).

``--check`` fails when the page names other tests than the markers do, or one that did not pass; ``--tell`` prints how
much is proved by the last run, and fails when a marked test did not pass.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import input_coverage  # noqa: E402 - it is beside the tests

PAGE = ROOT / "docs" / "reference" / "proven.md"
RESULTS = ROOT / "build" / "input_coverage.json"
HEAD = """# What is proved, and by which test

Made by `make proven` from a run of the tests that carry the marker `covers`; not written by hand. An input counts as proved
where a test sees what it does: a client, a member, or a check that arrives at a member, all of them real; where an input
only tells people something, or is in force in the API alone, the API says so (tests under `unit/api`). Names are the API's.

Of {all} inputs and choices {proved} are proved, {refused} refused and shown to be refused, {exempt} exempt.

"""
NOT_RUN = "not run"


def main() -> int:
    if "--check" in sys.argv:
        return check()
    results: dict[str, str] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if "--tell" in sys.argv:
        return tell(results)
    PAGE.write_text(page(results))
    return tell(results)


def check() -> int:
    everything = {test: "passed" for tests in input_coverage.claims().values() for test in tests}
    if PAGE.exists() and PAGE.read_text() == page(everything):
        return 0
    print(f"{PAGE.name} does not name the tests that are marked, all of them passed. Try: make proven", file=sys.stderr)
    return 1


def tell(results: dict[str, str]) -> int:
    """Say how many inputs this run has proved, and name the tests that did not pass."""
    tests = {test for tests in input_coverage.claims().values() for test in tests}
    bad = sorted(test for test in tests if results.get(test, NOT_RUN) != "passed")
    proved = [name for name, claimed in input_coverage.claims().items() if not set(claimed) & set(bad)]
    print(
        f"shown by this run: {len(proved)} of {len(input_coverage.claimable())} inputs and choices "
        f"({len(input_coverage.REFUSED)} of them to be refused), {len(input_coverage.EXEMPT)} exempt"
    )
    for test in bad:
        print(f"  {results.get(test, NOT_RUN)}: tests/{test}", file=sys.stderr)
    return 1 if bad else 0


def page(results: dict[str, str]) -> str:
    refused, exempt, everything = (
        len(input_coverage.REFUSED),
        len(input_coverage.EXEMPT),
        len(input_coverage.claimable()),
    )
    proved = len(set(input_coverage.claims()) - set(input_coverage.REFUSED))
    lines = [HEAD.format(all=everything, proved=proved, refused=refused, exempt=exempt)]
    kind = ""
    for name in input_coverage.claimable():
        if name.partition(".")[0] != kind:
            kind = name.partition(".")[0]
            lines.append(
                f"{'' if len(lines) == 1 else chr(10)}## {kind}\n\n| input | shown by | result |\n|---|---|---|\n"
            )
        lines.append(row(name, results))
    return "".join(lines)


def row(name: str, results: dict[str, str]) -> str:
    what = name.partition(".")[2]
    if name in input_coverage.EXEMPT:
        return f"| `{what}` | – | exempt: {input_coverage.EXEMPT[name]} |\n"
    tests = input_coverage.claims().get(name, [])
    said = ", ".join(sorted({results.get(test, NOT_RUN) for test in tests} or {"no test"}))
    if name in input_coverage.REFUSED:
        said += f": refused, {input_coverage.REFUSED[name]}"
    return f"| `{what}` | {' · '.join(map(link, tests)) or '–'} | {said} |\n"


def link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('__', ': ').replace('_', ' ')}](../../tests/{file})"


if __name__ == "__main__":
    sys.exit(main())
