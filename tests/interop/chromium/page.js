// Phones of a page: JsSIP over WSS, as the test orders. Orders come from /next, what happens goes to /tell. Chromium's sound is always
// DTLS-SRTP; where the switch is to see plain RTP, `Gateway` stands for what would be between: Chromium talks to a second connection of
// the page, and the switch is told of a port where the test speaks and hears.
const DOMAIN = "pbx.example.com";
const Native = RTCPeerConnection;
const media = { mediaConstraints: { audio: true, video: false } };
const phones = {};
const tell = (event, user, more) => fetch("/tell", { method: "POST", body: JSON.stringify({ event, user, ...more }) });

const gathered = (connection) => new Promise((done) => {
  const look = () => connection.iceGatheringState === "complete" && done();
  connection.addEventListener("icegatheringstatechange", look);
  look();
});

class Gateway extends Native {
  async setRemoteDescription({ type }) {
    this.far = new Native();
    if (type === "offer") {
      this.far.addTransceiver("audio");
      await this.far.setLocalDescription(await this.far.createOffer());
    } else {
      await this.far.setRemoteDescription(this.localDescription);
      await this.far.setLocalDescription(await this.far.createAnswer());
    }
    await gathered(this.far);
    await super.setRemoteDescription(this.far.localDescription);
  }

  async setLocalDescription(description) {
    await super.setLocalDescription(description);
    if (this.localDescription.type !== "answer") return;
    await gathered(this);
    await this.far.setRemoteDescription(this.localDescription);
  }

  close() {
    if (this.far) this.far.close();
    super.close();
  }
}

const plain = (port) => "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" +
  `m=audio ${port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n`;

function watch(user, session, port) {
  session.on("sdp", (description) => {
    if (description.originator === "local") {
      if (port) description.sdp = plain(port);
    } else {
      tell("remote", user, { media: Number(/m=audio (\d+)/.exec(description.sdp)[1]) });
    }
  });
  session.on("progress", ({ originator }) => tell("progress", user, { originator }));
  session.on("confirmed", ({ originator }) => tell("confirmed", user, { originator }));
  session.on("ended", ({ originator, cause }) => tell("ended", user, { originator, cause }));
  session.on("failed", ({ originator, cause, message }) => tell("failed", user, {
    originator, cause, status: message && message.status_code, warning: message && message.getHeader("Warning"),
  }));
  session.on("peerconnection:setremotedescriptionfailed", (error) => tell("error", user, { error: String(error) }));
  session.on("getusermediafailed", (error) => tell("error", user, { error: String(error) }));
}

const orders = {
  // Connects and registers; is called with sound at `port`.
  register({ user, password, url, port }) {
    const phone = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(url)], uri: `sip:${user}@${DOMAIN}`, password, register: true, session_timers: false,
    });
    phones[user] = phone;
    phone.on("registered", () => tell("registered", user));
    phone.on("unregistered", () => tell("unregistered", user));
    phone.on("registrationFailed", ({ cause }) => tell("refused", user, { cause }));
    phone.on("newMessage", ({ originator, request }) => originator === "remote" && tell("message", user, { text: request.body }));
    phone.on("newRTCSession", ({ originator, session }) => {
      if (originator !== "remote") return;
      watch(user, session, port);
      window.RTCPeerConnection = Gateway;
      session.answer(media);
    });
    phone.start();
  },
  // Without a port, Chromium's own offer goes out.
  call({ user, to, port }) {
    window.RTCPeerConnection = port ? Gateway : Native;
    phones[user].once("newRTCSession", ({ session }) => watch(user, session, port));
    phones[user].call(`sip:${to}@${DOMAIN}`, media);
  },
  hangUp({ user }) {
    phones[user].terminateSessions();
  },
  message({ user, to, text }) {
    const done = (event) => ({ response }) => tell(event, user, { status: response && response.status_code });
    phones[user].sendMessage(`sip:${to}@${DOMAIN}`, text, {
      eventHandlers: { succeeded: done("delivered"), failed: done("undelivered") },
    });
  },
  options({ user, to }) {
    const done = ({ response }) => tell("options", user, {
      status: response && response.status_code, accept: response && response.getHeader("Accept"),
    });
    phones[user].sendOptions(`sip:${to}@${DOMAIN}`, null, { eventHandlers: { succeeded: done, failed: done } });
  },
  subscribe({ user, to, event, accept }) {
    const lamp = phones[user].subscribe(`sip:${to}@${DOMAIN}`, event, accept, { expires: 600, contentType: "text/plain" });
    lamp.on("notify", (last, request, body) => tell("notify", user, { body }));
    lamp.on("terminated", (code, reason) => tell("terminated", user, { code, reason }));
    lamp.subscribe();
  },
  stop({ user }) {
    phones[user].stop();
  },
};

async function obey() {
  for (;;) {
    const order = await (await fetch("/next")).json();
    if (order) {
      try {
        orders[order.do](order);
      } catch (error) {
        tell("error", order.user, { error: String(error) });
      }
    } else {
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
obey();
