"""Table 1 of the paper: what methods cost and reach, with ours beside."""

from collections.abc import Mapping, Sequence
from typing import Any

from ipmodel.bench.table import preprocessing_of, single_s
from ipmodel.evaluation.tables import Table
from ipmodel.paper import TABLE1, TABLE1_METHODS
from ipmodel.reporting.cells import I_OF, IP_TSN, NOT_RUN, Fits, PaperTable, are, cell
from ipmodel.reporting.entries import Entry, Role

Bench = Mapping[str, Any]  # the JSON of `ipmodel bench --out`
TIMES = ("preprocessing, ms", "spatial stream, ms", "temporal stream, ms", "total, ms", "videos/s")
MODALITY: dict[Role, str] = {"i": "i", "p": "mr", "of": "flow"}
METHODS1: dict[str, tuple[tuple[Role, ...], Fits]] = {
    "I-stream": (("i",), are("i")),
    "P-stream": (("p",), are("p")),
    "IP TSN": (("i", "p"), IP_TSN),
    "OF": (("of",), are("of")),
    "I + OF": (("i", "of"), I_OF),
}


def table1(entries: Sequence[Entry], datasets: Sequence[str], benches: Sequence[Bench]) -> PaperTable:
    """The paper's columns, then ours: times from a bench, multiply-adds and accuracies from runs."""
    heads = ["", *(f"the paper: {name}" for name in TABLE1_METHODS), *(f"ours: {name}" for name in METHODS1)]
    ours = {name: _costs(roles, entries, fits, benches) for name, (roles, fits) in METHODS1.items()}
    rows = []
    for name, figures in TABLE1.items():
        cells = [own.get(name, NOT_RUN) for own in ours.values()]
        if name not in TIMES and name != "GFLOPs":
            cells = [cell(entries, name, fits) for _, fits in METHODS1.values()]
        rows.append([name, *figures, *cells])
    for dataset in (name for name in datasets if name not in TABLE1):
        cells = [cell(entries, dataset, fits) for _, fits in METHODS1.values()]
        rows.append([dataset, *("-" for _ in TABLE1_METHODS), *cells])
    measured = "; ".join(map(_measured, benches)) or "not measured, because no bench was given"
    note = f"The paper's times are of a TITAN RTX. Ours: {measured}. GFLOPs are multiply-adds, as the paper counts."
    return PaperTable(title="Table 1: efficiency and accuracy", note=note, table=Table(heads=heads, rows=rows, words=1))


def speeds_of(entries: Sequence[Entry], benches: Sequence[Bench]) -> dict[str, float]:
    """Our videos/s, by the methods of Table 1, as far as benches tell."""
    known = {name: _costs(roles, entries, fits, benches) for name, (roles, fits) in METHODS1.items()}
    return {name: float(own["videos/s"]) for name, own in known.items() if "videos/s" in own}


def _measured(bench: Bench) -> str:
    """The machine and the networks of a bench: their times are the paper's only where the networks are."""
    networks = [
        f"{name}: ResNet-{own['depth']}, {own['frames']} frames of {own['size_px']} px"
        for name, own in bench["networks"].items()
    ]
    return f"{bench['machine']['device']}, {', '.join(networks)}"


def _costs(roles: tuple[Role, ...], entries: Sequence[Entry], fits: Fits, benches: Sequence[Bench]) -> dict[str, str]:
    """Our times and multiply-adds of a method, as far as they are known."""
    cost = next((entry.cost for entry in entries if fits(entry.roles)), None)
    known = {} if cost is None else {"GFLOPs": f"{cost:.2f}"}
    if "i" not in roles:
        known["spatial stream, ms"] = "-"
    if roles == ("i",):
        known["temporal stream, ms"] = "-"
    for bench in benches:
        by_modality = {own["modality"]: (name, own) for name, own in bench["networks"].items()}
        if not all(MODALITY[role] in by_modality for role in roles):
            continue
        networks = {role: by_modality[MODALITY[role]] for role in roles}
        times = {role: 1000 * single_s(own) for role, (_, own) in networks.items()}
        names = [name for name, _ in networks.values()]
        # The streams of a method are decoded in one pass, which a bench measures for all of its own streams.
        together = "all" if set(names) == set(bench["networks"]) else names[0] if len(names) == 1 else ""
        preprocessing_s = preprocessing_of(bench).get(together)
        for role, time_ms in times.items():
            known["spatial stream, ms" if role == "i" else "temporal stream, ms"] = f"{time_ms:.1f}"
        if preprocessing_s is not None:
            before_ms = 1000 * preprocessing_s
            total_ms = before_ms + sum(times.values())
            known |= {"preprocessing, ms": f"{before_ms:.1f}", "total, ms": f"{total_ms:.1f}"}
            known["videos/s"] = f"{1000 / total_ms:.1f}"
        known["GFLOPs"] = f"{sum(own['multiply_adds'] for _, own in networks.values()) / 1e9:.2f}"
    return known
