"""The paper's tables with our figures beside: cells without a run say so."""

from collections.abc import Mapping, Sequence

from ipmodel.evaluation.tables import Table
from ipmodel.networks.resnet import Last2dStage
from ipmodel.paper import HMDB, TABLE2, TABLE3, TABLE4, TABLE5, TABLE6, UCF
from ipmodel.recipe import Distillation, Phase
from ipmodel.reporting.cells import I_PLAIN, IP_TSN, Fits, PaperTable, Roles, are, cells, ours
from ipmodel.reporting.entries import Entry, Role, cost_of, segments_of
from ipmodel.reporting.table1 import Bench, table1

ROWS2: dict[str, Fits] = {
    "CoViAR + MR": are("i", "mv", "r", "mr"),
    "CoViAR + DMC": are("i", "mv", "r", "dmc"),
    "CoViAR + MR w/ OF-T": are("i", "mv", "r", "mr_of_t"),
    "I + MR": I_PLAIN,
    "I + MR w/ OF-T": IP_TSN,
}
ROWS6: dict[str, Fits] = {
    "CoViAR": are("i", "mv", "r"),
    "DMC-Net": ROWS2["CoViAR + DMC"],
    "CoViAR + MR w/ OF-T, this paper": ROWS2["CoViAR + MR w/ OF-T"],
    "IP TSN, this paper": IP_TSN,
}


def all_tables(entries: Sequence[Entry], benches: Sequence[Bench]) -> list[PaperTable]:
    """Tables 1 to 6 of the paper."""
    datasets = list(dict.fromkeys(entry.dataset for entry in entries))
    return [
        table1(entries, datasets, benches),
        _accuracies("Table 2: with and without the flow teacher", TABLE2, ROWS2, entries, datasets),
        _table3(entries, datasets),
        _table4(entries, datasets),
        _table5(entries, datasets),
        _accuracies("Table 6: the state of the art at the time", TABLE6, ROWS6, entries, datasets),
    ]


def _accuracies(
    title: str,
    paper: Mapping[str, tuple[str, str]],
    fits: Mapping[str, Fits],
    entries: Sequence[Entry],
    datasets: Sequence[str],
) -> PaperTable:
    heads = ["top-1, %", f"the paper, {HMDB}", f"the paper, {UCF}", *ours(datasets)]
    rows = [[name, *figures, *cells(entries, datasets, fits.get(name))] for name, figures in paper.items()]
    return PaperTable(title=title, note="", table=Table(heads=heads, rows=rows, words=1))


def _table3(entries: Sequence[Entry], datasets: Sequence[str]) -> PaperTable:
    """IP TSN by the weights of the distillation."""

    def fits(l1: float, soft: float) -> Fits:
        def right(roles: Roles) -> bool:
            own = roles["p"].distillation if IP_TSN(roles) else None
            return own == Distillation(feature_weight=l1, soft_label_weight=soft)

        return right

    rows = [
        [str(l1), str(soft), told, *cells(entries, datasets, fits(l1, soft))] for (l1, soft), told in TABLE3.items()
    ]
    heads = ["weight of L1", "weight of soft labels", f"the paper, {HMDB}", *ours(datasets)]
    title = "Table 3: losses of distillation, top-1 of IP TSN in %"
    return PaperTable(title=title, note="", table=Table(heads=heads, rows=rows, words=0))


def _table4(entries: Sequence[Entry], datasets: Sequence[str]) -> PaperTable:
    """IP TSN by the last stage of the P-stream that is 2D. All in 2D, it is MR with the teacher."""

    def fits(stage: Last2dStage) -> Fits:
        student: Role = "mr_of_t" if stage == "conv5" else "p"
        return lambda roles: set(roles) == {"i", student} and roles[student].last_2d_stage == stage

    rows = []
    for stage, (called, told, cost) in TABLE4.items():
        student = Phase(modality="mr", last_2d_stage=stage, epochs=1, batch=1)
        cost_ours = f"{cost_of(student, size_px=224):.2f}"
        rows.append([called, told, cost, cost_ours, *cells(entries, datasets, fits(stage))])
    heads = ["inflated at", f"the paper, {HMDB} split 3", "GFLOPs, the paper", "GFLOPs, ours", *ours(datasets)]
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
        found = [text for own in (are("i"), IP_TSN) for text in cells(entries, datasets, fits(own, row))]
        rows.append([network, f"{segments}*{crops}", *TABLE5.get(row, ("-",) * 4), *found])
    heads = ["I-stream", "segments*crops", "the paper: I", "P", "videos/s", "I + P"]
    heads += [f"{name}: {what}" for what in ("I", "I + P") for name in ours(datasets)]
    title = f"Table 5: the I-stream's network, segments and crops, top-1 in %; the paper: {HMDB}"
    return PaperTable(title=title, note="", table=Table(heads=heads, rows=rows, words=2))
