"""Requests come in, one JSON object a line; the same computation by the plainest means goes out.

Written from the documentation of `process_data`: whole files in memory, `csv`, `json` and `decimal`.
"""
import csv
import io
import json
import re
import sys
from decimal import ROUND_HALF_EVEN, Context, Decimal, getcontext

getcontext().prec = 120
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\Z")


class Num(str):
    """A JSON number's text."""


def number(value):
    if isinstance(value, str) and NUMBER.match(value):
        return Decimal(value)
    return None


def text(value):
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    return str(value)


def absent(value):
    return text(value) == ""


def kind(value):
    return (type(value).__name__, text(value))


def read(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        if path.endswith(".csv"):
            rows = [row for row in csv.reader(file, strict=True) if row]
            return rows[0], [dict(zip(rows[0], row)) for row in rows[1:]]
        load = lambda line: json.loads(line, parse_int=Num, parse_float=Num)
        return None, [load(line) for line in file.read().split("\n") if line.strip()]


def compare(left, right):
    a, b = number(left), number(right)
    if a is not None and b is not None:
        return (a > b) - (a < b)
    a, b = text(left).encode(), text(right).encode()
    return (a > b) - (a < b)


def equal(value, wanted):
    if wanted is None:
        return absent(value)
    if wanted is True or wanted is False:
        return text(value) == text(wanted)
    return value is not None and compare(value, wanted) == 0


def holds(value, how, wanted):
    if how == "eq":
        return equal(value, wanted)
    if how == "ne":
        return not equal(value, wanted)
    if how == "in":
        return any(equal(value, one) for one in wanted)
    if absent(value):
        return False
    if how == "contains":
        return wanted in text(value)
    return {"lt": int.__lt__, "le": int.__le__, "gt": int.__gt__, "ge": int.__ge__}[how](compare(value, wanted), 0)


def plain(value):
    value = format(value, "f")
    if "." in value:
        value = value.rstrip("0").rstrip(".")
    return Num("0" if value in ("-0", "") else value)


def rank(value):
    found = number(value)
    return (0, found, b"") if found is not None else (1, Decimal(0), text(value).encode())


def as_found(value):
    if number(value) is None:
        return value
    try:
        json.loads(value)
        return Num(value)
    except ValueError:
        sign = "-" if value.startswith("-") else ""
        mantissa, _, exponent = value.lstrip("+-").lower().partition("e")
        whole, _, part = mantissa.partition(".")
        whole = whole.lstrip("0") or "0"
        exponent = int(exponent or 0)
        return Num(sign + whole + ("." + part if part else "") + (f"e{exponent}" if exponent else ""))


def measure(function, column, rows):
    if column is None:
        return Num(len(rows))
    values = [row.get(column) for row in rows if not absent(row.get(column))]
    if function == "count":
        return Num(len(values))
    if function in ("min", "max"):
        # Python's `min` and `max` both give the first of equals.
        return as_found((min if function == "min" else max)(values, key=rank)) if values else None
    total = sum((number(value) for value in values), Decimal(0))
    if function == "sum":
        return plain(total)
    if not values:
        return None
    scale = max([12] + [-number(value).as_tuple().exponent for value in values])
    return plain((total / len(values)).quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_EVEN, context=Context(prec=120)))


def apply(operation, columns, rows):
    op = operation["op"]
    if op == "filter":
        keep = lambda row: holds(row.get(operation["column"]), operation["is"], operation["value"])
        return columns, [row for row in rows if keep(row)]
    if op == "select":
        columns = operation["columns"]
        return columns, [{name: row.get(name) for name in columns} for row in rows]
    if op == "deduplicate":
        seen, kept = set(), []
        for row in rows:
            key = tuple(kind(row.get(name)) for name in operation["by"])
            if key not in seen:
                seen.add(key)
                kept.append(row)
        return columns, kept
    if op == "top":
        by = operation["by"]
        present = [row for row in rows if not absent(row.get(by))]
        # `reverse=True` keeps the order of equals.
        present.sort(key=lambda row: rank(row.get(by)), reverse=operation["order"] == "desc")
        return columns, (present + [row for row in rows if absent(row.get(by))])[: operation["n"]]
    by, measures = operation["by"], operation["measures"]
    groups = {} if by else {(): []}
    for row in rows:
        groups.setdefault(tuple(kind(row.get(name)) for name in by), []).append(row)
    out = []
    for group in groups.values():
        made = {name: group[0].get(name) for name in by}
        for one in measures:
            made[one["as"]] = measure(one["fn"], one.get("column"), group)
        out.append(made)
    return by + [one["as"] for one in measures], out


def as_json(value):
    return str(value) if isinstance(value, Num) else json.dumps(value, ensure_ascii=False)


def write(path, columns, rows):
    """`columns` is the header of a CSV: of an unselected NDJSON the keys of its first object."""
    out = io.StringIO()
    if path.endswith(".csv"):
        if columns:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(columns)
            for row in rows:
                writer.writerow([text(row.get(name)) for name in columns])
    else:
        for row in rows:
            out.write("{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{as_json(value)}" for name, value in row.items()) + "}\n")
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(out.getvalue())


for line in sys.stdin:
    request = json.loads(line, parse_int=Num, parse_float=Num)
    for operation in request["operations"]:
        if "n" in operation:
            operation["n"] = int(operation["n"])
    columns, rows = read(request["input"])
    columns = columns or list(rows[0])
    rows_in = len(rows)
    for operation in request["operations"]:
        columns, rows = apply(operation, columns, rows)
    write(request["output"], columns, rows)
    print(json.dumps({"rows_in": rows_in, "rows_out": len(rows)}), flush=True)
