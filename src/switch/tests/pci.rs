//! Secret digits: who is told, and who is not.

use super::*;
use crate::media::command::{Event as Heard, Hears, Method as By, Tones};
use crate::web::{Fetch, Order};

/// A dialplan that shows all that it knows of what was entered.
fn rule(gather: &str) -> String {
    format!(
        "contexts:\n  any:\n    - do: [ answer, {{ gather: {{ {gather} }}, on: {{ '1': [ {{ log: 'one ${{digits}}' }} ] }} }}, \
         {{ log: 'entered ${{digits}}' }}, {{ pause: 9s }} ]\n"
    )
}

fn answered(gather: &str, change: impl FnOnce(&mut crate::config::Config)) -> Bench {
    let rule = rule(gather);
    let mut b = Bench::new(&rule);
    let mut setup = setup(&rule);
    change(Arc::make_mut(&mut setup.config));
    b.switch = Switch::new(setup, 7, b.now);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    let tag = format!(";tag={}", b.last(CALLER).to_tag());
    b.receive(CALLER, request("ACK", 1, 1, &tag, ""));
    b
}

impl Bench {
    fn enter(&mut self, keys: &str) {
        let leg = *self.states.keys().next().unwrap();
        for digit in keys.chars() {
            self.pass(Duration::from_millis(400));
            self.input(Input::Media(Heard::Digit { leg, digit, duration_ms: 100, method: By::Inband }));
        }
    }

    fn shown(&self) -> String {
        let live: Vec<String> =
            self.switch.calls.iter().map(|(_, c)| format!("{:?}{:?}", c.timeline, c.script)).collect();
        live.concat()
    }

    fn fetched(&self) -> Option<&Fetch> {
        self.web.iter().rev().find_map(|order| if let Order::Fetch(fetch) = order { Some(&**fetch) } else { None })
    }
}

#[test]
fn what_is_entered_is_shown_to_nobody_where_it_is_a_secret() {
    type Change = fn(&mut crate::config::Config);
    let rows: [(&str, Change, bool); 4] = [
        ("digits: 4", |_| {}, false),
        ("digits: 4, pci: true", |_| {}, true),
        ("digits: 4", |c| c.pci = true, true),
        ("digits: 4", |c| c.trunks[0].pci = true, true),
    ];
    for (gather, change, is_secret) in rows {
        let mut b = answered(gather, change);
        let leg = *b.states.keys().next().unwrap();
        assert_eq!(b.states[&leg].tones == Tones::Sealed, is_secret, "{gather}");
        b.enter("4111");
        let shown = b.shown();
        assert_eq!(shown.contains("entered 4111"), !is_secret, "{gather}: {shown}");
        assert!(shown.contains("4 digits gathered") && (!is_secret || !shown.contains("4111")), "{shown}");
        assert_eq!(b.hears[&leg], Hears::Silence);
    }
    // The choice of a menu is the dialplan's own.
    let mut b = answered("digits: 1, pci: true", |_| {});
    b.enter("1");
    assert!(b.shown().contains("one 1"));
}

#[test]
fn only_the_action_is_told_and_only_where_nobody_listens() {
    for (url, pci, is_told) in [
        ("https://a.test/card", true, true),
        ("http://127.0.0.1:9/card", true, true),
        ("http://a.test/card", true, false),
        ("http://a.test/card", false, true),
    ] {
        let gather = format!("digits: 4, action: '{url}', method: GET, pci: {pci}");
        let mut b = answered(&gather, |_| {});
        b.enter("4111");
        let what = format!("{url} {pci}");
        let Some(fetch) = b.fetched() else {
            assert!(!is_told && b.shown().contains("13337"), "{what}");
            assert!(!b.shown().contains("4111"));
            continue;
        };
        assert!(is_told, "{what}");
        let plain = fetch.parameters.iter().any(|(_, v)| v.contains("4111"));
        let secret = fetch.secret.form.iter().map(|(n, v)| (n.as_str(), v.expose())).collect::<Vec<_>>();
        assert_eq!((plain, secret.contains(&("Digits", "4111"))), (!pci, pci), "{what}");
        assert_eq!(fetch.address.method == crate::web::Method::Post, pci, "{what}: never in a query");
        assert!(!format!("{fetch:?}").contains("4111") || !pci);
    }
}
