// An application as its author would write it for Twilio, with the official SDK: a menu by keys and by voice, a message, a conference,
// a payment, and the gateway that takes it. Whoever asks must have signed. One line of JSON a request on standard output.
const http = require("http");
const twilio = require("twilio");

const { TOKEN } = process.env;
const { VoiceResponse } = twilio.twiml;

function menu(said) {
  const response = new VoiceResponse();
  if (said) response.say(said);
  const gather = response.gather({
    input: "dtmf speech", numDigits: 1, timeout: 30, speechTimeout: "auto", hints: "billing, opening hours", action: "/menu",
  });
  gather.say("Press one to leave a message, two for the team, three to pay, or say billing.");
  response.hangup();
  return response;
}

const pages = {
  "/voice": () => menu(),
  "/team": () => team(),
  "/menu": ({ Digits, SpeechResult }) => {
    const response = new VoiceResponse();
    if (SpeechResult) {
      response.say(`You said ${SpeechResult}.`);
    } else if (Digits === "1") {
      response.record({
        action: "/recorded", maxLength: 60, finishOnKey: "#", playBeep: true, recordingStatusCallback: "/recording",
      });
    } else if (Digits === "2") {
      return team();
    } else if (Digits === "3") {
      response.pay({ chargeAmount: "20.45", currency: "usd", postalCode: false, timeout: 30, action: "/paid" });
    } else {
      return menu("That is no choice.");
    }
    return response;
  },
  "/recorded": ({ RecordingDuration }) => menu(`Thank you for ${RecordingDuration} seconds.`),
  "/paid": ({ Result }) => {
    const response = new VoiceResponse();
    response.say(Result);
    response.hangup();
    return response;
  },
};

function team() {
  const response = new VoiceResponse();
  const conference = {
    record: "record-from-start", recordingStatusCallback: "/recording", statusCallback: "/room",
    statusCallbackEvent: "start end join leave", beep: "false", endConferenceOnExit: true,
  };
  response.dial({ action: "/voice" }).conference(conference, "team");
  return response;
}

function gateway(request, body) {
  const { method, amount, cardnumber } = JSON.parse(body);
  const isOurs = request.headers.authorization === `Basic ${Buffer.from("shop:secret").toString("base64")}`;
  return isOurs && method === "charge" && amount === "20.45" && cardnumber === "4242424242424242"
    ? { charge_id: "ch_node" }
    : { charge_id: null, error_code: "card-declined" };
}

const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (piece) => (body += piece));
  request.on("end", () => {
    const path = request.url;
    if (path === "/gateway") {
      console.log(JSON.stringify({ path }));
      response.setHeader("Content-Type", "application/json");
      return response.end(JSON.stringify(gateway(request, body)));
    }
    const asked = Object.fromEntries(new URLSearchParams(body));
    const address = `http://${request.headers.host}${path}`;
    const signed = twilio.validateRequest(TOKEN, request.headers["x-twilio-signature"] || "", address, asked);
    console.log(JSON.stringify({ path, signed, ...asked }));
    if (!signed) return response.writeHead(403).end();
    response.setHeader("Content-Type", "text/xml");
    response.end((pages[path] ? pages[path](asked) : new VoiceResponse()).toString());
  });
});
server.listen(Number(process.env.PORT), "127.0.0.1", () => console.log(JSON.stringify({ path: "ready" })));
