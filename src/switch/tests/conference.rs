//! Conferences from outside: calls come and go, and the room gets what it is to do.

use super::*;
use crate::media::command::{Hears, LegId, Listens, Member, RoomId, RoomSound, RoomState, Says, Sounding};

/// A plan whose numbers are conferences with the given options; who comes out of one hears a prompt.
fn plan(conferences: &[(&str, &str)]) -> String {
    let rule = |(to, options): &(&str, &str)| {
        format!(
            "    - match: {{ to: \"{to}\" }}\n      do: [ {{ conference: {{ {options} }} }}, {{ play: bye.wav }} ]\n"
        )
    };
    format!("contexts:\n  any:\n{}", conferences.iter().map(rule).collect::<String>())
}

impl Bench {
    /// Caller `n` dials; its tag in the answer.
    pub(super) fn dial(&mut self, n: usize, to: &str) -> String {
        let invite = request("INVITE", n, 1, "", &sdp(4000)).replace("sip:100@", &format!("sip:{to}@"));
        self.receive(CALLER, invite);
        let ok = self.last(CALLER).clone();
        assert_eq!(ok.status(), 200, "caller {n} to {to}");
        let tag = format!(";tag={}", ok.to_tag());
        self.receive(CALLER, request("ACK", n, 1, &tag, ""));
        tag
    }

    pub(super) fn bye(&mut self, n: usize, tag: &str) {
        self.receive(CALLER, request("BYE", n, 2, tag, ""));
    }

    pub(super) fn room(&self) -> &RoomState {
        assert_eq!(self.rooms.len(), 1, "{:?}", self.rooms);
        self.rooms.values().next().unwrap()
    }

    /// One letter a member, in order of legs: `T`alks, `m`uted, `w`aits (or is held), `d`eaf, `c`oaches.
    pub(super) fn members(&self) -> String {
        let letter = |m: &Member| match (&m.says, m.listens) {
            (Says::Everyone, Listens::Talk) => 'T',
            (Says::Nobody, Listens::Talk) => 'm',
            (Says::Nobody, Listens::Music) => 'w',
            (_, Listens::Nothing) => 'd',
            (Says::Only(_), Listens::Talk) => 'c',
            other => panic!("{other:?}"),
        };
        self.rooms.values().next().map_or(String::new(), |room| room.members.iter().map(letter).collect())
    }

    pub(super) fn beep(&self) -> Option<Sounding> {
        self.room().beep.as_ref().map(|b| b.what.clone())
    }

    pub(super) fn view(&mut self) -> ConferenceView {
        self.input(Input::Operator { id: 1, ask: Operator::Conferences });
        match self.replies.pop() {
            Some(Reply::Conferences(mut views)) if views.len() == 1 => views.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn ask(&mut self, ask: Operator) -> Reply {
        self.input(Input::Operator { id: 1, ask });
        self.replies.pop().unwrap()
    }

    pub(super) fn notes(&self, record: usize) -> Vec<&str> {
        let entries = self.ended[record].timeline.entries().iter();
        entries
            .filter_map(|e| if let crate::event::What::Note(text) = &e.what { Some(&**text) } else { None })
            .collect()
    }
}

const IN_ROOM: Hears = Hears::Room(RoomId(1));

#[test]
fn it_begins_with_two_and_ends_with_the_last() {
    let mut b = Bench::new(&plan(&[("7", "name: sales")]));
    let one = b.dial(1, "7");
    assert_eq!((b.members().as_str(), b.beep()), ("w", None));
    let two = b.dial(2, "7");
    assert_eq!((b.members().as_str(), b.beep()), ("TT", Some(Sounding::Enter)));
    assert_eq!(b.hears.values().filter(|h| **h == IN_ROOM).count(), 2);
    let three = b.dial(3, "7");
    let view = b.view();
    assert_eq!((view.name.as_str(), view.state, view.participants.len()), ("sales", "in-progress", 3));
    b.bye(2, &two);
    assert_eq!((b.members().as_str(), b.beep()), ("TT", Some(Sounding::Exit)));
    b.bye(1, &one);
    assert_eq!(b.members(), "T", "it goes on with one");
    b.bye(3, &three);
    assert!(b.rooms.is_empty());
    assert!(matches!(b.ask(Operator::Conferences), Reply::Conferences(all) if all.is_empty()));
    assert_eq!(b.notes(0), ["number 2 in the conference sales", "left the conference"]);
    let first =
        ["number 1 in the conference sales, which has not begun", "the conference begins", "left the conference"];
    assert_eq!(b.notes(1), first);
    b.pass(Duration::from_secs(200));
    let c = b.switch.counters();
    assert_eq!((c.calls_active, c.legs_active, c.media_legs_active, c.timers), (0, 0, 0, 0));
}

#[test]
fn options_do_what_they_say() {
    // Who dials, in order; the members then, and whether the last one who came was heard to come.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, bool);
    let rows: [Row<'_>; 8] = [
        (&[("1", "start_on_enter: false"), ("2", "start_on_enter: false")], "ww", false),
        (&[("1", "start_on_enter: false"), ("2", "start_on_enter: false"), ("3", "beep: true")], "TTT", true),
        (&[("1", "beep: true"), ("2", "muted: true")], "Tm", true),
        (&[("1", "beep: true"), ("2", "beep: false")], "TT", false),
        (&[("1", "beep: true"), ("2", "beep: on_exit")], "TT", false),
        (&[("1", "beep: true"), ("2", "beep: on_enter")], "TT", true),
        (&[("1", "beep: true"), ("2", "coach: nobody")], "Tm", true),
        (&[("1", "max_participants: 1"), ("2", "max_participants: 2")], "TT", true),
    ];
    for (callers, members, beeps) in rows {
        let named: Vec<(&str, String)> = callers.iter().map(|(to, o)| (*to, format!("name: x, {o}"))).collect();
        let plans: Vec<(&str, &str)> = named.iter().map(|(to, o)| (*to, o.as_str())).collect();
        let mut b = Bench::new(&plan(&plans));
        for (n, (to, _)) in callers.iter().enumerate() {
            b.dial(n, to);
        }
        assert_eq!((b.members().as_str(), b.beep().is_some()), (members, beeps), "{callers:?}");
    }
}

#[test]
fn who_does_not_get_in_goes_on() {
    let mut b = Bench::new(&plan(&[("7", "name: small, max_participants: 1"), ("8", "name: \"${header.x}\"")]));
    b.dial(1, "7");
    b.dial(2, "7");
    b.dial(3, "8");
    assert_eq!(b.members(), "w");
    let plays = b.hears.values().filter(|h| matches!(h, Hears::Play { .. })).count();
    assert_eq!(plays, 2, "the step after the conference: {:?}", b.hears);
}

#[test]
fn the_one_with_end_on_exit_takes_all_along() {
    let mut b = Bench::new(&plan(&[("1", "name: x"), ("2", "name: x, end_on_exit: true")]));
    b.dial(1, "1");
    let chair = b.dial(2, "2");
    b.dial(3, "1");
    b.bye(2, &chair);
    assert!(b.rooms.is_empty());
    assert_eq!(b.hears.values().filter(|h| matches!(h, Hears::Play { .. })).count(), 2, "{:?}", b.hears);
    b.dial(4, "1");
    assert_eq!(b.members(), "w", "the next one to come begins another");
}

#[test]
fn music_before_the_beginning_and_on_hold() {
    let mut b = Bench::new(&plan(&[("1", "name: x, wait: jazz.wav"), ("2", "name: x")]));
    let tag = b.dial(1, "1");
    let music = b.room().music.clone();
    let jazz = Sounding::File { file: "jazz.wav".into(), loops: 0 };
    assert_eq!(music.as_ref().map(|m| &m.what), Some(&jazz));
    b.dial(2, "2");
    assert_eq!((b.members().as_str(), &b.room().music), ("TT", &None));
    // The phone puts the call on hold: its own music is not for the others.
    let hold = sdp(4000) + "a=sendonly\r\n";
    let reinvite =
        |cseq: u32, sdp: &str| request("INVITE", 1, cseq, &tag, sdp).replace("bKINVITE1", &format!("bKINVITE1-{cseq}"));
    b.receive(CALLER, reinvite(3, &hold));
    assert_eq!((b.members().as_str(), &b.room().music), ("wT", &music));
    b.receive(CALLER, request("ACK", 1, 3, &tag, ""));
    b.receive(CALLER, reinvite(4, &sdp(4000)));
    assert_eq!((b.members().as_str(), &b.room().music), ("TT", &None));
}

#[test]
fn the_operator_mutes_holds_coaches_and_ends() {
    let mut b = Bench::new(&plan(&[("7", "name: x")]));
    (1..=3).for_each(|n| _ = b.dial(n, "7"));
    let calls: Vec<CallId> = b.view().participants.iter().map(|p| p.call).collect();
    let change =
        |call: usize, change: Change| Operator::Participant { conference: "x".into(), call: calls[call], change };
    let on = |field: &str| Change {
        muted: (field == "muted").then_some(true),
        hold: (field == "hold").then_some(true),
        deaf: (field == "deaf").then_some(true),
        ..Change::default()
    };
    for (field, members) in [("muted", "mTT"), ("hold", "wTT"), ("deaf", "dTT")] {
        assert!(matches!(b.ask(change(0, on(field))), Reply::Done));
        assert_eq!(b.members(), members);
    }
    let back = Change { muted: Some(false), hold: Some(false), deaf: Some(false), ..Change::default() };
    b.ask(change(0, back));
    b.ask(change(1, Change { volume_db: Some(-6), ..Change::default() }));
    assert_eq!((b.members().as_str(), b.room().members[1].volume_q12), ("TTT", 2_053));
    b.ask(change(2, Change { coach: Some(calls[1].to_string()), ..Change::default() }));
    assert_eq!(b.room().members[2].says, Says::Only([b.room().members[1].leg].into()));
    assert_eq!(b.view().participants[2].coach, Some(calls[1].to_string()));
    b.ask(change(2, Change { coach: Some(String::new()), ..Change::default() }));
    assert_eq!(b.members(), "TTT");

    let leg = b.room().members[1].leg;
    b.input(Input::Media(media::Event::Speaker { room: RoomId(1), leg: Some(leg) }));
    assert_eq!(b.view().participants.iter().map(|p| p.speaking).collect::<Vec<_>>(), [false, true, false]);
    b.ask(Operator::Announce { conference: "x".into(), file: "news.wav".into() });
    let RoomSound { id, .. } = b.room().announcement.clone().unwrap();
    b.input(Input::Media(media::Event::RoomPlayEnded { room: RoomId(1), id, played: true }));
    assert_eq!(b.room().announcement, None);

    let end = |only| Operator::EndConference { conference: "x".into(), only };
    assert!(matches!(b.ask(end(Some(calls[0]))), Reply::Done));
    assert_eq!(b.members(), "TT");
    assert!(matches!(b.ask(end(Some(calls[0]))), Reply::NotFound));
    assert!(matches!(b.ask(end(None)), Reply::Done));
    assert!(b.rooms.is_empty());
    assert!(matches!(b.ask(end(None)), Reply::NotFound));
    assert_eq!(b.hears.values().filter(|h| matches!(h, Hears::Play { .. })).count(), 3);
    b.input(Input::Media(media::Event::Speaker { room: RoomId(1), leg: Some(LegId(1)) }));
}

#[test]
fn calls_that_may_meet_share_a_group() {
    let plan = "contexts:\n  any:\n    - { match: { to: \"1\" }, do: [ answer, { goto: deep } ] }\n    - { match: { to: \"2\" }, do: [ answer, echo ] }\n    - name: deep\n      match: { to: \"3\" }\n      do: [ answer, { branch: { if: '\"${to}\" == \"9\"', do: [ { conference: x } ] } }, echo ]\n";
    let mut b = Bench::new(plan);
    (0..6).for_each(|n| _ = b.dial(n, ["1", "2", "3"][n % 3]));
    let [a, b, c, d, e, f] = b.groups[..] else { panic!("{:?}", b.groups) };
    assert!(a == c && c == d && d == f, "a way leads into a conference, whether it is taken or not");
    assert!(b != a && e != a && b != e);
}
