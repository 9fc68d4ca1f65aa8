"""A switch on free ports of the loopback with SIPp behind it, for the tests of the REST interface."""

import os
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.request

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
TOKEN = "0123456789abcdef"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def free(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Rig:
    """`with Rig() as rig`: `rig.url` is where the interface answers, every number is answered by SIPp and talks until hung up on."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tandem-api-")
        folder = pathlib.Path(self.folder.name)
        sip, http, called, media = free(), free(socket.SOCK_STREAM), free(), 40000 + os.getpid() % 2000 * 8
        (folder / "prompts").mkdir()
        (folder / "plan.yaml").write_text("contexts: { all: [ { do: [ answer, echo ] } ] }\n")
        (folder / "tandem.yaml").write_text(f"""
node: api
data_dir: {folder}/data
sip: {{ domain: api.test, listen: ["udp://127.0.0.1:{sip}"] }}
media: {{ address: 127.0.0.1, ports: {media}-{media + 200}, codecs: [pcmu], prompts: {folder}/prompts }}
http: {{ listen: "127.0.0.1:{http}", auth: {{ account_sid: {ACCOUNT}, auth_token: "{TOKEN}" }} }}
trunks:
  - {{ name: sipp, targets: ["sip:127.0.0.1:{called}"], inbound: [127.0.0.1/32], context: all }}
dialplans: [{folder}/plan.yaml]
""")
        binary = os.environ.get("TANDEM", ROOT / "target/debug/tandem")
        log = open(folder / "log", "w")
        self.log = folder / "log"
        self.switch = subprocess.Popen([binary, "run", "--config", folder / "tandem.yaml"], stderr=log)
        scenario = ROOT / "tests/api/called.xml"
        command = ["sipp", "-sf", scenario, "-i", "127.0.0.1", "-p", str(called), "-mp", str(media + 400), "-nostdin"]
        self.sipp = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        self.url, self.called = f"http://127.0.0.1:{http}", called
        for _ in range(200):
            try:
                urllib.request.urlopen(self.url + "/healthz", timeout=1)
                return self
            except OSError:
                if self.switch.poll() is not None:
                    break
                time.sleep(0.05)
        raise SystemExit("the switch does not start:\n" + self.log.read_text())

    def __exit__(self, *_):
        for child in (self.sipp, self.switch):
            child.kill()
            child.wait()
        self.folder.cleanup()
