#!/usr/bin/env python3
"""The sessions of a web server's access log, computed without any code of Sessionary.

    python3 access_log.py FILE [--session-key host|host+agent] > sessions.json

Python's standard library only. Output: {"lines", "parsed", "unparsable", "rejected", "max_disorder_sec", "sessions"};
a session has every column of the Delta table but created_at, batch_id, source_partition, first_offset and
last_offset, which the log does not tell. Lines that are further out of order than the watermark delay (60 s) may
reach a pipeline after their session's end was committed: this oracle knows no barriers and says so on stderr.
"""
import argparse
import datetime
import gzip
import hashlib
import json
import re
import sys

TIMEOUT_MS = 30 * 60 * 1000
DURATION_MAX_MS = 24 * 3600 * 1000
EVENTS_MAX = 50_000
WATERMARK_DELAY_MS = 60 * 1000
PAGE_EVENTS_LISTED_MAX = 1_000
EARLIEST_MS = 631_152_000_000  # 1990-01-01
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

# host ident user [time] "request" status size, then nothing or: "referer" "agent" and anything.
LINE = re.compile(
    r'(?P<host>[^ ]+) [^ ]+ [^ ]+ '
    r'\[(?P<day>\d\d)/(?P<month>[A-Z][a-z]{2})/(?P<year>\d{4}):(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d) '
    r'(?P<sign>[+-])(?P<oh>\d\d)(?P<om>\d\d)\] '
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?:\d{3}|-) (?:\d+|-)(?P<rest>.*)',
    re.S | re.A)
ESCAPED_REST = re.compile(r' "(?:[^"\\]|\\.)*" "(?P<agent>(?:[^"\\]|\\.)*)"(?: .*)?', re.S)
UNESCAPED_REST = re.compile(r' "[^"]*" "(?P<agent>.*)"', re.S)
REQUEST = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+ (?P<target>.+)", re.S)
VERSION = re.compile(r" HTTP/\d(\.\d)?\Z", re.A)


def parse(raw):
    """The host, time (epoch ms), target and agent of a line's bytes, as Latin-1 text; None where it does not parse."""
    text = raw.decode("latin-1")
    if text.endswith("\r"):
        text = text[:-1]
    line = LINE.fullmatch(text)
    if line is None:
        return None
    request = REQUEST.fullmatch(line["request"])
    if request is None:
        return None
    target = request["target"]
    version = VERSION.search(target)
    if version is not None and version.start() > 0:
        target = target[:version.start()]
    if target.startswith(" "):
        return None
    if line["rest"] == "":
        agent = ""
    else:
        rest = ESCAPED_REST.fullmatch(line["rest"]) or UNESCAPED_REST.fullmatch(line["rest"])
        if rest is None:
            return None
        agent = rest["agent"]
    time = time_of(line)
    return None if time is None else (line["host"], time, target, agent)


def time_of(line):
    if line["month"] not in MONTHS or int(line["oh"]) > 23 or int(line["om"]) > 59:
        return None
    offset = datetime.timedelta(hours=int(line["oh"]), minutes=int(line["om"]))
    try:
        local = datetime.datetime(
            int(line["year"]), MONTHS.index(line["month"]) + 1, int(line["day"]),
            int(line["h"]), int(line["m"]), int(line["s"]))
        utc = local - offset if line["sign"] == "+" else local + offset
    except (ValueError, OverflowError):
        return None
    return (utc - datetime.datetime(1970, 1, 1)) // datetime.timedelta(milliseconds=1)


def utf8(latin1):
    return latin1.encode("latin-1").decode("utf-8", errors="replace")


class Occurrence:
    """One session in the making; times and pages in the order of arrival."""

    def __init__(self, session_id, order):
        self.session_id = session_id
        self.order = order
        self.events = []
        self.capped = False

    def span(self):
        return self.start, self.end

    def add(self, time, page):
        self.start = min(self.start, time) if self.events else time
        self.end = max(self.end, time) if self.events else time
        self.events.append((time, len(self.events), page))

    def distance(self, time):
        return max(self.start - time, time - self.end, 0)

    def passes_cap(self, time):
        longest = max(self.end, time) - min(self.start, time)
        return longest > DURATION_MAX_MS or len(self.events) >= EVENTS_MAX

    def takes(self, time):
        if self.capped:
            return self.start - TIMEOUT_MS <= time <= self.end
        return self.start - TIMEOUT_MS <= time <= self.end + TIMEOUT_MS


def sessionize(events):
    """Occurrences of (session_id, time, page) in offset order; and how many events came too late for a capped one."""
    by_id, everything, late = {}, [], 0
    for session_id, time, page in events:
        own = by_id.setdefault(session_id, [])
        candidates = [occurrence for occurrence in own if occurrence.takes(time)]
        chosen = min(candidates, key=lambda o: (o.distance(time), o.order), default=None)
        if chosen is not None and chosen.capped:
            late += 1
            continue
        if chosen is not None and chosen.passes_cap(time):
            chosen.capped = True
            chosen = None
        if chosen is None:
            chosen = Occurrence(session_id, len(everything))
            own.append(chosen)
            everything.append(chosen)
        chosen.add(time, page)
    return everything, late


def iso(ms):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds") + "Z"


def row_of(occurrence):
    events = sorted(occurrence.events)
    start, end = events[0][0], events[-1][0]
    return {
        "session_id": occurrence.session_id,
        "user_id": int.from_bytes(hashlib.sha256(occurrence.session_id.encode("utf-8")).digest()[:4], "big"),
        "brand": None, "country": None, "city": None, "device_type": None, "device_os": None, "browser": None,
        "subscription_tier": None, "user_segment": None,
        "session_date": iso(start)[:10],
        "session_start": iso(start),
        "session_end": iso(end),
        "session_duration_sec": (end - start) // 1000,
        "total_events": len(events),
        "article_views": len(events),
        "article_clicks": 0, "video_plays": 0, "newsletter_signups": 0, "ad_clicks": 0, "searches": 0,
        "pages_visited_count": len(events),
        "unique_pages_count": len({page for _, _, page in events}),
        "unique_categories_count": 0,
        "categories_visited": [], "article_ids_visited": [], "article_titles_visited": [],
        "page_events": [
            {"timestamp": iso(time), "event_type": "article_view", "page_url": page, "article_id": None}
            for time, _, page in events[:PAGE_EVENTS_LISTED_MAX]
        ],
        "revision": 0,
        "close_reason": "cap" if occurrence.capped else "timeout",
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("file")
    arguments.add_argument("--session-key", choices=["host", "host+agent"], default="host")
    options = arguments.parse_args()
    opener = gzip.open if options.file.endswith(".gz") else open
    with opener(options.file, "rb") as file:
        lines = file.read().split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    events, unparsable, rejected = [], [], 0
    latest, disorder = None, 0
    for number, raw in enumerate(lines, 1):
        parsed = parse(raw)
        if parsed is None:
            unparsable.append(number)
            continue
        host, time, target, agent = parsed
        session_id = utf8(host)
        if options.session_key == "host+agent":
            session_id = hashlib.sha256(f"{host} {agent}".encode("latin-1")).hexdigest()[:32]
        page = utf8(target)
        # What the event contract refuses becomes a dead letter, not part of a session.
        if len(session_id) > 128 or len(page) > 2048 or time < EARLIEST_MS:
            rejected += 1
            continue
        disorder = max(disorder, (latest or time) - time)
        latest = max(latest or time, time)
        events.append((session_id, time, page))
    occurrences, late = sessionize(events)
    if disorder > WATERMARK_DELAY_MS:
        print(f"Lines are out of order by up to {disorder / 1000:.0f} s: late ones may be dead letters in a pipeline.",
              file=sys.stderr)
    json.dump({
        "lines": len(lines),
        "parsed": len(lines) - len(unparsable),
        "unparsable": unparsable,
        "rejected": rejected + late,
        "max_disorder_sec": disorder / 1000,
        "sessions": [row_of(occurrence) for occurrence in occurrences],
    }, sys.stdout, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
