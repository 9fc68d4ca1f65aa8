// JsSIP as the phone of a web page: registers over WebSocket, answers or places a call, ends it. Node has no sound: what stands for the
// browser's RTCPeerConnection only names a port, where the test speaks and hears by itself. One line of JSON an event on standard output.
const { ADDRESS, PORT, USER, PASSWORD, SECURE, CALL } = process.env;
const DESCRIPTION = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" +
  `m=audio ${PORT} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n`;
const tell = (event, more) => console.log(JSON.stringify({ event, ...more }));

class Connection {
  constructor() {
    Object.assign(this, { iceGatheringState: "complete", iceConnectionState: "connected", signalingState: "stable" });
  }
  addEventListener() {}
  removeEventListener() {}
  addTrack() {}
  getSenders() { return []; }
  getReceivers() { return []; }
  async createOffer() { return { type: "offer", sdp: DESCRIPTION }; }
  async createAnswer() { return { type: "answer", sdp: DESCRIPTION }; }
  async setLocalDescription(description) {
    this.localDescription = description;
    if (description.type === "offer") this.signalingState = "have-local-offer";
    else this.signalingState = "stable";
  }
  async setRemoteDescription(description) {
    this.remoteDescription = description;
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
    tell("remote", { media: /m=audio (\d+)/.exec(description.sdp)[1] });
  }
  close() { this.signalingState = "closed"; }
}
globalThis.window = globalThis;
globalThis.RTCPeerConnection = Connection;
globalThis.RTCSessionDescription = class { constructor(description) { Object.assign(this, description); } };
class Tracks { getTracks() { return []; } getAudioTracks() { return []; } getVideoTracks() { return []; } }
globalThis.MediaStream = Tracks;

const JsSIP = require("jssip");
const NodeWebSocket = require("jssip-node-websocket");

const socket = new NodeWebSocket(`${SECURE ? "wss" : "ws"}://${ADDRESS}/sip`, { requestOptions: { rejectUnauthorized: false } });
const phone = new JsSIP.UA({
  sockets: [socket], uri: `sip:${USER}@pbx.example.com`, password: PASSWORD, register: true, session_timers: false,
});
const media = { mediaStream: new Tracks() };

phone.on("registered", () => {
  tell("registered");
  if (CALL) phone.call(`sip:${CALL}@pbx.example.com`, media);
});
phone.on("registrationFailed", ({ cause }) => tell("refused", { cause }));
phone.on("newMessage", ({ originator, request }) => tell("message", { originator, text: request.body }));
phone.on("newRTCSession", ({ originator, session }) => {
  session.on("progress", () => tell("progress", { originator }));
  session.on("confirmed", () => tell("confirmed", { originator }));
  session.on("ended", ({ originator: by, cause }) => tell("ended", { by, cause }));
  session.on("failed", ({ cause, message }) => tell("failed", { cause: String(cause), why: String(message && message.status_code) }));
  if (originator === "remote") session.answer(media);
});
process.on("SIGTERM", () => {
  phone.stop();
  setTimeout(() => process.exit(0), 300);
});
phone.start();
