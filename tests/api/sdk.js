// The unmodified Node SDK against a running switch (URL): its HTTP client is pointed there and keeps the Host that it knows.
const assert = require("assert");
const twilio = require("twilio");

const { URL: base, ACCOUNT, TOKEN } = process.env;
const PAUSE = "<Response><Pause length='60'/></Response>";

class Pointed extends twilio.RequestClient {
  request(options) {
    const headers = { ...options.headers, Host: "api.twilio.com" };
    return super.request({ ...options, headers, uri: options.uri.replace(/^https:\/\/[^/]+/, base) });
  }
}

const client = twilio(ACCOUNT, TOKEN, { httpClient: new Pointed() });

async function until(what, holds) {
  const end = Date.now() + 15000;
  while (Date.now() < end) {
    if (await holds()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`never came true: ${what}`);
}

async function refused(code, asked) {
  await assert.rejects(asked, (e) => e.code === code || assert.fail(`${e.code} instead of ${code}: ${e.message}`));
}

const dial = (to, more) => client.calls.create({ to, from: "+12025550199", twiml: PAUSE, ...more });
const isAnswered = (call) =>
  until("the call is answered", async () => (await client.calls(call.sid).fetch()).status === "in-progress");

async function calls() {
  const call = await dial("+12025550120");
  assert.strictEqual(call.direction, "outbound-api");
  await isAnswered(call);
  const going = await client.calls.list({ status: "in-progress" });
  assert(going.some((c) => c.sid === call.sid));
  await client.calls(call.sid).update({ twiml: "<Response><Pause length='30'/></Response>" });
  await client.calls(call.sid).update({ status: "completed" });
  await until("the call is over", async () => (await client.calls(call.sid).fetch()).status === "completed");
  const done = await client.calls(call.sid).fetch();
  assert(done.endTime >= done.startTime && Number(done.duration) >= 0);
  await refused(21220, client.calls(call.sid).update({ twiml: PAUSE }));
  await refused(21205, client.calls.create({ to: "+1", from: "+2" }));
  const again = await dial("+12025550121");
  await client.calls(again.sid).update({ status: "completed" });
  assert.strictEqual((await client.calls.page({ pageSize: 1 })).instances.length, 1);
  assert((await client.calls.list({ pageSize: 1, limit: 2 })).length === 2, "pages are turned");
}

async function conferences() {
  const room = client.conferences("node");
  const first = await room.participants.create({ to: "+12025550122", from: "+12025550199", beep: "false" });
  await room.participants.create({ to: "+12025550123", from: "+12025550199", endConferenceOnExit: true });
  const listed = () => client.conferences.list({ friendlyName: "node", status: "in-progress" });
  await until("it is there", async () => (await listed()).length === 1);
  const live = client.conferences((await listed())[0].sid);
  await until("both take part", async () => (await live.participants.list()).length === 2);
  const changed = await live.participants(first.callSid).update({ muted: true });
  assert(changed.muted && !changed.hold);
  assert((await live.participants(first.callSid).update({ hold: true })).hold);
  assert(await live.participants(first.callSid).remove());
  await until("one is left", async () => (await live.participants.list()).length === 1);
  assert.strictEqual((await live.update({ status: "completed" })).status, "completed");
}

async function recordings() {
  const call = await dial("+12025550124");
  await isAnswered(call);
  const begun = await client.calls(call.sid).recordings.create({ recordingChannels: "dual" });
  assert.strictEqual(begun.channels, 2);
  const current = client.calls(call.sid).recordings("Twilio.CURRENT");
  assert.strictEqual((await current.update({ status: "paused" })).status, "paused");
  await client.calls(call.sid).recordings(begun.sid).update({ status: "in-progress" });
  await client.calls(call.sid).recordings(begun.sid).update({ status: "stopped" });
  await client.calls(call.sid).update({ status: "completed" });
  await until("it is kept", async () => (await client.calls(call.sid).recordings.list()).length === 1);
  assert.strictEqual((await client.recordings(begun.sid).fetch()).callSid, call.sid);
  assert(await client.recordings(begun.sid).remove());
  await refused(20404, client.recordings(begun.sid).fetch());
}

async function queues() {
  const made = await client.queues.create({ friendlyName: "node-care", maxSize: 3 });
  const call = await dial("+12025550125", { twiml: "<Response><Enqueue>node-care</Enqueue></Response>" });
  await until("it waits", async () => (await client.queues(made.sid).fetch()).currentSize === 1);
  const members = await client.queues(made.sid).members.list();
  assert.deepStrictEqual(members.map((m) => [m.callSid, m.position]), [[call.sid, 1]]);
  await refused(20001, client.queues(made.sid).remove());
  await client.calls(call.sid).update({ status: "completed" });
  await until("it has left", async () => (await client.queues(made.sid).fetch()).currentSize === 0);
  assert.strictEqual((await client.queues(made.sid).update({ friendlyName: "node-help" })).friendlyName, "node-help");
  assert(await client.queues(made.sid).remove());
}

async function main() {
  for (const part of [calls, conferences, recordings, queues]) await part();
  console.log("= the Node SDK drives calls, conferences, recordings and queues");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
