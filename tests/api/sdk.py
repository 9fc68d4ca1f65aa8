"""The unmodified Python SDK against a running switch. Its HTTP client is pointed there and keeps the Host that it knows; each
answer is validated against the published schemas (SPEC names their file; without it only the SDK reads them)."""

import json
import os
import re
import subprocess
import sys
import time

from rig import ACCOUNT, TOKEN, Rig
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client


class Schemas:
    """A published description: which schema an answer must have."""

    def __init__(self, path):
        import jsonschema

        document = json.load(open(path))
        self.checked = 0
        self.paths = []
        for name, methods in document["paths"].items():
            pattern = re.compile("^" + re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(name)) + "$")
            self.paths.append((name.count("{"), pattern, methods))
        self.paths.sort(key=lambda p: p[0])
        nullable(document)
        self.validator = lambda schema: jsonschema.Draft202012Validator({**schema, "components": document["components"]})

    def check(self, method, path, status, text):
        for _, pattern, methods in self.paths:
            if pattern.match(path) and method.lower() in methods:
                answers = methods[method.lower()]["responses"]
                if status >= 400:
                    body = json.loads(text)
                    assert set(body) == {"code", "message", "more_info", "status"} and body["status"] == status, body
                    return
                assert str(status) in answers, f"{method} {path}: {status} is none of {list(answers)}"
                schema = answers[str(status)].get("content", {}).get("application/json", {}).get("schema")
                if schema:
                    faults = [f"{e.json_path}: {e.message}" for e in self.validator(schema).iter_errors(json.loads(text))]
                    assert not faults, f"{method} {path}: {faults}"
                self.checked += 1
                return
        raise AssertionError(f"{method} {path} is not described")


def nullable(node):
    """OpenAPI 3.0's `nullable` as JSON Schema has it."""
    if isinstance(node, dict):
        for value in node.values():
            nullable(value)
        if node.get("nullable") and isinstance(node.get("type"), str):
            node["type"] = [node["type"], "null"]
            if "enum" in node:
                node["enum"] = node["enum"] + [None]
    elif isinstance(node, list):
        for value in node:
            nullable(value)


class Pointed(TwilioHttpClient):
    def __init__(self, base, schemas):
        super().__init__()
        self.base, self.schemas = base, schemas

    def request(self, method, url, params=None, data=None, headers=None, auth=None, timeout=None, allow_redirects=False):
        host, path = re.match(r"^https://([^/]+)(.*)$", url).groups()
        headers = {**(headers or {}), "Host": host}
        answer = super().request(method, self.base + path, params, data, headers, auth, timeout, allow_redirects)
        if self.schemas and (path.startswith("/v1/") or path.split("?")[0].endswith(".json")):
            self.schemas[host].check(method, path.split("?")[0], answer.status_code, answer.text)
        return answer


def until(what, holds, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(f"never came true: {what}")


def refused(code, ask):
    try:
        ask()
    except TwilioRestException as e:
        assert e.code == code, e
        return
    raise AssertionError(f"{code} was expected")


PAUSE = "<Response><Pause length='60'/></Response>"


def calls(client):
    call = client.calls.create(to="+12025550100", from_="+12025550199", twiml=PAUSE)
    assert call.status in ("queued", "ringing", "in-progress") and call.direction == "outbound-api", call.status
    until("the call is answered", lambda: client.calls(call.sid).fetch().status == "in-progress")
    assert call.sid in [c.sid for c in client.calls.list(status="in-progress")]
    assert client.calls.list(to="+19999999999") == []
    client.calls(call.sid).update(twiml="<Response><Pause length='30'/></Response>")
    assert client.calls(call.sid).fetch().status == "in-progress"
    client.calls(call.sid).update(status="completed")
    until("the call is over", lambda: client.calls(call.sid).fetch().status == "completed")
    done = client.calls(call.sid).fetch()
    assert done.end_time >= done.start_time and int(done.duration) >= 0
    refused(21220, lambda: client.calls(call.sid).update(twiml=PAUSE))
    busy = client.calls.create(to="+15550100", from_="+12025550199", twiml=PAUSE)
    until("busy", lambda: client.calls(busy.sid).fetch().status == "busy")
    assert [c.sid for c in client.calls.list(status="busy")] == [busy.sid]
    assert len(client.calls.list(page_size=1)) == 2, "pages are turned"
    assert client.calls(call.sid).events.list() == []
    assert client.calls(busy.sid).delete()
    refused(20404, lambda: client.calls(busy.sid).fetch())
    refused(21205, lambda: client.calls.create(to="+1", from_="+2"))


def conferences(client):
    first = client.conferences("sales").participants.create(to="+12025550101", from_="+12025550199", beep="false")
    client.conferences("sales").participants.create(to="+12025550102", from_="+12025550199", end_conference_on_exit=True,
                                                   conference_record="record-from-start", conference_trim="do-not-trim", label="two")
    until("both are there", lambda: client.conferences.list(friendly_name="sales", status="in-progress"))
    conference = client.conferences.list(friendly_name="sales")[0]
    until("both take part", lambda: len(client.conferences(conference.sid).participants.list()) == 2)
    room = client.conferences(client.conferences(conference.sid).fetch().sid)
    changed = room.participants(first.call_sid).update(muted=True)
    assert changed.muted and not changed.hold
    assert [p.call_sid for p in room.participants.list(muted=True)] == [first.call_sid]
    assert room.participants(first.call_sid).update(hold=True).hold
    assert room.participants("two").fetch().label == "two"
    assert room.recordings("Twilio.CURRENT").update(status="paused").status == "paused"
    begun = room.recordings("Twilio.CURRENT").update(status="in-progress")
    assert begun.status == "in-progress" and begun.conference_sid == conference.sid
    refused(20404, lambda: room.recordings("RE" + 32 * "0").update(status="paused"))
    assert room.participants(first.call_sid).delete()
    until("one is left", lambda: len(room.participants.list()) == 1)
    assert room.update(status="completed").status == "completed"
    until("nobody is left", lambda: client.conferences.list() == [])
    until("the conference's recording is there", lambda: room.recordings.list())
    kept = room.recordings(begun.sid).fetch()
    assert (kept.conference_sid, kept.source, kept.status, kept.channels) == (conference.sid, "Conference", "completed", 1)
    assert [r.sid for r in client.recordings.list(conference_sid=conference.sid)] == [begun.sid]
    assert room.recordings(begun.sid).delete() and room.recordings.list() == []
    for call in client.calls.list(status="in-progress"):
        client.calls(call.sid).update(status="completed")


def recordings(client, rig):
    call = client.calls.create(to="+12025550103", from_="+12025550199", twiml=PAUSE)
    until("the call is answered", lambda: client.calls(call.sid).fetch().status == "in-progress")
    begun = client.calls(call.sid).recordings.create(recording_channels="dual")
    assert begun.status == "in-progress" and begun.channels == 2
    assert client.calls(call.sid).recordings("Twilio.CURRENT").update(status="paused").status == "paused"
    assert client.calls(call.sid).recordings(begun.sid).update(status="in-progress").sid == begun.sid
    time.sleep(1)
    assert client.calls(call.sid).recordings(begun.sid).update(status="stopped").status == "stopped"
    client.calls(call.sid).update(status="completed")
    until("the recording is there", lambda: client.calls(call.sid).recordings.list())
    kept = client.recordings(begun.sid).fetch()
    assert kept.call_sid == call.sid and kept.status == "completed"
    assert begun.sid in [r.sid for r in client.recordings.list()]
    import requests

    sound = requests.get(f"{rig.url}{kept.uri.replace('.json', '.wav')}", auth=(ACCOUNT, TOKEN), timeout=10)
    assert sound.status_code == 200 and sound.content[:4] == b"RIFF", sound
    url = sound.url
    whole = len(sound.content)
    head = requests.head(url, auth=(ACCOUNT, TOKEN), timeout=10)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, str(whole), b""), head.headers
    mixed = requests.get(url, params={"RequestedChannels": 1}, auth=(ACCOUNT, TOKEN), timeout=10)
    assert mixed.status_code == 200 and int.from_bytes(sound.content[58:60], "little") == 2, sound.content[:96]
    assert int.from_bytes(mixed.content[58:60], "little") == 1 and len(mixed.content) < whole
    part = requests.get(url, headers={"Range": "bytes=8-11"}, auth=(ACCOUNT, TOKEN), timeout=10)
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"WAVE", f"bytes 8-11/{whole}"), part
    beyond = requests.get(url, headers={"Range": f"bytes={whole}-"}, auth=(ACCOUNT, TOKEN), timeout=10)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{whole}"), beyond
    assert requests.get(url.replace(".wav", ".mp3"), auth=(ACCOUNT, TOKEN), timeout=10).status_code == 404
    assert client.recordings(begun.sid).delete()
    refused(20404, lambda: client.recordings(begun.sid).fetch())


def waiting(client):
    made = client.queues.create(friendly_name="care", max_size=3)
    twiml = "<Response><Enqueue maxQueueSize='9'>care</Enqueue></Response>"
    calls = [client.calls.create(to=f"+1202555011{n}", from_="+12025550199", twiml=twiml) for n in (1, 2)]
    until("both wait", lambda: client.queues(made.sid).fetch().current_size == 2)
    members = client.queues(made.sid).members
    assert sorted(m.call_sid for m in members.list()) == sorted(c.sid for c in calls)
    assert [m.position for m in members.list()] == [1, 2]
    first = client.queues(made.sid).members("Front").fetch()
    assert first.position == 1 and first.wait_time >= 0
    refused(20001, lambda: client.queues(made.sid).delete())
    client.queues(made.sid).update(friendly_name="help", max_size=4)
    agent = client.calls.create(
        to="+12025550113", from_="+12025550199", twiml="<Response><Dial><Queue>help</Queue></Dial></Response>"
    )
    until("the first is taken", lambda: client.queues(made.sid).fetch().current_size == 1)
    last = client.queues(made.sid).members("Front").update(url="http://127.0.0.1:9/none", method="GET")
    assert last.queue_sid == made.sid and client.queues(made.sid).members.list() == []
    refused(20404, lambda: client.queues(made.sid).members("Front").fetch())
    for call in calls + [agent]:
        client.calls(call.sid).update(status="completed")
    assert client.queues(made.sid).delete()
    refused(20404, lambda: client.queues(made.sid).fetch())


def settings(client, rig):
    queue = client.queues.create(friendly_name="support", max_size=7)
    assert client.queues(queue.sid).fetch().max_size == 7
    assert client.queues(queue.sid).update(friendly_name="sales").friendly_name == "sales"
    assert client.queues(queue.sid).members.list() == []
    assert [q.sid for q in client.queues.list()] == [queue.sid] and client.queues(queue.sid).delete()
    app = client.applications.create(friendly_name="app", voice_url="https://example.com/voice", voice_method="GET")
    assert client.applications(app.sid).fetch().voice_method == "GET"
    number = client.incoming_phone_numbers.create(phone_number="+12025550177", voice_application_sid=app.sid)
    assert client.incoming_phone_numbers.list(phone_number="+12025550177")[0].sid == number.sid
    assert number.capabilities["voice"] and client.incoming_phone_numbers(number.sid).delete()
    message = client.messages.create(to="+12025550100", from_="+12025550199", body="hello")
    assert client.messages(message.sid).fetch().status == "queued"
    texting = client.calls.create(to="+12025550100", from_="+12025550199", twiml="<Response><Sms to='+12025550111'>hi</Sms><Hangup/></Response>")
    until("the call's text lies there", lambda: [m.body for m in client.messages.list(to="+12025550111")] == ["hi"])
    until("it is over", lambda: client.calls(texting.sid).fetch().status == "completed")
    domain = client.sip.domains.create(domain_name="phones.example.com", sip_registration=True)
    phones = client.sip.credential_lists.create(friendly_name="phones")
    phones.credentials.create(username="alice", password="Secret12345678")
    domain.credential_list_mappings.create(credential_list_sid=phones.sid)
    domain.auth.calls.credential_list_mappings.create(credential_list_sid=phones.sid)
    assert domain.credential_list_mappings.list()[0].friendly_name == "phones"
    nets = client.sip.ip_access_control_lists.create(friendly_name="offices")
    assert nets.ip_addresses.create(friendly_name="hq", ip_address="192.0.2.1").cidr_prefix_length == 32
    sub = client.api.accounts.create(friendly_name="branch")
    inner = Client(sub.sid, sub.auth_token, http_client=client.http_client)
    assert inner.queues.list() == [] and inner.calls.list() == []
    key = client.new_keys.create(friendly_name="app")
    by_key = Client(key.sid, key.secret, ACCOUNT, http_client=client.http_client)
    assert by_key.api.accounts(ACCOUNT).fetch().type == "Full" and by_key.keys(key.sid).fetch().friendly_name == "app"
    refused(20003, lambda: Client(ACCOUNT, "wrong", http_client=client.http_client).api.accounts(ACCOUNT).fetch())
    assert sub.update(status="suspended").status == "suspended"


def carriers(client, rig):
    """A customer's own carrier, and a trunk to a customer's own switch."""
    policy = client.voice.v1.connection_policies.create(friendly_name="ours")
    targets = client.voice.v1.connection_policies(policy.sid).targets
    target = targets.create(target=f"sip:127.0.0.1:{rig.called}", priority=1, weight=5)
    assert (target.priority, target.weight, target.enabled) == (1, 5, True)
    assert [t.sid for t in targets.list()] == [target.sid] and targets(target.sid).update(enabled=False).enabled is False
    refused(20001, lambda: targets.create(target="nowhere"))
    byoc = client.voice.v1.byoc_trunks.create(friendly_name="ours", connection_policy_sid=policy.sid, voice_url="https://example.com/v")
    assert client.voice.v1.byoc_trunks(byoc.sid).fetch().voice_method == "POST"
    others = [client.voice.v1.byoc_trunks.create() for _ in range(3)]
    assert len(client.voice.v1.byoc_trunks.list(page_size=2)) == 4, "pages are turned"
    assert all(client.voice.v1.byoc_trunks(t.sid).delete() for t in others)

    def ends(status):
        call = client.calls.create(to="+12025550100", from_="+12025550199", byoc=byoc.sid, twiml=PAUSE)
        until(f"a call by BYOC is {status}", lambda: client.calls(call.sid).fetch().status == status)
        return call

    # Its one target is not enabled, and other trunks are not asked.
    ends("failed")
    targets(target.sid).update(enabled=True)
    client.calls(ends("in-progress").sid).update(status="completed")
    refused(20001, lambda: client.calls.create(to="+1", from_="+2", byoc="BY1", twiml=PAUSE))
    assert client.voice.v1.byoc_trunks(byoc.sid).delete() and client.voice.v1.connection_policies(policy.sid).delete()
    refused(20404, lambda: targets(target.sid).fetch())

    trunk = client.trunking.v1.trunks.create(friendly_name="pbx", domain_name="pbx.example.com")
    origins = client.trunking.v1.trunks(trunk.sid).origination_urls
    origin = origins.create(sip_url=f"sip:127.0.0.1:{rig.called}", friendly_name="hq", priority=1, weight=1, enabled=True)
    assert origins(origin.sid).update(priority=2).priority == 2 and len(origins.list()) == 1
    phones = client.sip.credential_lists.create(friendly_name="trunk")
    nets = client.sip.ip_access_control_lists.create(friendly_name="trunk")
    own = client.trunking.v1.trunks(trunk.sid)
    assert own.credentials_lists.create(credential_list_sid=phones.sid).friendly_name == "trunk"
    assert own.ip_access_control_lists.create(ip_access_control_list_sid=nets.sid).trunk_sid == trunk.sid
    assert own.fetch().auth_type_set == ["IP_ACL", "CREDENTIAL_LIST"]
    assert own.ip_access_control_lists(nets.sid).delete() and own.fetch().auth_type == "CREDENTIAL_LIST"
    number = client.incoming_phone_numbers.create(phone_number="+12025550178")
    assert own.phone_numbers.create(phone_number_sid=number.sid).phone_number == "+12025550178"
    assert client.incoming_phone_numbers(number.sid).fetch().trunk_sid == trunk.sid
    assert [n.sid for n in own.phone_numbers.list()] == [number.sid] and own.phone_numbers(number.sid).delete()
    refused(20404, lambda: own.phone_numbers(number.sid).fetch())
    assert own.recordings().update(mode="record-from-answer-dual").mode == "record-from-answer-dual"
    assert own.recordings().fetch().trim == "do-not-trim" and own.fetch().recording["mode"] == "record-from-answer-dual"
    refused(21232, lambda: client.trunking.v1.trunks.create(domain_name="PBX.example.com"))
    assert own.update(secure=True).secure and own.delete()


def node(rig):
    """The same by the Node SDK, where NODE_PATH says that it is installed."""
    if not os.environ.get("NODE_PATH"):
        print("= the Node SDK is not tried: NODE_PATH names no modules")
        return
    there = {**os.environ, "URL": rig.url, "ACCOUNT": ACCOUNT, "TOKEN": TOKEN}
    for script in ("sdk.js", "signatures.js"):
        subprocess.run(["node", os.path.join(os.path.dirname(__file__), script)], env=there, check=True, timeout=120)


def main():
    spec = os.environ.get("SPEC", "")
    # The others lie beside it.
    near = lambda name: Schemas(os.path.join(os.path.dirname(spec), f"twilio_{name}_v1.json"))
    own = {"api": lambda: Schemas(spec), "voice": lambda: near("voice"), "trunking": lambda: near("trunking")}
    schemas = {f"{name}.twilio.com": made() for name, made in own.items()} if spec else None
    with Rig() as rig:
        client = Client(ACCOUNT, TOKEN, http_client=Pointed(rig.url, schemas))
        for part in (calls, conferences, waiting, lambda c: recordings(c, rig), lambda c: settings(c, rig), lambda c: carriers(c, rig)):
            part(client)
        node(rig)
    print(f"= the Python SDK drives calls, conferences, recordings, settings and carriers; {sum(s.checked for s in (schemas or {}).values())} answers validated")


if __name__ == "__main__":
    sys.exit(main())
