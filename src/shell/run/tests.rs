use super::*;
use crate::event::CallId;
use crate::shell::control::tests::{parts, phone};

#[test]
fn a_panic_ends_the_loop_and_what_was_recorded_before_is_kept() {
    let (parts, around) = parts(Limits::default());
    let phone = phone();
    for message in ["end", "panic"] {
        phone.send_to(message.as_bytes(), around.udp[0]).unwrap();
    }
    assert_eq!(std::thread::spawn(move || guard(move || Control::new(parts))).join().unwrap(), End::Panicked);
    around.ledger.join().unwrap();
    assert_eq!(*around.kept.lock().unwrap(), [CallId(7)]);
}

#[test]
fn a_stop_ends_the_loop_and_nobody_who_asks_waits_for_ever() {
    let (parts, around) = parts(Limits::default());
    around.mail.stop();
    assert_eq!(std::thread::spawn(move || guard(move || Control::new(parts))).join().unwrap(), End::Done);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(around.mail.report()).is_none());
}

#[test]
fn random_octets_differ() {
    assert_ne!(random::<16>().unwrap(), random::<16>().unwrap());
}
