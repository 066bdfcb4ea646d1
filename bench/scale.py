"""What a cluster costs as its remote nodes become many: the scale scenario, once for each number.

Each number's row has the smallest one's as its baseline: the ratio is the growth. What was measured
is kept where `lab up scale` keeps it too, for the plots of reports.
"""

from __future__ import annotations

from dataclasses import asdict

from bench import labs
from bench.rows import Options, Row, Say
from lab import growth, scenario
from lab.report.growth import MEASURES

COUNTS = (4, 16, 64)
QUICK = (4,)


def run(options: Options, say: Say) -> list[Row]:
    """One lab after the other, from few remote nodes to many."""
    points: list[growth.Point] = []
    for count in sorted(options.counts or (QUICK if options.quick else COUNTS)):
        with labs.fresh(f"scale-{count}", scenario.find("scale"), count) as lab:
            lab.up(say)
            labs.run(lab, labs.sections(lab), say)
            point = next(one for one in growth.load() if one.nodes == count)
            say(f"{count} remotes: {point.text}")
            points.append(point)
            growth.add(point, options.state)
    return [
        Row(
            "scale" if (measure, point) == (MEASURES[0], points[0]) else "",
            f"{point.nodes} remotes: {measure.title} (baseline: {points[0].nodes})",
            measure.value(point),
            unit=measure.unit,
            baseline=measure.value(points[0]),
            details=asdict(point),
        )
        for measure in MEASURES
        for point in points
    ]
