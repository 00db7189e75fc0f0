# SPDX-License-Identifier: Apache-2.0
"""The picture of an outage."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from bench.picture import Panel, bins, draw
from faults.openloop import Sample

SAMPLES = [Sample(10.0 + n / 100, 0.001, "timeout" if 20 <= n < 40 else "") for n in range(100)]
PANEL = Panel("host gone <b>", SAMPLES, since=10.2, rate=100.0)


def test_requests_are_where_they_were_due() -> None:
    found = bins(PANEL, before=0.2, after=0.8)
    assert len(found) == 50
    assert sum(good for good, _ in found) == 80
    assert sum(lost for _, lost in found) == 20
    assert all(not lost for _, lost in found[:9] + found[21:])


def test_it_is_xml_with_both_colors_and_its_titles() -> None:
    root = ET.fromstring(draw("an outage", [PANEL, PANEL], before=0.2, after=0.8))
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("host gone <b>") == 2
    assert "an outage" in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 4
