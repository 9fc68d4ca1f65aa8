#!/usr/bin/env bash
# Calls a demo number with baresip through the switch that `make run` started; starts one itself where none runs. Prints
# the call's timeline and where the sound that baresip heard lies.
set -euo pipefail
cd "$(dirname "$0")/../.."
tandem=$PWD/target/release/tandem
config=${CONFIG:-dialplans/demo/tandem.yaml}
number=${DEMO_NUMBER:-hello}
registrar=${DEMO_REGISTRAR:-127.0.0.1:5060}
user=${DEMO_USER:-alice}
password=${DEMO_PASSWORD:-secret}
seconds=${DEMO_SECONDS:-10}
folder=$PWD/target/demo
phone=$folder/phone
switch=

ended() {
  # The switch is ended only if this script started it.
  [ -z "$switch" ] || { kill "$switch" 2>/dev/null || true; wait "$switch" 2>/dev/null || true; }
}
trap ended EXIT

rm -rf "$folder"
mkdir -p "$phone"
runs() { "$tandem" calls --config "$config" >/dev/null 2>&1; }
if ! runs; then
  "$tandem" run --config "$config" >"$folder/tandem.log" 2>&1 </dev/null &
  switch=$!
  for _ in $(seq 100); do
    runs && break
    kill -0 "$switch" 2>/dev/null || { echo "the switch did not start:"; tail -n 20 "$folder/tandem.log"; exit 1; }
    sleep 0.1
  done
  echo "  switch       started for this call (log: ${folder#"$PWD"/}/tandem.log)"
fi

# A scale, so that an echo is recognised by ear. The phone hangs up when it is over.
python3 - "$phone/says.wav" "$seconds" <<'PYTHON'
import math, struct, sys, wave
path, seconds = sys.argv[1], int(sys.argv[2])
notes = [262, 294, 330, 349, 392, 440, 494, 523]
with wave.open(path, "wb") as out:
    out.setparams((1, 2, 8000, 0, "NONE", ""))
    for i in range(seconds * 8000):
        hertz = notes[i // 4000 % len(notes)]
        fade = min(1.0, (i % 4000) / 200, (4000 - i % 4000) / 200)
        out.writeframesraw(struct.pack("<h", int(6000 * fade * math.sin(2 * math.pi * hertz * i / 8000))))
PYTHON

cat >"$phone/config" <<CONFIG
poll_method epoll
sip_listen 127.0.0.1:25070
net_interface 127.0.0.1
audio_source aufile,$phone/says.wav
audio_player aubridge,nowhere
audio_alert aubridge,nowhere
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_ports 25080-25099
snd_path $phone
module_path /usr/lib/baresip/modules
module g711.so
module sndfile.so
module aubridge.so
module aufile.so
module_tmp account.so
module_app menu.so
CONFIG
echo "<sip:$user@$registrar>;auth_pass=$password;regint=0;audio_codecs=pcmu" >"$phone/accounts"
: >"$phone/contacts"

echo "  call         $user calls $number at $registrar, $seconds s"
baresip -f "$phone" -v -s -t $((seconds + 2)) -e "/dial sip:$number@$registrar" >"$folder/baresip.log" 2>&1 </dev/null || true
if ! grep -q "Call established" "$folder/baresip.log"; then
  echo "the call was not answered; what baresip saw is in ${folder#"$PWD"/}/baresip.log"
  "$tandem" trace last --config "$config" || true
  exit 1
fi
sleep 0.5
echo
"$tandem" trace last --config "$config"
heard=$(find "$phone" -name '*-dec.wav' | sort | tail -n 1)
mv "$heard" "$folder/heard.wav"
bytes=$(stat -c %s "$folder/heard.wav")
echo
echo "  heard        ${folder#"$PWD"/}/heard.wav, $(((bytes - 44) / 16000)) s"
