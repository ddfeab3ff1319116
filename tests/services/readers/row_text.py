"""Rows of the table as text that is the same whoever reads them: one JSON object a row, sorted."""
import datetime
import json


def plain(value):
    """A value as JSON has it: times as epoch milliseconds, days as YYYY-MM-DD. A time without a zone is UTC."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return (value - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def write_rows(path, rows):
    """Writes dictionaries, and returns how many they are."""
    lines = sorted(json.dumps(plain(row), ensure_ascii=False, sort_keys=True) for row in rows)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    return len(lines)
