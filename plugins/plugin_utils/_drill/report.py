# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of a drill's cuts: what was lost and for how long, who noticed, what came back; and two drills compared. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

# Seconds that an outage may go on after a cut's end before it counts as broken is the watch's; this much is the clocks'.
CLOCKS = 0.5
# In a comparison, less than this many seconds more or less is the machine's.
ALIKE = 1.0


def judge(cut: Item, pairs: t.Sequence[Item], seen: t.Mapping[str, Item]) -> Item:
    """What came of one cut.

    seen: for each host what drill_watch returned: began and ended (of the cut there, in seconds since the epoch, or None), observed (of its
    pairs, in their order), events.
    """
    begun = [found["began"] for found in seen.values() if found.get("began")]
    begin, end = (min(begun), max(begun) + cut["seconds"]) if begun else (None, None)
    why = _not_cut(cut, seen, bool(begun))
    rows = []
    for pair, survives in zip(pairs, cut["survives"]):
        host = pair["from"].partition("/")[0]
        observed = (seen.get(host, {}).get("observed") or {}).get(pair["from"] + " " + pair["to"])
        row = _pair(observed, survives, end)
        if observed is None and (cut["kind"], cut["name"]) != ("host", host):
            said = seen.get(host, {}).get("msg") or "it said nothing"
            row["wrong"] = f"{host} did not measure: {str(said).splitlines()[0]}"
        if observed and begin and seen[host]["started"] > begin - CLOCKS:
            late = seen[host]["started"] - begin
            row["wrong"] = f"{host} began to measure {late:.0f} s after the cut; give a longer drill_lead"
        rows.append({"from": pair["from"], "to": pair["to"], "survives": survives, **row})
    events = [
        {"host": host, **event, "after": round(event["at"] - begin, 1) if begin else None}
        for host, found in sorted(seen.items())
        for event in found.get("events", ())
    ]
    return {
        "kind": cut["kind"],
        "name": cut["name"],
        "begun": begin,
        "seconds": cut["seconds"],
        "pairs": rows,
        "noticed": sorted(events, key=lambda event: event["at"]),
        "passed": why is None and not any(row["wrong"] for row in rows),
        "why": why,
    }


def _not_cut(cut: Item, seen: t.Mapping[str, Item], begun: bool) -> str | None:
    """Why it was no cut, or half of one; None where all ends of it were cut."""
    ends = [host for host in cut.get("places", {}) if seen.get(host, {}).get("failed")]
    if begun and not ends:
        return None
    said = sorted({str(seen[host]["msg"]) for host in ends or seen if seen[host].get("msg")})
    return said[0] if said else "no host began the cut"


def _pair(observed: Item | None, survives: bool, end: float | None) -> Item:
    """Of one pair: packets sent and lost, seconds without an answer, and what is wrong."""
    if observed is None:
        return {"sent": 0, "lost": 0, "outage": None, "wrong": None, "note": "not measured, as its host was cut"}
    lengths = [row["seconds"] for row in observed["outages"]]
    outage = None if None in lengths else round(sum(lengths), 1)
    wrong = None
    if not observed["alive"]:
        wrong = "it had no connection before the cut"
    elif outage is None:
        wrong = "it did not come back"
    elif survives and end and any(_over(row, end) for row in observed["outages"]):
        wrong = "it came back only with the end of the cut, though the plan has another way"
    note = "it was not lost, though the plan has no other way" if not survives and not observed["lost"] else None
    return {"sent": observed["sent"], "lost": observed["lost"], "outage": outage, "wrong": wrong, "note": note}


def _over(row: Item, end: float) -> bool:
    return bool(row["at"] < end and row["at"] + row["seconds"] > end - CLOCKS)


def report(fabric: str, results: t.Sequence[Item], before: t.Sequence[str], after: t.Sequence[str]) -> Item:
    """The whole drill. before, after: what status found not as planned, as sentences."""
    broken = [sentence for sentence in after if sentence not in before]
    return {
        "fabric": fabric,
        "passed": all(result["passed"] for result in results) and not broken,
        "cuts": list(results),
        "broken": broken,
    }


def compare(old: Item, new: Item) -> list[Item]:
    """What became worse or better: cut, pair, what (`worse`, `better`, `new`, `gone`), and the seconds without an answer of both."""
    before, after = _by_pair(old), _by_pair(new)
    rows = []
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key), after.get(key)
        what = _what(was, now)
        if what:
            rows.append({"cut": key[0], "pair": key[1], "what": what, "was": _outage(was), "now": _outage(now)})
    return rows


def _by_pair(one: Item) -> dict[tuple[str, str], Item]:
    return {
        (f"{cut['kind']} {cut['name']}", f"{row['from']} → {row['to']}"): row
        for cut in one["cuts"]
        for row in cut["pairs"]
    }


def _outage(row: Item | None) -> float | None:
    return row["outage"] if row else None


def _what(was: Item | None, now: Item | None) -> str | None:
    if was is None or now is None:
        return "new" if was is None else "gone"
    if bool(was["wrong"]) != bool(now["wrong"]):
        return "worse" if now["wrong"] else "better"
    if was["outage"] is None or now["outage"] is None or abs(now["outage"] - was["outage"]) < ALIKE:
        return None
    return "worse" if now["outage"] > was["outage"] else "better"


def foretold(drill: Item) -> list[str]:
    """What a drill would cut and who should survive it, for a terminal."""
    shown = []
    for cut in drill["cuts"]:
        lost = [f"{one['from']} → {one['to']}" for one, lives in zip(drill["pairs"], cut["survives"]) if not lives]
        how = "would reboot" if cut["kind"] == "host" else f"would be cut for {cut['seconds']} s"
        shown.append(f"  {cut['kind']} {cut['name']} {how}; planned to be lost: {', '.join(lost) or 'nothing'}")
    return shown


def lines(result: Item) -> list[str]:
    """One cut for a terminal."""
    how = "rebooted" if result["kind"] == "host" else f"cut for {result['seconds']} s"
    shown = [f"  {'●' if result['passed'] else '✗'} {result['kind']} {result['name']}, {how}"]
    if result["why"]:
        return [*shown, f"      {result['why']}"]
    for row in result["pairs"]:
        if row["lost"] or row["wrong"] or row["note"]:
            shown.append(f"      {row['from']} → {row['to']}: {_told(row)}")
    measured = [row for row in result["pairs"] if row["sent"]]
    if measured and not any(row["lost"] or row["wrong"] for row in measured):
        shown.append("      nothing was lost")
    for event in _first(result["noticed"]):
        shown.append(
            f"      after {event['after']:g} s {event['host']} noticed: {event['what']} {event['was']} → {event['is']}"
        )
    return shown


def _told(row: Item) -> str:
    if not row["sent"]:
        return str(row["note"])
    lost = f"lost {row['lost']} of {row['sent']} packets"
    time = "" if row["outage"] is None else f", {row['outage']:g} s without an answer"
    planned = "planned to survive" if row["survives"] else "planned to be lost"
    more = row["wrong"] or row["note"]
    return f"{lost}{time} ({planned})" + (f": {more}" if more else "")


NOTICED_SHOWN = 4


def _first(events: t.Sequence[Item]) -> list[Item]:
    """The first that noticed, of each kind on each host."""
    seen: dict[tuple[str, str], Item] = {}
    for event in events:
        if event["after"] is not None and event["after"] > -CLOCKS:
            seen.setdefault((event["host"], event["what"]), event)
    return list(seen.values())[:NOTICED_SHOWN]


def closing(whole: Item, compared: t.Sequence[Item] | None) -> list[str]:
    """The end of the report for a terminal."""
    good = sum(result["passed"] for result in whole["cuts"])
    shown = [f"  {good} of {len(whole['cuts'])} cuts went as planned"]
    shown += [f"  ✗ broken since: {sentence}" for sentence in whole["broken"]]
    if compared is not None:
        shown += ["", f"  compared with the earlier drill: {len(compared)} differences"]
        for row in compared:
            was, now = ("-" if value is None else f"{value:g} s" for value in (row["was"], row["now"]))
            shown.append(f"    {row['what']:6} {row['cut']}, {row['pair']}: {was} → {now}")
    return shown


def sentence(whole: Item) -> str:
    """What went wrong, in one sentence."""
    wrong = [f"{result['kind']} {result['name']}" for result in whole["cuts"] if not result["passed"]]
    parts = [f"not as planned: {', '.join(wrong)}"] if wrong else []
    parts += [f"{len(whole['broken'])} broken since"] if whole["broken"] else []
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
