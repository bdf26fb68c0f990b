"""The page of advice: the recommendation, plots of recall and MAP against bytes, and the table of all measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gannet.evaluation.advice import Advice, Candidate
from gannet.pages.charts import Chart, Series, line_chart
from gannet.pages.rendering import render


def advice_page(advice: Advice, source: str, command: str) -> str:
    """Return the HTML page of advice, which loads no other files.

    ``source`` is the name of the source, ``command`` the command that is recommended.
    """
    codes = [each for each in advice.candidates if not each.keeps_floats]
    reranked = [each for each in advice.candidates if each.order == "rerank"]
    recall = "share of the 10 nearest in the best 100"
    floats = next(each for each in advice.candidates if each.order == "cosine")
    return render(
        "advice.html",
        tiny=False,
        source=source,
        advice=advice,
        command=command,
        labeled=floats.map is not None,
        codes_chart=_chart(codes, lambda each: each.recall_at_10_in_100, recall),
        reranked_chart=_chart(reranked, lambda each: each.recall_at_10_in_100, recall),
        map_chart=None
        if floats.map is None
        else _chart(codes, lambda each: each.map or 0.0, "MAP of the first 1,000", floats.map),
    )


def _chart(
    candidates: Sequence[Candidate], value: Callable[[Candidate], float], label: str, of_floats: float | None = None
) -> Chart:
    """Return the chart of a figure against the bytes of a code, on a logarithmic scale; one color per method."""
    methods = list(dict.fromkeys(each.method for each in candidates))
    series = []
    for style, method in enumerate(methods):
        for order in dict.fromkeys(each.order for each in candidates if each.method == method):
            of_series = [each for each in candidates if (each.method, each.order) == (method, order)]
            points = [(math.log2(each.code_bytes), value(each)) for each in of_series]
            named = order in ("hamming", "asymmetric")
            name = f"{method}, {order}" if named else method
            series.append(Series(name, points, style, dashed=order == "hamming"))
    sizes = [each.code_bytes for each in candidates]
    ends = math.floor(math.log2(min(sizes))), math.ceil(math.log2(max(sizes)))
    if of_floats is not None:
        series.append(Series("float cosine", [(float(x), of_floats) for x in ends], None, dashed=True, marked=False))
    ticks = [(float(power), str(2**power)) for power in range(ends[0], ends[1] + 1)]
    return line_chart(
        series,
        f"{label} against bytes; the table below has the same figures",
        "bytes of a code",
        label,
        ticks,
        named=False,
    )
