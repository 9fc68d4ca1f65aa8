//! Callers that a script sends elsewhere: what they are asked, what the application is told, and what follows.

use super::markup::APP;
use super::*;
use crate::web::Method as Verb;

/// A call whose first document refers the caller, who has acknowledged our 200.
fn referred(inside: &str) -> Bench {
    let mut b = Bench::new(APP);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.serve(inside);
    b.acknowledge();
    b
}

const REFER: &str =
    "<Refer action='went?a=1' method='GET'><Sip>sip:ann@far.test?X-Account=1</Sip></Refer><Redirect>/rest</Redirect>";

impl Bench {
    /// The caller answers the REFER that it got.
    fn refer_is(&mut self, status: &str) {
        let refer = self.last(CALLER).clone();
        assert_eq!(refer.method(), Method::Refer);
        self.answer(CALLER, &refer, status, "", None);
    }

    /// The caller tells how its new call goes.
    fn notify(&mut self, cseq: u32, state: &str, fragment: &str) {
        let ok = self.sent.iter().find(|(_, m)| m.status() == 200 && m.method() == Method::Invite);
        let tag = format!(";tag={}", ok.expect("the call was answered").1.to_tag());
        let text =
            request("NOTIFY", 1, cseq, &tag, fragment).replace("z9hG4bKNOTIFY1", &format!("z9hG4bKNOTIFY{cseq}"));
        let text = text.replace("Content-Type: application/sdp", "Content-Type: message/sipfrag");
        let head = format!("Event: refer\r\nSubscription-State: {state}\r\nContact:");
        self.receive(CALLER, text.replacen("Contact:", &head, 1));
    }

    fn refer_told(&self) -> [Option<&str>; 3] {
        ["ReferCallStatus", "ReferSipResponseCode", "NotifySipResponseCode"].map(|name| self.parameter(name))
    }
}

#[test]
fn the_caller_is_sent_elsewhere_and_the_application_is_told_how_it_went() {
    let rows = [
        ("SIP/2.0 200 OK", "in-progress", "200"),
        ("SIP/2.0 486 Busy Here", "busy", "486"),
        ("SIP/2.0 480 No", "no-answer", "480"),
        ("SIP/2.0 404 No", "failed", "404"),
    ];
    for (fragment, status, code) in rows {
        let mut b = referred(REFER);
        let refer = b.last(CALLER).clone();
        assert_eq!(refer.header_named("Refer-To"), Some("<sip:ann@far.test?X-Account=1>"));
        assert_eq!(refer.header_named("Referred-By"), Some("<sip:100@pbx.test>"));
        b.refer_is("202 Accepted");
        b.notify(2, "active;expires=60", "SIP/2.0 100 Trying\r\n");
        b.notify(3, "active;expires=60", "SIP/2.0 180 Ringing\r\n");
        assert_eq!(b.fetches(), 1, "the step is not over while it rings");
        b.notify(4, "terminated;reason=noresource", &format!("{fragment}\r\n"));
        assert_eq!((&*b.asked().address.url, b.asked().address.method), ("http://a.test/app/went?a=1", Verb::Get));
        assert_eq!(b.refer_told(), [Some(status), Some("202"), Some(code)]);
        assert_eq!(b.parameter("CallStatus"), Some("in-progress"));
        b.serve("<Hangup/>");
        assert_eq!(b.last(CALLER).method(), Method::Bye);
    }
}

#[test]
fn a_refer_that_is_refused_or_of_which_nothing_is_heard_has_failed() {
    let mut b = referred(REFER);
    b.refer_is("405 Method Not Allowed");
    assert_eq!(b.refer_told(), [Some("failed"), Some("405"), None]);

    // The subscription ends without a word of the new call.
    let mut b = referred(REFER);
    b.refer_is("202 Accepted");
    b.notify(2, "terminated;reason=giveup", "");
    assert_eq!(b.refer_told(), [Some("failed"), Some("202"), Some("503")]);

    let mut b = referred(REFER);
    b.refer_is("202 Accepted");
    b.pass(Duration::from_secs(181));
    assert_eq!((b.fetches(), b.refer_told()), (2, [None, Some("202"), None]));
}

#[test]
fn without_an_action_the_next_verb_follows_and_what_is_no_address_is_passed_by() {
    let mut b = referred("<Refer><Sip>sip:ann@far.test</Sip></Refer><Redirect>/rest</Redirect>");
    b.refer_is("202 Accepted");
    b.notify(2, "terminated", "SIP/2.0 200 OK\r\n");
    assert_eq!(&*b.asked().address.url, "http://a.test/rest");
    for uri in ["ann", "sip:", "sip:a@b&gt;;x", "sip:a@b c"] {
        let b = referred(&format!("<Refer action='went'><Sip>{uri}</Sip></Refer><Redirect>/rest</Redirect>"));
        assert_eq!(&*b.asked().address.url, "http://a.test/rest", "{uri}");
        assert!(b.sent.iter().all(|(_, m)| m.method() != Method::Refer), "{uri}");
    }
}

#[test]
fn no_refer_goes_out_before_the_ack_and_one_who_hangs_up_has_cancelled_it() {
    let mut b = Bench::new(APP);
    b.receive(CALLER, request("INVITE", 1, 1, "", &sdp(4000)));
    b.serve(REFER);
    assert_eq!(b.last(CALLER).status(), 200);
    b.acknowledge();
    b.refer_is("202 Accepted");
    b.notify(2, "active", "SIP/2.0 180 Ringing\r\n");
    b.caller_hangs_up();
    assert_eq!(b.fetches(), 1);
    let told = b.callbacks();
    let told = &told.last().expect("the application is told").parameters;
    let value = |name: &str| told.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let all = ["ReferCallStatus", "ReferSipResponseCode", "NotifySipResponseCode", "CallStatus"].map(value);
    assert_eq!(all, [Some("canceled"), Some("202"), Some("180"), Some("completed")]);
    let transfers = &b.ended[0].cdr.transfers;
    assert_eq!((transfers.len(), &*transfers[0].to, transfers[0].status), (1, "sip:ann@far.test?X-Account=1", 487));
    b.nothing_is_left();
}
