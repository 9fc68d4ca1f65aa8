"""schemathesis against a running switch: every implemented path of the published description (SPEC names its file).

Which paths are implemented the switch says itself: a method that nobody has (PATCH) gets 405 and Allow on them, 404 on others."""

import base64
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from rig import ACCOUNT, TOKEN, Rig

HERE = pathlib.Path(__file__).resolve().parent
SEED = os.environ.get("FUZZ_SEED", "20260401")
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "25")
SECONDS = os.environ.get("FUZZ_API_SECONDS", "150")
# One name may ask 100 times a second.
RATE = "95/s"
LINKS = ("uri", "first_page_uri", "next_page_uri", "previous_page_uri")
ERROR = {
    "type": "object",
    "required": ["code", "message", "more_info", "status"],
    "additionalProperties": False,
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string", "minLength": 1},
        "more_info": {"type": "string", "format": "uri"},
        "status": {"type": "integer", "minimum": 400, "maximum": 499},
    },
}


def ask(rig, method, path, form=None):
    """Status, headers and JSON of an answer."""
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(rig.url + path, data=data, method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode())
    try:
        answer = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as refused:
        answer = refused
    text = answer.read()
    if answer.status == 429:
        time.sleep(0.5)
        return ask(rig, method, path, form)
    return answer.status, answer.headers, json.loads(text) if text else None


def mend(node):
    """Links of pages are paths below the host, which the SDKs put it before; the description calls them whole addresses."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in LINKS and isinstance(value, dict) and value.get("format") == "uri":
                value["format"] = "uri-reference"
            mend(value)
    elif isinstance(node, list):
        for value in node:
            mend(value)


def implemented(rig, document):
    """The description's part that the switch implements, and what it leaves out."""
    paths, missing = {}, []
    for name, methods in document["paths"].items():
        asked = name.replace("{AccountSid}", ACCOUNT)
        asked = asked.replace("/Accounts/{Sid}.json", f"/Accounts/{ACCOUNT}.json")
        while "{" in asked:
            asked = asked[: asked.index("{")] + "0" + asked[asked.index("}") + 1 :]
        status, headers, _ = ask(rig, "PATCH", asked)
        allowed = [m.strip().lower() for m in (headers.get("Allow") or "").split(",")] if status == 405 else []
        kept = {}
        for key, value in methods.items():
            if key not in ("get", "post", "put", "delete"):
                kept[key] = value
            elif key in allowed:
                content = {"application/json": {"schema": ERROR}}
                value["responses"]["4XX"] = {"description": "an error", "content": content}
                kept[key] = value
            else:
                missing.append(f"{key.upper()} {name}")
        if any(key in ("get", "post", "put", "delete") for key in kept):
            paths[name] = kept
    return {**document, "paths": paths}, missing


def seed(rig):
    """One of everything, so that the first cases find something."""
    root, pool = f"/2010-04-01/Accounts/{ACCOUNT}", collections.defaultdict(list)

    def make(collection, **form):
        status, _, body = ask(rig, "POST", f"{root}/{collection}.json", form)
        assert status in (200, 201), (collection, status, body)
        number = body.get("sid") or body.get("call_sid")
        if number:
            pool[collection].append(number)
        return number

    status, _, body = ask(rig, "POST", "/2010-04-01/Accounts.json", {"FriendlyName": "branch"})
    assert status == 201, body
    pool[""].append(body["sid"])
    pause = "<Response><Pause length='600'/></Response>"
    for n in range(4):
        call = make("Calls", To=f"+1202555010{n}", From="+12025550199", Twiml=pause)
    make("Applications", FriendlyName="app", VoiceUrl="http://127.0.0.1:9/voice")
    make("IncomingPhoneNumbers", PhoneNumber="+12025550170")
    make("OutgoingCallerIds", PhoneNumber="+12025550171")
    pool["OutgoingCallerIds"].append(ask(rig, "GET", f"{root}/OutgoingCallerIds.json")[2]["outgoing_caller_ids"][0]["sid"])
    make("Messages", To="+12025550100", From="+12025550199", Body="hello")
    for kind in ("Keys", "SigningKeys"):
        make(kind, FriendlyName="key")
    queue = make("Queues", FriendlyName="care")
    make("Calls", To="+12025550110", From="+12025550199", Twiml="<Response><Enqueue>care</Enqueue></Response>")
    pool[f"Queues/{queue}/Members"] += ["Front", pool["Calls"][-1]]
    # By its name too: a conference's number is known when somebody is in it.
    for conference in ("sales", "care", "desk"):
        pool["Conferences"].append(conference)
        for n in range(2):
            make(f"Conferences/{conference}/Participants", To=f"+1202555012{n}", From="+12025550199", ConferenceRecord="true")
        pool[f"Conferences/{conference}/Recordings"].append("Twilio.CURRENT")
    lists = make("SIP/CredentialLists", FriendlyName="phones")
    make(f"SIP/CredentialLists/{lists}/Credentials", Username="bob", Password="Secret12345678")
    nets = make("SIP/IpAccessControlLists", FriendlyName="offices")
    make(f"SIP/IpAccessControlLists/{nets}/IpAddresses", FriendlyName="hq", IpAddress="192.0.2.1")
    domain = f"SIP/Domains/{make('SIP/Domains', DomainName='phones.example.com')}"
    for where in ("", "/Auth/Calls", "/Auth/Registrations"):
        make(f"{domain}{where}/CredentialListMappings", CredentialListSid=lists)
    for where in ("", "/Auth/Calls"):
        make(f"{domain}{where}/IpAccessControlListMappings", IpAccessControlListSid=nets)
    status, _, body = ask(rig, "POST", f"{root}/Calls/{call}/Recordings.json", {})
    if status == 201:
        pool[f"Calls/{call}/Recordings"] += ["Twilio.CURRENT", body["sid"]]
    # One that is over, too: it is listed when it is stored.
    kept = ask(rig, "POST", f"{root}/Calls/{pool['Calls'][0]}/Recordings.json", {})[2]["sid"]
    assert ask(rig, "POST", f"{root}/Calls/{pool['Calls'][0]}/Recordings/{kept}.json", {"Status": "stopped"})[0] == 200
    while not ask(rig, "GET", f"{root}/Recordings.json")[2]["recordings"]:
        time.sleep(0.1)
    pool["Recordings"].append(kept)
    pool[f"Calls/{pool['Calls'][0]}/Recordings"].append(kept)
    return pool


def main():
    document = json.load(open(os.environ["SPEC"]))
    mend(document["paths"])
    with Rig() as rig, tempfile.TemporaryDirectory(prefix="tandem-fuzz-") as folder:
        part, missing = implemented(rig, document)
        file, report = f"{folder}/part.json", f"{folder}/report.json"
        json.dump(part, open(file, "w"))
        there = {**os.environ, "ACCOUNT": ACCOUNT, "POOL": json.dumps(seed(rig)), "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE)}
        command = [
            pathlib.Path(sys.executable).parent / "schemathesis", "--config-file", HERE / "fuzz.toml", "run", file, "--url", rig.url,
            "--auth", f"{ACCOUNT}:{TOKEN}", "--seed", SEED, "--max-examples", EXAMPLES, "--max-time", SECONDS, "--workers", "1",
            "--rate-limit", RATE, "--request-timeout", "20", "--continue-on-failure", "--suppress-health-check", "all",
            "--warnings", "off", "--report-json-path", report, "--phases", "examples,coverage,fuzzing", *sys.argv[1:],
        ]  # fmt: skip
        done = subprocess.run(command, env=there, cwd=folder)
        if os.environ.get("FUZZ_REPORT"):
            pathlib.Path(os.environ["FUZZ_REPORT"]).write_bytes(pathlib.Path(report).read_bytes())
        alive = rig.switch.poll() is None and ask(rig, "GET", f"/2010-04-01/Accounts/{ACCOUNT}.json")[0] == 200
    print(f"= not implemented: {len(missing)} of the description's operations")
    if os.environ.get("FUZZ_MISSING"):
        print("\n".join(missing))
    operations = sum(1 for m in part["paths"].values() for k in m if k in ("get", "post", "put", "delete"))
    print(f"= implemented: {operations} operations on {len(part['paths'])} paths, seed {SEED}, switch {'alive' if alive else 'DEAD'}")
    return done.returncode if alive else 1


if __name__ == "__main__":
    sys.exit(main())
