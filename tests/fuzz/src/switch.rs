//! Arbitrary packets into a live switch: no panic, bounded output, and it comes to rest.

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use tandem::base::time::{Duration, Instant, Now, Wall};
use tandem::config::{Config, NoSecrets};
use tandem::dialplan::{Dialplan, Names};
use tandem::media::command::{Command, Event};
use tandem::sip::transport::{Flow, Listener, ListenerId, Transport};
use tandem::switch::{Input, Output, Setup, Switch};

const CONFIG: &str = "
node: fuzz
sip: { domain: pbx.example.com, listen: [udp://10.0.0.1:5060], anonymous_context: all }
trunks:
  - { name: acme, targets: [sip:10.9.0.2:5060], inbound: [10.9.0.2/32], context: all }
users:
  - { name: alice, password: secret, context: all }
";

const DIALPLAN: &str = r#"
contexts:
  all:
    - match: { to: echo }
      do: [ answer, echo ]
    - match: { to: play }
      do: [ { play: x.wav }, { reject: busy } ]
    - do: [ { dial: { number: "${to}", trunks: [acme], timeout: 20s } } ]
"#;

/// Outputs of one input: a call has few legs, and a message few answers.
const OUTPUTS_MAX: usize = 200;

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let config = Config::read("fuzz", CONFIG, &NoSecrets).map(|l| l.config);
    let plan = Dialplan::load(&[("fuzz".into(), DIALPLAN.into())], &Names::ANY);
    let local = SocketAddr::from(([10, 0, 0, 1], 5060));
    let of = |n, transport| Listener { id: ListenerId(n), transport, local, advertised: local };
    Setup {
        config: Arc::new(config.unwrap_or_else(|e| panic!("{e:?}"))),
        dialplan: Arc::new(plan.unwrap_or_else(|e| panic!("{e:?}"))),
        rates: Arc::default(),
        listeners: vec![of(0, Transport::Udp), of(1, Transport::Tcp)],
    }
});

struct World {
    switch: Switch,
    now: Instant,
}

impl World {
    fn feed(&mut self, input: Input) {
        let mut inputs = vec![input];
        let mut count = 0;
        while let Some(input) = inputs.pop() {
            let wall = Wall(1_795_446_000_000_000 + self.now.as_micros() as i64);
            self.switch.handle(Now { mono: self.now, wall }, input);
            while let Some(output) = self.switch.poll() {
                count += 1;
                assert!(count < OUTPUTS_MAX, "one input, {count} outputs");
                match output {
                    Output::Media(Command::Open { leg, .. }) => {
                        let rtp = SocketAddr::from(([10, 0, 0, 1], 30_000));
                        inputs.push(Input::Media(Event::Opened { leg, rtp }));
                    }
                    Output::Media(Command::Close { leg }) => {
                        inputs.push(Input::Media(Event::Closed { leg, quality: Box::default() }));
                    }
                    Output::Fact(tandem::event::Fact::CallEnded(record)) => {
                        inputs.push(Input::Stored { call: record.cdr.call });
                    }
                    _ => {}
                }
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut ticks = 0;
        while let Some((at, why)) = self.switch.deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.feed(Input::Tick);
            ticks += 1;
            assert!(ticks < 100_000, "{why} is due again and again");
        }
        self.now = end;
    }
}

/// Datagrams are parted by two NULs; the byte after them says how long to wait, and from where the next one comes.
pub fn packets(data: &[u8]) {
    let now = Instant::from_micros(1_000_000);
    let switch = Switch::new(SETUP.clone(), 7, Now { mono: now, wall: Wall(1_795_446_000_000_000) });
    let mut world = World { switch, now };
    let mut rest = data;
    for _ in 0..16 {
        let end = rest.windows(2).position(|w| w == [0, 0]).unwrap_or(rest.len());
        let how = rest.get(end + 2).copied().unwrap_or(0);
        let (transport, id) = if how & 1 == 1 { (Transport::Tcp, 1) } else { (Transport::Udp, 0) };
        let peer = SocketAddr::from(([10, 9, 0, 1 + (how >> 1 & 3)], 5060));
        let flow = Flow { listener: ListenerId(id), transport, peer, connection: u64::from(id) };
        world.feed(Input::Received { flow, bytes: Bytes::copy_from_slice(&rest[..end]) });
        world.run(Duration::from_millis(u64::from(how >> 3) * 20));
        rest = rest.get(end + 3..).unwrap_or(&[]);
        if rest.is_empty() {
            break;
        }
    }
    // Calls that talk on have no bound here; all else ends by its timers.
    world.run(Duration::from_secs(400));
    let c = world.switch.counters();
    assert!(c.transactions_server == 0 && c.transactions_client == 0, "at rest: {c:?}");
}
