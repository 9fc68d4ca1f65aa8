//! Attributes of markup by what they do to a call: tables, a row each.

use super::*;
use crate::media::command::Hears;
use crate::web::Method as Verb;

/// A call that runs this document.
fn run(inside: &str) -> Bench {
    let mut b = Bench::new("contexts:\n  any:\n    - do: [ { markup: \"http://a.test/app/voice\" } ]\n");
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.serve(inside);
    b.acknowledge();
    b
}

#[test]
fn methods_of_requests_are_as_written() {
    // A document, what makes the request, and its method.
    type Row = (&'static str, fn(&mut Bench), Verb);
    let nothing: fn(&mut Bench) = |_| {};
    let rows: [Row; 6] = [
        ("<Enqueue waitUrl='w' waitUrlMethod='GET'>q</Enqueue>", nothing, Verb::Get),
        ("<Enqueue waitUrl='w' waitUrlMethod='post'>q</Enqueue>", nothing, Verb::Post),
        ("<Enqueue waitUrl='w'>q</Enqueue>", nothing, Verb::Post),
        ("<Enqueue waitUrl='w' action='a' method='GET'>q</Enqueue>", |b| b.serve("<Leave/>"), Verb::Get),
        ("<Enqueue waitUrl='w' action='a'>q</Enqueue>", |b| b.serve("<Leave/>"), Verb::Post),
        ("<Redirect method='GET'>r</Redirect>", nothing, Verb::Get),
    ];
    for (inside, then, method) in rows {
        let mut b = run(inside);
        then(&mut b);
        assert_eq!(b.asked().address.method, method, "{inside}");
    }
}

#[test]
fn what_is_heard_before_anything_else() {
    type Row = (&'static str, fn(&Hears) -> bool);
    let rows: [Row; 2] = [
        ("<Enqueue>q</Enqueue>", |h| matches!(h, Hears::Play { loops: 0, .. })),
        ("<Dial><Queue>q</Queue></Dial>", |h| matches!(h, Hears::Tone { .. })),
    ];
    for (inside, is_heard) in rows {
        let b = run(inside);
        let hears = b.hears.values().next().expect("the caller has media");
        assert!(is_heard(hears), "{inside}: {hears:?}");
    }
}
