"""The work that is left is decided by content, for each video and column."""

from dataclasses import replace
from pathlib import Path

from msgspec.structs import replace as changed

from ipdata.datasets.base import Video
from ipdata.steps.output import Output
from ipdata.steps.plan import ShardPlan
from ipdata.steps.receipt import Receipt, work_left
from shards.failures import Failure

ALL = ("mv", "residual", "flow")


def plan_of(*keys: str) -> ShardPlan:
    videos = {
        key: Video(name=f"{key}.avi", source=Path(key), class_name="any", class_id=0, subsets={"split1": "train"})
        for key in keys
    }
    return ShardPlan(shard="00000", videos=videos, subsets={"split1": "train"})


SHARD = plan_of("a-00000000", "b-00000000", "c-00000000")
SOURCES = {"a-00000000": "1" * 64, "b-00000000": "2" * 64, "c-00000000": "3" * 64}
RECEIPT = Receipt(plan_sha256=SHARD.sha256, columns=list(ALL), sources=SOURCES, info=None, failed=[])


def test_a_receipt_that_holds_leaves_nothing() -> None:
    assert work_left(SHARD, RECEIPT, ALL, SOURCES) == {}


def test_no_receipt_or_another_plan_leaves_everything() -> None:
    everything = dict.fromkeys(SHARD.videos, ALL)
    assert work_left(SHARD, None, ALL, SOURCES) == everything
    assert work_left(SHARD, changed(RECEIPT, plan_sha256="0" * 64), ALL, SOURCES) == everything


def test_a_new_column_is_extracted_alone() -> None:
    receipt = changed(RECEIPT, columns=["mv", "residual"])
    assert work_left(SHARD, receipt, ALL, SOURCES) == dict.fromkeys(SHARD.videos, ("flow",))


def test_what_failed_or_changed_is_extracted_whole() -> None:
    kept = {key: sha256 for key, sha256 in SOURCES.items() if key != "b-00000000"}
    receipt = changed(RECEIPT, sources=kept, columns=["mv"])
    sources = {**SOURCES, "c-00000000": "4" * 64}
    assert work_left(SHARD, receipt, ("mv", "flow"), sources) == {
        "a-00000000": ("flow",),
        "b-00000000": ("mv", "flow"),
        "c-00000000": ("mv", "flow"),
    }


def test_a_source_that_cannot_be_read_any_more_is_tried_again() -> None:
    gone = {key: sha256 for key, sha256 in SOURCES.items() if key != "a-00000000"}
    assert work_left(SHARD, RECEIPT, ALL, gone) == {"a-00000000": ALL}


def test_the_plans_hash_sees_all_that_a_record_takes_from_it() -> None:
    video = SHARD.videos["a-00000000"]
    for change in ({"class_id": 1}, {"class_name": "other"}, {"subsets": {"split1": "test"}}, {"name": "x.avi"}):
        videos = {**SHARD.videos, "a-00000000": replace(video, **change)}
        assert replace(SHARD, videos=videos).sha256 != SHARD.sha256
    moved = {**SHARD.videos, "a-00000000": replace(video, source=Path("elsewhere"))}
    assert replace(SHARD, videos=moved).sha256 == SHARD.sha256


def test_receipts_survive_json_and_damaged_ones_count_for_nothing(tmp_path: Path) -> None:
    failure = Failure(key="b-00000000", name="b.avi", stage="source", code="empty")
    receipt = changed(RECEIPT, failed=[failure])
    assert Receipt.from_json(receipt.to_json(), where="receipt") == receipt
    output = Output(tmp_path)
    output.publish(".build/receipts/00000.json", receipt.to_json())
    assert output.receipt("00000") == receipt
    assert output.receipt("00001") is None
    output.receipt_path("00000").write_bytes(receipt.to_json()[:-20])
    assert output.receipt("00000") is None
    output.receipt_path("00000").write_text('{"plan_sha256": 3}')
    assert output.receipt("00000") is None
