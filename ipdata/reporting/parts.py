"""The sections of the report that are made of numbers and names."""

from collections.abc import Callable, Iterator, Sequence

from ipdata.reporting.blocks import Block, Measure, facts, first_of, listed, measures, table
from ipdata.reporting.charts import Bars, histogram, nice, svg_of
from ipdata.reporting.contents import DUPLICATE_NAMES, DUPLICATES, Contents, duplicates_of
from ipdata.reporting.history import History
from ipdata.status.state import Status
from ipdata.status.words import STATES, clock, said
from ipdata.steps.started import Started
from shards.facts import size_of
from shards.failures import CODES
from shards.terminal import duration

MAX_CLASSES = 600  # with a bar; of more, those that lack most
MAX_HOSTS = 100
RATE_BINS = 60
FAILED_NAMES = 50  # of each kind


def totals_part(status: Status) -> Block:
    published = status.published
    pairs = [("state", STATES[status.state])]
    if status.videos is not None:
        pairs.append(("videos", f"{status.videos}: {_known(status.done)} done, {_known(status.left)} left"))
    pairs.append(("failed", f"{status.failed} in the last build"))
    if status.missing is not None:
        pairs.append(("not there", f"{status.missing} missing on disk, though listed; {status.unlisted} unlisted"))
    pairs.append(("published", f"{published.videos} videos, {published.frames} frames"))
    pairs.append(("stored", f"{size_of(published.size_bytes)} in {published.shards} shards"))
    pairs.append(("columns", ", ".join(status.columns) or "not known"))
    if status.begun_at is not None:
        pairs.append(("last build", f"begun {clock(status.begun_at)}"))
    if status.rate is not None:
        pairs.append(("its rate", f"{said(status.rate)}, in {duration(status.rate.seconds)}"))
    if status.largest is not None:
        pairs.append(("memory", f"at most {size_of(status.largest.memory_bytes)} for a video, {status.largest.key}"))
    if status.damaged_receipts:
        pairs.append(("receipts", f"{len(status.damaged_receipts)} cannot be read"))
    if status.damaged is not None:
        pairs.append(("log", f"{status.damaged.lines} lines are damaged and not counted"))
    return Block(title="Totals", body=facts(pairs))


def _known(number: int | None) -> str:
    return "?" if number is None else str(number)


def rate_part(history: History) -> Block:
    done, pauses = history.at_work_s()
    title = "Rate over time"
    if not done or done[-1] <= 0:
        return Block(title=title, note="Fewer than two videos were done, so there is no rate.")
    width = max(1.0, float(nice(done[-1] / RATE_BINS)))
    counts = [0] * (int(done[-1] // width) + 1)
    for at in done:
        counts[int(at // width)] += 1
    bars = Bars(
        edges=[number * width for number in range(len(counts) + 1)],
        heights=[count * 60 / width for count in counts],
        marks=[place / width for place in pauses],
    )
    note = "All builds into this output, failed videos among them. The last bar may cover less time than the others."
    if pauses:
        note += f" Dashed lines: {len(pauses)} pauses of more than an hour, which are left out."
    chart = svg_of(bars, x_title="time at work", y_title="videos/min", x_text=duration, what="videos/min")
    return Block(title=title, note=note, body=chart)


def stages_part(history: History) -> Block:
    total = sum(history.stages_s.values())
    ordered = sorted(history.stages_s.items(), key=lambda item: (-item[1], item[0]))
    bars = [
        Measure(name=stage, said=f"{duration(seconds)}, {100 * seconds / total:.1f} %", share=seconds / ordered[0][1])
        for stage, seconds in ordered
        if seconds > 0
    ]
    note = f"{duration(total)} of work on one core in all, as the log has it."
    return Block(title="Where the time went", note=note, body=measures(bars))


def classes_part(started: Started | None, contents: Contents) -> Block:
    planned = _planned(started, contents)
    largest = max((videos for _, videos, _ in planned), default=0)
    lacking = [entry for entry in planned if contents.by_class[entry[0]] < entry[1] or entry[2]]
    shown_classes = planned
    note = f"{len(planned)} classes; videos that are published. ! marks the {len(lacking)} that lack some."
    if len(planned) > MAX_CLASSES:
        shown_classes = sorted(planned, key=lambda entry: contents.by_class[entry[0]] - entry[1] - entry[2])
        note += f" Shown are the {MAX_CLASSES} that lack most; and {len(planned) - MAX_CLASSES} more."
    bars = [
        _class_bar(name, contents.by_class[name], videos, missing, largest)
        for name, videos, missing in shown_classes[:MAX_CLASSES]
    ]
    return Block(title="Classes", note=note, body=measures(bars))


def _planned(started: Started | None, contents: Contents) -> list[tuple[str, int, int]]:
    """For each class that has videos: name, how many are to be in the set, and how many are missing on disk."""
    if started is None:
        return [(name, count, 0) for name, count in sorted(contents.by_class.items())]
    entries = zip(started.classes, started.videos, started.missing, strict=True)
    return [(name, videos, missing) for name, videos, missing in entries if videos or missing]


def _class_bar(name: str, published: int, videos: int, missing: int, largest: int) -> Measure:
    lacks = published < videos or missing > 0
    text = f"{published} of {videos}" if published < videos else f"{published}"
    text += f", {missing} missing" if missing else ""
    return Measure(name=name, said=text, share=published / max(1, largest), lacks=lacks)


def histogram_parts(contents: Contents) -> Iterator[Block]:
    """Frames and bytes of the published videos."""
    whole: Callable[[float], str] = "{:.0f}".format
    for title, values, x_title, x_text in (
        ("Frames of a video", contents.frames, "frames", whole),
        ("Bytes of a video", contents.size_bytes, "bytes of all columns", lambda edge: size_of(round(edge))),
    ):
        if not values:
            yield Block(title=title, note="Nothing is published yet.")
            continue
        ordered = sorted(values)
        words = [x_text(value) for value in (ordered[0], ordered[len(ordered) // 2], ordered[-1])]
        note = f"least {words[0]}, median {words[1]}, most {words[2]}"
        chart = svg_of(histogram(values), x_title=x_title, y_title="videos", x_text=x_text, what="videos")
        yield Block(title=title, note=note, body=chart)


def failures_part(status: Status) -> Block:
    if not status.failures:
        return Block(title="Failures", note="No video failed in the last build.")
    blocks = []
    for kind in status.failures:
        head = Block(title=f"{kind.count} {kind.code} ({kind.stage})", note=CODES[kind.code])
        lines = [f"{name}: {reason.partition(': ')[2]}" for name, reason in kind.videos]
        body = listed(lines, more=kind.count - len(kind.videos))
        blocks.append(_subsection(head, body))
    note = f"Failed in the last build: {status.failed}. The next one tries them again."
    return Block(title="Failures", note=note, body="".join(blocks))


def _subsection(head: Block, body: str) -> str:
    return f"<h3>{head.title}</h3><p>{head.note}</p>{body}"


def slowest_part(history: History, contents: Contents) -> Block:
    rows = [(contents.names.get(key, key), f"{seconds:.1f}", stage) for seconds, key, stage in history.slowest]
    note = "Seconds on one core, and the stage that took most of them. Each build that did a video counts by itself."
    return Block(title="Slowest videos", note=note, body=table(["video", "seconds", "longest stage"], rows))


def workers_part(status: Status) -> Block:
    def rows(hosts: Sequence) -> str:
        heads = ["machine", "processes", "videos", "frames", "failed", "last"]
        return table(
            heads,
            [(w.host, str(w.processes), str(w.videos), str(w.frames), str(w.failed), clock(w.last_at)) for w in hosts],
        )

    if not status.workers:
        return Block(title="Workers", note="The log of the last build names none.")
    note = "In the last build. A video whose steps ran on several machines counts on each."
    return Block(title="Workers", note=note, body=first_of(status.workers, MAX_HOSTS, rows, "machines"))


def duplicates_part(contents: Contents) -> Block:
    groups = duplicates_of(contents)
    title = "Equal sources"
    if not groups:
        return Block(title=title, note="No two published videos have equal bytes in their source files.")
    many = sum(map(len, groups))
    note = f"{many} published videos in {len(groups)} groups, each of videos whose source files have equal bytes."
    lines = [_group(names) for names in groups[:DUPLICATES]]
    return Block(title=title, note=note, body=listed(lines, more=len(groups) - DUPLICATES))


def _group(names: Sequence[str]) -> str:
    more = len(names) - DUPLICATE_NAMES
    return " = ".join(names[:DUPLICATE_NAMES]) + (f" and {more} more" if more > 0 else "")


def missing_part(status: Status) -> Iterator[Block]:
    if status.missing:
        note = f"{status.missing} videos are listed by the dataset and not on disk."
        body = listed(status.missing_names, more=status.missing - len(status.missing_names))
        yield Block(title="Missing", note=note, body=body)


def unread_part(contents: Contents) -> Iterator[Block]:
    if contents.unread:
        note = "These shards are not counted above. A build that runs may just be replacing them."
        yield Block(title="Not read", note=note, body=listed(contents.unread[:20], more=len(contents.unread) - 20))
