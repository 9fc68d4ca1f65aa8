//! What a dialplan file may hold: the one table for checking and for `tandem schema --dialplan`.

use crate::base::yaml::{Key, Shape, Type, Variant, Variants, key, required};
use crate::config::shapes::is_country;
use crate::verb::is_time_zone;

mod features;
mod meeting;

pub use features::{FORWARD, PARK, PICKUP, RETRIEVE};
pub use meeting::{CONFERENCE, ENQUEUE};

pub static FILE: Shape = Shape {
    name: "dialplan",
    doc: "Contexts with their rules, and tests of them.",
    keys: &[
        key(
            "contexts",
            Type::Dict(&RULES),
            "",
            "The contexts by name; a trunk or a user enters the dialplan at its context.",
        ),
        key("tests", Type::List(&Type::Map(&TEST)), "", "Calls and what is expected of them; run by `tandem test`."),
    ],
    prefixed: None,
};

static RULES: Type = Type::List(&Type::Map(&RULE));

pub static RULE: Shape = Shape {
    name: "rule",
    doc: "Rules are tried in order; the first whose `match` and `when` hold is taken; no rule: 404.",
    keys: &[
        key("name", Type::Text, "", "Shown in CDRs and timelines, and where `goto` goes to; file:line if missing."),
        key("match", Type::Map(&MATCH), "", "All of these must match; no `match` takes every call."),
        key("when", Type::Map(&WHEN), "", "Times at which the rule holds."),
        required("do", Type::As(&STEPS), "The steps, in order."),
    ],
    prefixed: None,
};

/// Patterns are parsed by hand, so that the fault says what is wrong with the expression.
static PATTERNS: Type = Type::OneOrMore(&Type::Text);

pub static MATCH: Shape = Shape {
    name: "match",
    doc: "A literal, a /regular expression/ (anchored only where it says so), or a list of which one must match. Groups are \
          $1, $2, … in the order to, from, trunk, user, headers.",
    keys: &[
        key("to", Type::OneOrMore(&Type::Text), "", "The number or name dialled: the user part of the Request-URI."),
        key("from", Type::OneOrMore(&Type::Text), "", "The caller: the user part of From."),
        key("trunk", Type::OneOrMore(&Type::Text), "", "Name of the trunk that the call came by."),
        key("user", Type::OneOrMore(&Type::Text), "", "Name of the user who calls."),
    ],
    prefixed: Some(("header.", &PATTERNS)),
};

pub static WHEN: Shape = Shape {
    name: "when",
    doc: "Holds if all that it names hold.",
    keys: &[
        key("hours", Type::OneOrMore(&Type::Text), "", "Weekly hours: mon-fri 09:00-18:00, sat 10:00-14:00."),
        key(
            "timezone",
            Type::Form("a time zone such as Europe/Berlin", is_time_zone),
            "UTC",
            "Where the hours and dates hold.",
        ),
        key(
            "dates",
            Type::OneOrMore(&Type::Text),
            "",
            "Days: 2026-12-25, 2026-12-24..2027-01-01, or 12-25 for each year.",
        ),
        key(
            "verstat",
            Type::OneOrMore(&VERSTAT),
            "",
            "What verification says of the caller's number, alone or with the attestation: TN-Validation-Passed-A.",
        ),
        key("not", Type::Map(&WHEN), "", "Holds if this does not."),
    ],
    prefixed: None,
};

pub static VERSTAT: Type = VERSTAT_ONE;

const VERSTAT_ONE: Type = Type::Choice(&[
    "TN-Validation-Passed",
    "TN-Validation-Passed-A",
    "TN-Validation-Passed-B",
    "TN-Validation-Passed-C",
    "TN-Validation-Failed",
    "TN-Validation-Failed-A",
    "TN-Validation-Failed-B",
    "TN-Validation-Failed-C",
    "No-TN-Validation",
]);

static STEPS: Type = Type::OneOrMore(&STEP_TYPE);
static STEP_TYPE: Type = Type::OneOf(&STEP);

pub static STEP: Variants = Variants {
    name: "step",
    options: &[
        now("answer", Type::Map(&ANSWER), true, "Answers the call."),
        now("reject", Type::Short(&REJECT, "status"), true, "Refuses the call and ends the script."),
        now("play", Type::Short(&PLAY, "file"), false, "Plays a prompt; before the answer as early media."),
        now("tone", Type::Short(&TONE, "name"), false, "Plays a tone of a country."),
        now("echo", Type::Short(&ECHO, "duration"), true, "Lets the caller hear itself."),
        now("dial", Type::Short(&DIAL, "user"), false, "Calls somebody and joins both sides."),
        now("conference", Type::Short(&CONFERENCE, "name"), false, "Joins a conference until it ends."),
        now(
            "enqueue",
            Type::Short(&ENQUEUE, "name"),
            false,
            "Lets the caller wait in a queue until somebody takes it out.",
        ),
        now("leave", Type::Map(&ANSWER), true, "In what is heard in a queue: out of the queue."),
        now("record", Type::Short(&RECORD, "max_length"), true, "Records the caller's message, after a beep."),
        now("record_call", Type::Short(&RECORD_CALL, "action"), true, "Records the whole call from here on."),
        now("set", Type::Dict(&Type::Text), false, "Sets variables."),
        now("branch", Type::OneOrMore(&Type::Map(&CASE)), false, "Goes on with the first case whose condition holds."),
        now("goto", Type::Short(&GOTO, "rule"), false, "Goes on with another rule's steps; its match is not asked."),
        now("pause", Type::Short(&PAUSE, "duration"), false, "Waits."),
        now("hangup", Type::Short(&HANGUP, "reason"), true, "Ends the call."),
        now("log", Type::Short(&LOG, "text"), false, "Writes a line to the log and the call's timeline."),
        now("say", Type::Short(&SAY, "text"), false, "Speaks a text; before the answer as early media."),
        now("gather", Type::Short(&GATHER, "digits"), true, "Takes digits from the caller."),
        now("pay", Type::Short(&super::pay::PAY, "amount"), true, "Takes a payment by card or bank account."),
        now("pickup", Type::Short(&PICKUP, "user"), true, "Answers what rings at somebody else."),
        now("park", Type::Short(&PARK, "slot"), true, "Lets the caller wait until somebody retrieves it."),
        now("retrieve", Type::Short(&RETRIEVE, "slot"), false, "Joins the caller to a parked call."),
        now("forward", Type::Short(&FORWARD, "always"), false, "Changes where the calling user's calls go."),
        now("markup", Type::Short(&REDIRECT, "url"), false, "Goes on with what a document in markup says."),
        now("redirect", Type::Short(&REDIRECT, "url"), false, "As markup."),
        now(
            "refer",
            Type::Short(&REFER, "uri"),
            false,
            "Asks the caller's phone or carrier to call somebody else (REFER), and waits how that goes.",
        ),
        later("voicemail"),
        later("stream"),
        later("message"),
    ],
    beside: &ON,
};

const fn now(name: &'static str, kind: Type, bare: bool, doc: &'static str) -> Variant {
    Variant { name, doc, kind, bare, later: false }
}

const fn later(name: &'static str) -> Variant {
    Variant { name, doc: "", kind: Type::Later, bare: false, later: true }
}

static ON: Shape = Shape {
    name: "step",
    doc: "",
    keys: &[key("on", Type::Map(&OUTCOMES), "", "Steps by outcome; the script then goes on with the next step.")],
    prefixed: None,
};

pub static OUTCOMES: Shape = Shape {
    name: "set of outcomes",
    doc: "A `dial` is answered (and over), busy, no_answer, failed or cancelled; a `gather` has a digit, done or none; a `pay` is done, none,
          cancelled or failed; a `refer` is done, busy, no_answer or failed; other \
          steps are done or failed.",
    keys: &[
        key(
            "answered",
            Type::As(&STEPS),
            "",
            "It was answered, and the other side hung up. Without this the script ends.",
        ),
        key("busy", Type::As(&STEPS), "", "It was busy."),
        key("no_answer", Type::As(&STEPS), "", "It rang for the timeout."),
        key("failed", Type::As(&STEPS), "", "It could not be done."),
        key("cancelled", Type::As(&STEPS), "", "It was given up."),
        key("done", Type::As(&STEPS), "", "It came to its end; of a gather: something else was entered."),
        key("none", Type::As(&STEPS), "", "Nothing was entered."),
        key("0", Type::As(&STEPS), "", "0 was entered."),
        key("1", Type::As(&STEPS), "", "1 was entered."),
        key("2", Type::As(&STEPS), "", "2 was entered."),
        key("3", Type::As(&STEPS), "", "3 was entered."),
        key("4", Type::As(&STEPS), "", "4 was entered."),
        key("5", Type::As(&STEPS), "", "5 was entered."),
        key("6", Type::As(&STEPS), "", "6 was entered."),
        key("7", Type::As(&STEPS), "", "7 was entered."),
        key("8", Type::As(&STEPS), "", "8 was entered."),
        key("9", Type::As(&STEPS), "", "9 was entered."),
        key("*", Type::As(&STEPS), "", "* was entered."),
        key("#", Type::As(&STEPS), "", "# was entered."),
    ],
    prefixed: None,
};

static ANSWER: Shape = Shape { name: "answer", doc: "", keys: &[], prefixed: None };

pub static REJECT: Shape = Shape {
    name: "reject",
    doc: "",
    keys: &[
        key(
            "status",
            Type::Form(
                "a status from 400 to 699, or one of busy, decline, not_found, forbidden, unavailable, congestion",
                is_status,
            ),
            "603",
            "SIP status, or a word for one.",
        ),
        key("reason", Type::Text, "", "Reason phrase; the RFC's if missing."),
    ],
    prefixed: None,
};

const STATUSES: [(&str, u16); 6] = [
    ("busy", 486),
    ("decline", 603),
    ("not_found", 404),
    ("forbidden", 403),
    ("unavailable", 480),
    ("congestion", 503),
];

/// A SIP status as a dialplan writes it: a number, or a word.
pub fn status(text: &str) -> Option<u16> {
    let number = || text.parse().ok().filter(|n| (400..=699).contains(n));
    STATUSES.iter().find(|(word, _)| *word == text).map(|(_, status)| *status).or_else(number)
}

fn is_status(text: &str) -> bool {
    status(text).is_some()
}

pub static PLAY: Shape = Shape {
    name: "play",
    doc: "",
    keys: &[
        key(
            "file",
            Type::Text,
            "",
            "The prompt's WAV file, relative to media.prompts; or an address, which is fetched.",
        ),
        key(
            "digits",
            Type::Form("some of 0-9, *, #, A-D and w", is_keys),
            "",
            "Or digits to send; w waits half a second.",
        ),
        key("loop", Type::Int(0, 1_000), "1", "How many times; 0 is for ever."),
    ],
    prefixed: None,
};

fn is_keys(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| "0123456789*#ABCDw".contains(c))
}

pub static SAY: Shape = Shape {
    name: "say",
    doc: "",
    keys: &[
        required("text", Type::Text, "What is said."),
        key("ssml", Type::Bool, "false", "The text has SSML elements in it."),
        key("voice", Type::Text, "", "As Twilio names it; the configuration's if missing."),
        key("language", Type::Text, "", "Such as en-US; the configuration's if missing."),
        key("loop", Type::Int(0, 1_000), "1", "How many times; 0 is for ever."),
    ],
    prefixed: None,
};

pub static GATHER: Shape = Shape {
    name: "gather",
    doc: "Then ${digits} holds what was entered, ${speech} what was said, and `on` has the steps for each digit. What is typed before
is taken first.",
    keys: &[
        key("digits", Type::Int(1, 255), "", "It is over with so many; by the key or by the time if missing."),
        key("input", Type::Choice(&["dtmf", "speech", "dtmf speech"]), "dtmf", "What counts: keys, what is said, or both."),
        key("hints", Type::Text, "", "What is likely to be said, separated by commas."),
        key("language", Type::Text, "", "What is spoken, such as en-US; the recogniser's if missing."),
        key("speech_timeout", Type::Duration, "", "The pause that ends what is said; a short one if missing."),
        key("max_speech_time", Type::Duration, "60s", "The longest that anybody may speak."),
        key("partial", Type::Text, "", "An address that is told what is understood so far."),
        key("timeout", Type::Duration, "5s", "Silence after the prompt, and between two digits."),
        key("finish_on_key", Type::Choice(&["#", "*", "none"]), "#", "The key that ends it."),
        key("prompt", Type::OneOrMore(&Type::OneOf(&PROMPT)), "", "What is heard meanwhile; the first digit stops it."),
        key("barge_in", Type::Bool, "true", "A digit stops the prompt."),
        key("action", Type::Text, "", "An address that is told what was entered; its document is what follows."),
        key("method", METHOD, "POST", "How it is asked."),
        key("action_on_empty", Type::Bool, "false", "It is asked also if nothing was entered."),
        key(
            "pci",
            Type::Bool,
            "false",
            "What is entered is a secret: only the action is told, over https; ${digits} stays empty but for what `on` names.",
        ),
    ],
    prefixed: None,
};

pub(super) static PROMPT: Variants = Variants {
    name: "prompt",
    options: &[
        now("play", Type::Short(&PLAY, "file"), false, "A prompt."),
        now("say", Type::Short(&SAY, "text"), false, "A text."),
        now("pause", Type::Short(&PAUSE, "duration"), false, "Silence."),
    ],
    beside: &ANSWER,
};

pub(super) const METHOD: Type = Type::Choice(&["POST", "GET"]);

pub static REDIRECT: Shape = Shape {
    name: "document",
    doc: "Markup, or text that is said, or sound that is played. When it ends the call ends.",
    keys: &[
        required("url", Type::Text, "Its address, or a file beside the configuration."),
        key("method", METHOD, "POST", "How it is asked."),
        key("fallback", Type::Text, "", "Asked where a document of this call fails."),
    ],
    prefixed: None,
};

pub static REFER: Shape = Shape {
    name: "refer",
    doc: "It is done when the new call was answered; else busy, no_answer or failed. The caller ends its call with us by itself.",
    keys: &[
        required("uri", Type::Text, "A SIP address; headers behind ? go into the new call."),
        key(
            "action",
            Type::Text,
            "",
            "Asked then, with ReferCallStatus, ReferSipResponseCode and NotifySipResponseCode; its answer is what follows.",
        ),
        key("method", METHOD, "POST", "How it is asked."),
    ],
    prefixed: None,
};

pub static TONE: Shape = Shape {
    name: "tone",
    doc: "",
    keys: &[
        required("name", Type::Choice(&["ringback", "busy", "congestion", "dial", "information"]), "Which tone."),
        key("country", COUNTRY, "", "Whose; media.country if missing."),
        key("duration", Type::Duration, "", "How long; for ever if missing."),
    ],
    prefixed: None,
};

const COUNTRY: Type = Type::Form("a country whose tones are known, such as us, uk or de", is_country);

pub static ECHO: Shape = Shape {
    name: "echo",
    doc: "",
    keys: &[key("duration", Type::Duration, "", "How long; until the caller hangs up if missing.")],
    prefixed: None,
};

pub static DIAL: Shape = Shape {
    name: "dial",
    doc: "One of user, number (with trunks), uri, group, queue or conference says whom.",
    keys: &[
        USER,
        NUMBER,
        TRUNKS,
        LCR,
        URI,
        key("group", Type::Map(&GROUP), "", "Several targets."),
        key("queue", Type::Text, "", "A queue: whoever waits longest in it, or comes first within the timeout."),
        key("url", Type::Text, "", "Of a queue: a document that the one who waited hears before both are joined."),
        key("conference", Type::Short(&CONFERENCE, "name"), "", "A conference, as the step of that name."),
        key("timeout", Type::Duration, "60s", "How long it may ring; of each target if sequential."),
        key("caller_id", Type::Text, "", "The number shown to the called side; the caller's own if missing."),
        key("caller_name", Type::Text, "", "The name shown to the called side."),
        key(
            "attest",
            Type::Choice(&["A", "B", "C", "none"]),
            "",
            "What is signed of the caller; the trunk's `sign` decides if missing.",
        ),
        key("media", Type::Choice(&["anchored", "direct"]), "anchored", "direct: no media through Tandem."),
        key(
            "codecs",
            Type::OneOrMore(&Type::Choice(crate::config::CODECS)),
            "",
            "What is offered, in this order; the trunk's or media.codecs if missing.",
        ),
        key("time_limit", Type::Duration, "", "Longest talk after the answer."),
        key(
            "ringback",
            COUNTRY,
            "",
            "Plays this country's ringback until the answer; else the called side's ringing is passed on.",
        ),
        key(
            "record",
            RECORDED,
            "false",
            "Records from the answer on, or from the ringing on; one channel for both parties, or one each.",
        ),
        key("headers", Type::Dict(&Type::Text), "", "Further headers of the INVITE, by name."),
        key(
            "machine_detection",
            Type::Choice(&["enable", "message_end"]),
            "",
            "Listens whether a person or a machine answers; ${answered_by} says it. message_end: when a greeting is over.",
        ),
        key("machine_status", Type::Text, "", "An address that is told who has answered."),
    ],
    prefixed: None,
};

const USER: Key = key("user", Type::Text, "", "A registered user: all its contacts at once.");
const NUMBER: Key = key("number", Type::Text, "", "A number to call by a trunk.");
const TRUNKS: Key = key("trunks", Type::OneOrMore(&Type::Text), "", "The trunks for the number, tried in order.");
const LCR: Key = key(
    "lcr",
    Type::Bool,
    "false",
    "The trunks for the number in the order of their rates, the cheapest first; without `trunks` all that have rates.",
);
const URI: Key = key("uri", Type::Text, "", "An address: sip:bob@example.com.");

pub static GROUP: Shape = Shape {
    name: "group",
    doc: "",
    keys: &[
        key(
            "strategy",
            Type::Choice(&["simultaneous", "sequential", "weighted"]),
            "simultaneous",
            "All at once; one after the other; or one after the other in an order drawn by weight.",
        ),
        required("targets", Type::List(&Type::Short(&TARGET, "user")), "Whom to call."),
    ],
    prefixed: None,
};

pub static TARGET: Shape = Shape {
    name: "target",
    doc: "",
    keys: &[
        USER,
        NUMBER,
        TRUNKS,
        LCR,
        URI,
        key("weight", Type::Int(1, 1_000_000), "1", "How often it is drawn first."),
    ],
    prefixed: None,
};

pub static RECORD: Shape = Shape {
    name: "record",
    doc: "The message ends by a key, by silence, or after its longest time. `failed` if nothing was said. Then ${recording} names \
          it, ${recording_duration} is its length in seconds, ${recording_key} the key.",
    keys: &[
        key("max_length", Type::Duration, "1h", "How long it may be."),
        key("finish_on_key", Type::Text, "1234567890*#", "The keys of which one ends it; none: no key does."),
        key("timeout", Type::Duration, "5s", "Silence that ends it; 0s never."),
        key("beep", Type::Bool, "true", "A beep before it."),
        key("trim", Type::Bool, "true", "Cuts the silence off both ends."),
    ],
    prefixed: None,
};

pub static RECORD_CALL: Shape = Shape {
    name: "record_call",
    doc: "",
    keys: &[
        key("action", Type::Choice(&["start", "stop", "pause", "resume"]), "start", "What becomes of the recording."),
        key(
            "channels",
            Type::Choice(&["mono", "dual"]),
            "",
            "One for both parties, or one each; recording.channels if missing.",
        ),
        key("paused", Type::Choice(&["silence", "skip"]), "silence", "What stands for the pause in the recording."),
    ],
    prefixed: None,
};

const RECORDED: Type =
    Type::Choice(&["false", "true", "mono", "dual", "from-ringing", "mono-from-ringing", "dual-from-ringing"]);

pub static CASE: Shape = Shape {
    name: "case",
    doc: "A condition compares with ==, !=, =~ /…/, !~ /…/, in [\"a\", \"b\"], hours(\"mon-fri 09:00-18:00\", \"Europe/Berlin\"), \
          and joins with and, or, not and parentheses.",
    keys: &[
        key("if", Type::Text, "", "The condition: \"${to}\" == \"100\"."),
        key("do", Type::As(&STEPS), "", "Steps if it holds."),
        key("else", Type::As(&STEPS), "", "Steps if no case holds."),
    ],
    prefixed: None,
};

pub static GOTO: Shape = Shape {
    name: "goto",
    doc: "",
    keys: &[
        required("rule", Type::Text, "The rule's name."),
        key("context", Type::Text, "", "Its context; the same if missing."),
    ],
    prefixed: None,
};

pub static PAUSE: Shape =
    Shape { name: "pause", doc: "", keys: &[required("duration", Type::Duration, "How long.")], prefixed: None };

pub static HANGUP: Shape = Shape {
    name: "hangup",
    doc: "",
    keys: &[key("reason", Type::Text, "", "Told to the other side.")],
    prefixed: None,
};

pub static LOG: Shape =
    Shape { name: "log", doc: "", keys: &[required("text", Type::Text, "The line.")], prefixed: None };

pub static TEST: Shape = Shape {
    name: "test",
    doc: "One call and what is expected of it.",
    keys: &[
        key("name", Type::Text, "", "What it shows."),
        required("call", Type::Map(&CALL), "The call."),
        key(
            "outcomes",
            Type::Dict(&OUTCOME_LIST),
            "",
            "How the steps of a verb go, in order; the last one stays. Missing: a dial is answered, all else done.",
        ),
        key(
            "press",
            Type::OneOrMore(&Type::Text),
            "",
            "What is entered at each gather in turn; nothing at further ones.",
        ),
        key(
            "expect",
            Type::List(&Type::Any),
            "",
            "Actions that come in this order; others may come between. A mapping names the fields that matter, literally or as /expression/.",
        ),
        key("exact", Type::Bool, "false", "No other action may come."),
        key("expect_route", Type::Text, "", "Name of the rule that takes the call."),
        key("rejected", Type::Int(400, 699), "", "The call is refused with this status; 404 also if no rule takes it."),
    ],
    prefixed: None,
};

static OUTCOME_LIST: Type =
    Type::OneOrMore(&Type::Choice(&["answered", "busy", "no_answer", "failed", "cancelled", "done", "none"]));

pub static CALL: Shape = Shape {
    name: "call",
    doc: "",
    keys: &[
        key("trunk", Type::Text, "", "The trunk by which it comes."),
        key("user", Type::Text, "", "Or the user who calls."),
        key("context", Type::Text, "", "Where it enters; the trunk's or user's context if missing."),
        key("from", Type::Text, "", "The caller's number; the user's name if missing."),
        key("from_name", Type::Text, "", "The caller's name."),
        required("to", Type::Text, "The number dialled."),
        key(
            "at",
            Type::Form("a moment with an offset, such as 2026-11-23T10:00:00-05:00", is_moment),
            "2026-01-05T12:00:00Z",
            "When.",
        ),
        key("headers", Type::Dict(&Type::Text), "", "Headers of the INVITE, by name."),
        key("verstat", VERSTAT_ONE, "", "What verification says of the caller's number."),
    ],
    prefixed: None,
};

fn is_moment(text: &str) -> bool {
    crate::verb::parse_moment(text).is_ok()
}
