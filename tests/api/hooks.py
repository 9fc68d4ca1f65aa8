"""What the fuzzer is told beside the description: numbers of resources that are there, since random ones find nothing.

A pool of the main account's resources by the path that makes them is kept: what is made joins it, what is removed leaves it. Seven of
eight cases go to one of the pool (of those that remove something one of four); the others keep what the fuzzer made up. The choice is
a function of the case, so that a seed repeats itself."""

import json
import os
import zlib

import schemathesis

ACCOUNT = os.environ["ACCOUNT"]
ROOT = "/2010-04-01/Accounts"
POOL_MAX = 8
# Path without account and suffix, numbers replaced by `*`, to numbers.
POOL = json.loads(os.environ.get("POOL", "{}"))
PAUSE = "<Response><Pause length='300'/></Response>"
COUNT = iter(range(10**6))
# What makes a case useful, filled in for some half of the cases.
USEFUL = {
    "Calls": {"To": "+12025550100", "From": "+12025550199", "Twiml": PAUSE},
    "Conferences/*/Participants": {"To": "+12025550101", "From": "+12025550199"},
    "Queues/*/Members/*": {"Url": "http://127.0.0.1:9/none"},
    "IncomingPhoneNumbers": {"PhoneNumber": "+12025550177"},
    "IncomingPhoneNumbers/Local": {"PhoneNumber": "+12025550177"},
    "IncomingPhoneNumbers/Mobile": {"PhoneNumber": "+12025550177"},
    "IncomingPhoneNumbers/TollFree": {"PhoneNumber": "+12025550177"},
    "OutgoingCallerIds": {"PhoneNumber": "+12025550178"},
    "Messages": {"To": "+12025550100", "From": "+12025550199", "Body": "hello"},
    "Calls/*/Payments": {"IdempotencyKey": "1", "StatusCallback": "http://127.0.0.1:9/told", "ChargeAmount": "12.00"},
    "Conferences/*": {"AnnounceUrl": "http://127.0.0.1:9/none"},
    "SIP/CredentialLists/*/Credentials": {"Username": "alice", "Password": "Secret12345678"},
    "SIP/IpAccessControlLists/*/IpAddresses": {"FriendlyName": "hq", "IpAddress": "192.0.2.1"},
}
MAPPED = {"CredentialListSid": "SIP/CredentialLists", "IpAccessControlListSid": "SIP/IpAccessControlLists"}


def key_of(path):
    """`/…/Calls/{CallSid}/Events.json` → `Calls/*/Events`."""
    parts = path.removesuffix(".json").removeprefix(ROOT).split("/")[2:]
    return "/".join("*" if part.startswith("{") else part for part in parts)


def number_of(case, salt=""):
    return zlib.crc32(f"{salt}{case.path_parameters}{case.query}{case.body}".encode("utf-8", "replace"))


def chosen(case, salt, among, rarely=False):
    """One of them in seven of eight cases (`rarely`: in two), or none, as the case says."""
    number = number_of(case, salt)
    return among[number // 8 % len(among)] if among and (number % 8 < 2 if rarely else number % 8 > 0) else None


@schemathesis.hook
def before_call(context, case, kwargs):
    path = case.operation.path
    if not case.path_parameters:
        case.path_parameters = {}
    known, segments = [], path.removesuffix(".json").removeprefix(ROOT).split("/")[1:]
    for index, part in enumerate(segments):
        if not part.startswith("{"):
            known.append(part)
            continue
        name = part.strip("{}")
        if index == 0:
            case.path_parameters[name] = chosen(case, "account", POOL.get("", []), rarely=True) or ACCOUNT
            continue
        is_last = index == len(segments) - 1
        found = chosen(case, name, POOL.get("/".join(known), []), rarely=is_last and case.method.upper() == "DELETE")
        if found:
            case.path_parameters[name] = found.rsplit("/", 1)[-1]
            known.append(found.rsplit("/", 1)[-1])
        else:
            known.append("?")
    if isinstance(case.body, dict):
        if chosen(case, "useful", [True, False]):
            useful = USEFUL.get(key_of(path), {})
            case.body = {**(useful or case.body)} if number_of(case) % 2 else {**case.body, **useful}
            if "PhoneNumber" in useful:
                case.body["PhoneNumber"] = f"+1202556{next(COUNT):04}"
        if case.body.get("Status") == "completed" and not chosen(case, "ends", [True], rarely=True):
            # Else whatever lives is over after the first cases.
            del case.body["Status"]
        for name, of in MAPPED.items():
            if name in case.body:
                case.body[name] = chosen(case, name, POOL.get(of, [])) or case.body[name]


@schemathesis.hook
def after_call(context, case, response):
    path = case.operation.path.removesuffix(".json").removeprefix(ROOT).split("/")[1:]
    parameters = case.path_parameters or {}
    if path and parameters.get(path[0].strip("{}")) != ACCOUNT:
        return
    own = "/".join(str(parameters.get(p.strip("{}"), p)) if p.startswith("{") else p for p in path[1:])
    if response.status_code == 201:
        made = response.json()
        number = made.get("sid") or made.get("call_sid")
        pool = POOL.setdefault(own, [])
        if number and number not in pool:
            pool.append(number)
            del pool[:-POOL_MAX]
    elif response.status_code == 204 and "/" in own:
        collection, number = own.rsplit("/", 1)
        if number in POOL.get(collection, []):
            POOL[collection].remove(number)
