#!/usr/bin/env python3
"""Compares what ClickHouse answers with what the truth says: the sessions, or one of the six analytics.

    sessionary query NAME --json | python3 compare_clickhouse.py TRUTH.json NAME [ANSWER.json]

ANSWER.json may hold the answer instead of the standard input. TRUTH.json is what `produce --truth` wrote. Sessions are compared column by column, but batch_id, created_at and what
the truth does not say; analytics group by group, summed here from the truth's sessions. `timeout`, `idle` and `drain`
count as one close_reason, because they depend on when the pipeline ran. Exit code 0 where all is equal, 1 where not, 2
where there is nothing to compare.
"""
import collections
import json
import sys

SHOWN_MAX = 20
IDENTITY = ("session_id", "source_partition", "first_offset")
SUMMED = ("total_events", "article_views", "article_clicks", "video_plays", "newsletter_signups", "ad_clicks",
          "searches", "total_duration_sec")
DIMENSIONS = {
    "brand_analytics": ("hour", "brand"),
    "device_analytics": ("day", "device_type", "device_os", "browser"),
    "geographic_analytics": ("day", "country", "city"),
    "subscription_analytics": ("day", "subscription_tier", "user_segment"),
    "page_analytics": ("day", "page_url", "article_id"),
    "session_summary": ("hour", "close_reason"),
}


def reason(row):
    return "drain" if row.get("close_reason") in ("timeout", "idle") else row.get("close_reason")


def as_clickhouse(name, value):
    """A cell of the truth as `query --json` shows it: '' for null, times to the second, lists as their JSON."""
    if name in ("session_start", "session_end"):
        return value[:19] + "Z"
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return "" if value is None else value


def compare_sessions(truth, found):
    columns = [name for name in truth[0] if name != "session_date"]
    expected = {}
    for row in truth:
        row = {name: as_clickhouse(name, row[name]) for name in columns}
        row["close_reason"] = reason(row)
        expected[tuple(row[name] for name in IDENTITY)] = row
    differences = []
    for row in found:
        row["close_reason"] = reason(row)
        identity = tuple(row[name] for name in IDENTITY)
        right = expected.pop(identity, None)
        if right is None:
            differences.append(f"{identity} is not in the truth, or is there twice")
            continue
        differences += [f"{identity} {name}: {row.get(name)!r} instead of {right[name]!r}"
                        for name in columns if row.get(name) != right[name]]
    differences += [f"{identity} is missing" for identity in expected]
    revised = sum(row["revision"] > 0 for row in found)
    return f"{len(found)} rows, of which {revised} are revisions; {len(columns)} columns compared", differences


def additions(name, row):
    """What a session adds: groups with their sums."""
    start = row["session_start"]
    bucket = start[:13] + ":00:00Z" if DIMENSIONS[name][0] == "hour" else start[:10]
    if name == "page_analytics":
        pages = collections.Counter((page["page_url"], page["article_id"] or "") for page in row["page_events"])
        for page, views in pages.items():
            yield (bucket, *page), {"page_views": views, "sessions": 1}
        return
    row = {**row, "close_reason": reason(row), "total_duration_sec": row["session_duration_sec"]}
    group = (bucket, *(row[dimension] or "" for dimension in DIMENSIONS[name][1:]))
    yield group, {"sessions": 1, **{column: row[column] for column in SUMMED}}


def averages(name, row):
    if name == "page_analytics":
        return {"views_per_session": row["page_views"] / row["sessions"]}
    return {"avg_events": row["total_events"] / row["sessions"],
            "avg_duration_sec": row["total_duration_sec"] / row["sessions"]}


def compare_analytics(name, truth, found):
    expected, groups, differences = {}, {}, []
    for row in truth:
        for group, sums in additions(name, row):
            expected.setdefault(group, collections.Counter()).update(sums)
    for row in found:
        row["close_reason"] = reason(row)
        group = tuple(row[dimension] for dimension in DIMENSIONS[name])
        sums = ("page_views", "sessions") if name == "page_analytics" else ("sessions", *SUMMED)
        groups.setdefault(group, collections.Counter()).update({column: row[column] for column in sums})
        differences += [f"{group} {column}: {row[column]} instead of {value}"
                        for column, value in averages(name, row).items() if abs(row[column] - value) > 0.00501]
    for group in sorted(expected.keys() | groups.keys()):
        # A sum of 0 is one that a Counter lacks.
        right, sums = +expected.get(group, collections.Counter()), +groups.get(group, collections.Counter())
        if right != sums:
            differences.append(f"{group}: {dict(sums)} instead of {dict(right)}")
    return f"{len(groups)} groups", differences


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[2] not in ("sessions", *DIMENSIONS):
        sys.exit(__doc__)
    name = sys.argv[2]
    with open(sys.argv[1], encoding="utf-8") as file:
        truth = json.load(file)["sessions"]
    with open(sys.argv[3], encoding="utf-8") if len(sys.argv) == 4 else sys.stdin as file:
        found = json.load(file)
    if not truth:
        print("The truth has no sessions: nothing was compared.")
        sys.exit(2)
    compared, differences = (compare_sessions(truth, found) if name == "sessions" else
                             compare_analytics(name, truth, found))
    for difference in differences[:SHOWN_MAX]:
        print(difference)
    print(f"{name}: {compared}; {len(differences)} differences.")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
