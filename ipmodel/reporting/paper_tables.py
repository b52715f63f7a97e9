"""The paper's tables with our figures beside: cells without a run say so."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipmodel.evaluation.tables import Table
from ipmodel.networks.resnet import Stage
from ipmodel.recipe import Phase
from ipmodel.reporting.entries import Entry, Role, cost_of, segments_of
from ipmodel.reporting.paper import (
    HMDB,
    TABLE1,
    TABLE1_METHODS,
    TABLE2,
    TABLE3,
    TABLE4,
    TABLE5,
    TABLE6,
    UCF,
)

NOT_RUN = "not run"
Roles = Mapping[Role, Phase]
Fits = Callable[[Roles], bool]
Bench = Mapping[str, Any]  # the JSON of `ipmodel bench --out`


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of the report."""

    title: str
    note: str
    table: Table


def all_tables(entries: Sequence[Entry], benches: Sequence[Bench]) -> list[PaperTable]:
    """Tables 1 to 6 of the paper."""
    datasets = list(dict.fromkeys(entry.dataset for entry in entries))
    return [
        _table1(entries, datasets, benches),
        _accuracies("Table 2: with and without the flow teacher", TABLE2, ROWS2, entries, datasets),
        _table3(entries, datasets),
        _table4(entries, datasets),
        _table5(entries, datasets),
        _accuracies("Table 6: the state of the art at the time", TABLE6, ROWS6, entries, datasets),
    ]


def _are(*roles: Role) -> Fits:
    return lambda own: set(own) == set(roles)


IP_TSN, I_OF, I_PLAIN = _are("i", "p"), _are("i", "of"), _are("i", "p_plain")
METHODS1: dict[str, tuple[tuple[Role, ...], Fits]] = {
    "I-stream": (("i",), _are("i")),
    "P-stream": (("p",), _are("p")),
    "IP TSN": (("i", "p"), IP_TSN),
    "OF": (("of",), _are("of")),
    "I + OF": (("i", "of"), I_OF),
}
ROWS2: dict[str, Fits] = {
    "CoViAR + MR": _are("i", "mv", "r", "mr"),
    "CoViAR + MR w/ OF-T": _are("i", "mv", "r", "mr_of_t"),
    "I + MR": I_PLAIN,
    "I + MR w/ OF-T": IP_TSN,
}
ROWS6: dict[str, Fits] = {"CoViAR + MR w/ OF-T, this paper": ROWS2["CoViAR + MR w/ OF-T"], "IP TSN, this paper": IP_TSN}


def cell(entries: Sequence[Entry], dataset: str, fits: Fits) -> str:
    """What runs have for a cell: top-1, and the variant where there are several."""
    found = [entry for entry in entries if entry.dataset == dataset and fits(entry.roles)]
    if len(found) == 1:
        return found[0].told
    return "; ".join(f"{entry.variant.name}, {entry.name}: {entry.told}" for entry in found) or NOT_RUN


def _ours(datasets: Sequence[str]) -> list[str]:
    return [f"ours, {dataset}" for dataset in datasets] or ["ours"]


def _cells(entries: Sequence[Entry], datasets: Sequence[str], fits: Fits | None) -> list[str]:
    if fits is None:
        return ["-"] * max(len(datasets), 1)
    return [cell(entries, dataset, fits) for dataset in datasets] or [NOT_RUN]


def _accuracies(
    title: str,
    paper: Mapping[str, tuple[str, str]],
    fits: Mapping[str, Fits],
    entries: Sequence[Entry],
    datasets: Sequence[str],
) -> PaperTable:
    heads = ["top-1, %", f"the paper, {HMDB}", f"the paper, {UCF}", *_ours(datasets)]
    rows = [[name, *figures, *_cells(entries, datasets, fits.get(name))] for name, figures in paper.items()]
    return PaperTable(title=title, note="", table=Table(heads=heads, rows=rows, words=1))


def _table1(entries: Sequence[Entry], datasets: Sequence[str], benches: Sequence[Bench]) -> PaperTable:
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


TIMES = ("preprocessing, ms", "spatial stream, ms", "temporal stream, ms", "total, ms", "videos/s")
MODALITY: dict[Role, str] = {"i": "i", "p": "mr", "of": "flow"}


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
        times = {role: _least_ms(own) for role, (_, own) in networks.items()}
        measured = bench["preprocessing_s"].get("video", bench["preprocessing_s"]["columns"])
        preprocessing = [measured.get(name) for name, _ in networks.values()]
        for role, time_ms in times.items():
            known["spatial stream, ms" if role == "i" else "temporal stream, ms"] = f"{time_ms:.1f}"
        if all(seconds is not None for seconds in preprocessing):
            before_ms = 1000 * sum(preprocessing)
            total_ms = before_ms + sum(times.values())
            known |= {"preprocessing, ms": f"{before_ms:.1f}", "total, ms": f"{total_ms:.1f}"}
            known["videos/s"] = f"{1000 / total_ms:.1f}"
        known["GFLOPs"] = f"{sum(own['multiply_adds'] for _, own in networks.values()) / 1e9:.2f}"
    return known


def _least_ms(network: Mapping[str, Any]) -> float:
    return 1000 * min(float(by_size["1"]) for by_size in network["seconds"].values())


def _table3(entries: Sequence[Entry], datasets: Sequence[str]) -> PaperTable:
    """IP TSN by the weights of the distillation."""

    def fits(l1: float, soft: float) -> Fits:
        def right(roles: Roles) -> bool:
            weights = roles["p"].distillation if IP_TSN(roles) else None
            return weights is not None and (weights.feature_weight, weights.soft_label_weight) == (l1, soft)

        return right

    rows = [
        [str(l1), str(soft), told, *_cells(entries, datasets, fits(l1, soft))] for (l1, soft), told in TABLE3.items()
    ]
    heads = ["weight of L1", "weight of soft labels", f"the paper, {HMDB}", *_ours(datasets)]
    title = "Table 3: losses of distillation, top-1 of IP TSN in %"
    return PaperTable(title=title, note="", table=Table(heads=heads, rows=rows, words=0))


def _table4(entries: Sequence[Entry], datasets: Sequence[str]) -> PaperTable:
    """IP TSN by the last stage of the P-stream that is 2D. All in 2D, it is MR with the teacher."""

    def fits(stage: Stage) -> Fits:
        student: Role = "mr_of_t" if stage == "conv5" else "p"
        return lambda roles: set(roles) == {"i", student} and roles[student].last_2d_stage == stage

    rows = []
    for stage, (told, cost) in TABLE4.items():
        student = Phase(modality="mr", last_2d_stage=stage, epochs=1, batch=1)
        ours = f"{cost_of(student, size_px=224):.2f}"
        rows.append([f"{stage}.x", told, cost, ours, *_cells(entries, datasets, fits(stage))])
    heads = ["2D through", f"the paper, {HMDB} split 3", "GFLOPs, the paper", "GFLOPs, ours", *_ours(datasets)]
    title = "Table 4: where the P-stream is inflated, top-1 of IP TSN in %"
    return PaperTable(
        title=title, note="Our GFLOPs are of 16 frames of 224 px.", table=Table(heads=heads, rows=rows, words=1)
    )


def _row_of(i: Phase) -> tuple[str, int, int]:
    """An I-stream as Table 5 names it: network, segments, crops."""
    return f"{'2D-3D ' if i.last_2d_stage != 'conv5' else ''}ResNet-{i.depth}", segments_of(i), i.test_crops


def _table5(entries: Sequence[Entry], datasets: Sequence[str]) -> PaperTable:
    """The I-stream's network, segments and crops."""

    def fits(taking_part: Fits, row: tuple[str, int, int]) -> Fits:
        def right(roles: Roles) -> bool:
            return taking_part(roles) and _row_of(roles["i"]) == row

        return right

    rows = []
    own_rows = [_row_of(entry.roles["i"]) for entry in entries if "i" in entry.roles]
    for row in dict.fromkeys([*TABLE5, *own_rows]):
        network, segments, crops = row
        ours = [text for own in (_are("i"), IP_TSN) for text in _cells(entries, datasets, fits(own, row))]
        rows.append([network, f"{segments}*{crops}", *TABLE5.get(row, ("-",) * 4), *ours])
    heads = ["I-stream", "segments*crops", "the paper: I", "P", "videos/s", "I + P"]
    heads += [f"{name}: {what}" for what in ("I", "I + P") for name in _ours(datasets)]
    title = f"Table 5: the I-stream's network, segments and crops, top-1 in %; the paper: {HMDB}"
    return PaperTable(title=title, note="", table=Table(heads=heads, rows=rows, words=2))
