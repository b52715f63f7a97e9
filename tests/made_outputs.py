"""Outputs as a build leaves them, without its shards."""

from dataclasses import dataclass

from ipdata.log import LogLine
from ipdata.status.state import Status, status_of
from ipdata.steps.output import Output
from ipdata.steps.receipt import Receipt
from ipdata.steps.started import Started
from shards.failures import Failure
from shards.manifest import FileInfo, ShardInfo

SHA256 = 64 * "0"
BEGUN = 1000.0  # s since 1970


@dataclass
class Made:
    """An output as a build would leave it: 20 videos in 2 shards, 10 of them kept from an earlier build."""

    output: Output

    def __post_init__(self) -> None:
        self.output.build_dir.mkdir(parents=True)

    def begin(self, *, log_bytes: int = 0, todo: int = 10) -> None:
        Started(
            at=BEGUN,
            dataset="made",
            columns=["mv"],
            classes=["a", "b"],
            videos=[15, 5],
            missing=[0, 3],
            missing_names=["b/1", "b/2", "b/3"],
            unlisted=1,
            todo={"00001": todo},
            log_bytes=log_bytes,
        ).write(self.output)

    def log(self, *lines: LogLine) -> None:
        with (self.output.build_dir / "log.jsonl").open("ab") as file:
            file.write(b"".join(line.to_json() for line in lines))

    def receive(self, shard: str, *, samples: int, failed: tuple[str, ...] = ()) -> None:
        file = FileInfo(bytes=1000, sha256=SHA256)
        names = [f"samples/{shard}.jsonl", f"mv/{shard}.tar", f"mv/{shard}.idx.json"]
        info = ShardInfo(
            shard=shard, samples=samples, frames=90 * samples, subsets=None, files=dict.fromkeys(names, file)
        )
        receipt = Receipt(
            plan_sha256=SHA256,
            columns=["mv"],
            sources={f"k{shard}-{number}": SHA256 for number in range(samples)},
            info=info,
            failed=[Failure(key=key, name=f"b/{key}", stage="source", code="empty") for key in failed],
        )
        self.output.publish(f".build/receipts/{shard}.json", receipt.to_json())

    def status(self, now: float = BEGUN + 100) -> Status:
        return status_of(self.output.directory, now=now)
