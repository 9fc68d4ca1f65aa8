//! The files' REGISTERs again with the right credentials: what is bound.

use super::bench::{Bench, STRANGER, Sent, udp};
use super::octets;
use tandem::base::pii::Secret;
use tandem::base::rng::Rng;
use tandem::base::time::Duration;
use tandem::sip::auth::{DigestClient, Tries};
use tandem::sip::wire::Message;

/// Sends a file, answers the challenge as `user`, and gives the answer to that.
fn register(b: &mut Bench, of: &str, file: &str, user: &str) -> Sent {
    let flow = udp(STRANGER);
    let bytes = octets(of, file);
    let request = Message::parse(bytes.clone()).expect(file);
    b.datagram(flow, bytes.clone());
    let challenge = b.finals().pop().expect(file);
    let mut client = DigestClient::new(user, Secret::new("secret".to_owned()));
    let challenge = Message::parse(challenge.text.into()).expect(file);
    client.challenged(&challenge, &mut Tries::default()).expect(file);
    let credentials = client.authorize(&mut Rng::from_seed(1), "REGISTER", request.request_uri(), b"");
    // Its transaction must have ended, since the file's branch stays as it is.
    b.pass(Duration::from_secs(60));
    let line_end = bytes.windows(2).position(|w| w == b"\r\n").expect(file) + 2;
    let mut again = bytes[..line_end].to_vec();
    for (name, value) in credentials {
        again.extend(format!("{}: {value}\r\n", name.as_str()).bytes());
    }
    again.extend(&bytes[line_end..]);
    b.datagram(flow, again.into());
    b.finals().pop().expect(file)
}

#[test]
fn credentials_bind_what_the_contacts_say() {
    let rows: [(&str, &str, &str, u16, &[&str]); 9] = [
        ("rfc4475", "dblreq", "j.user", 200, &["<sip:j.user@host.example.com>;expires=3600"]),
        ("rfc4475", "regaut01", "j.user", 200, &[]),
        // §3.3.12: the parameter is the Contact's; §3.3.13: the URI's; §3.3.14: the headers stay in the URI.
        ("rfc4475", "cparam01", "watson", 200, &["<sip:+19725552222@gw1.example.net>;expires=3600"]),
        ("rfc4475", "cparam02", "watson", 200, &["<sip:+19725552222@gw1.example.net;unknownparam>;expires=3600"]),
        ("rfc4475", "regescrt", "user", 200, &["<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600"]),
        // Credentials are for the user that they name: nobody registers another.
        ("rfc4475", "escnull", "anna", 403, &[]),
        (
            "ours",
            "contactcomma",
            "anna",
            200,
            &[
                "<sip:anna@192.0.2.10:5060>;expires=3600;q=0.700",
                "<sip:anna@192.0.2.11?Subject=a,b>;expires=3600;q=0.100",
            ],
        ),
        ("ours", "digestsha256", "anna", 200, &["<sip:anna@192.0.2.10:5060>;expires=3600"]),
        ("ours", "digestnc", "anna", 200, &["<sip:anna@192.0.2.10:5060>;expires=3600"]),
    ];
    for (of, file, user, status, contacts) in rows {
        let mut b = Bench::new();
        let answer = register(&mut b, of, file, user);
        assert_eq!(answer.status(), status, "{file}: {}", answer.text);
        assert_eq!(answer.fields("Contact").collect::<Vec<_>>(), contacts, "{file}");
        assert_eq!(b.switch.counters().registrations, contacts.len() as u64, "{file}");
        b.pass(Duration::from_secs(7201));
        b.assert_empty(file);
    }
}
