"""Which runs fill a cell of the paper's tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ipmodel.evaluation.tables import Table
from ipmodel.recipe import Phase
from ipmodel.reporting.entries import Entry, Role

NOT_RUN = "not run"
Roles = Mapping[Role, Phase]
Fits = Callable[[Roles], bool]


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of the report."""

    title: str
    note: str
    table: Table


def are(*roles: Role) -> Fits:
    """Fits what consists of exactly these roles."""
    return lambda own: set(own) == set(roles)


IP_TSN, I_OF, I_PLAIN = are("i", "p"), are("i", "of"), are("i", "p_plain")


def cell(entries: Sequence[Entry], dataset: str, fits: Fits) -> str:
    """What runs have for a cell: top-1, and the variant where there are several."""
    found = [entry for entry in entries if entry.dataset == dataset and fits(entry.roles)]
    if len(found) == 1:
        return found[0].told
    return "; ".join(f"{entry.variant.name}, {entry.name}: {entry.told}" for entry in found) or NOT_RUN


def ours(datasets: Sequence[str]) -> list[str]:
    """The heads of our columns: one for each dataset of the runs."""
    return [f"ours, {dataset}" for dataset in datasets] or ["ours"]


def cells(entries: Sequence[Entry], datasets: Sequence[str], fits: Fits | None) -> list[str]:
    """Our cells of a row. fits: None for a row that no run can fill."""
    if fits is None:
        return ["-"] * max(len(datasets), 1)
    return [cell(entries, dataset, fits) for dataset in datasets] or [NOT_RUN]
