//! Actions in one line, for timelines.

use crate::verb::{Action, Strategy, Target};

pub fn action(action: &Action) -> String {
    match action {
        Action::Answer => "answer".to_owned(),
        Action::Reject { status, reason } if reason.is_empty() => format!("reject {status}"),
        Action::Reject { status, reason } => format!("reject {status} {reason}"),
        Action::Play { file, loops: 1 } => format!("play {file}"),
        Action::Play { file, loops: 0 } => format!("play {file} for ever"),
        Action::Play { file, loops } => format!("play {file} {loops} times"),
        Action::Tone { tone, country, .. } => format!("tone {tone:?} {country}").to_lowercase(),
        Action::Echo { .. } => "echo".to_owned(),
        Action::Conference(conference) => {
            let coach = conference.coach.as_ref().map_or(String::new(), |c| format!(", coaching {c}"));
            let muted = if conference.muted { ", muted" } else { "" };
            format!("conference {}{coach}{muted}", conference.name)
        }
        Action::Record(record) => format!("record a message, {} s at most", record.max_length.as_secs()),
        Action::RecordCall(..) => action.to_string(),
        Action::Say(say) => format!("say {} characters", say.text.chars().count()),
        Action::SendDigits(digits) => format!("send {} digits", digits.len()),
        Action::Gather(gather) => {
            let count = gather.digits.map_or(String::new(), |n| format!(", {n} digits"));
            format!("gather {}{count}, {} s", gather.input(), gather.timeout.as_secs())
        }
        Action::Pay(pay) => match pay.hundredths() {
            Some(_) => format!("pay {} {} by {}", pay.amount, pay.currency, pay.connector),
            None => format!("pay: a token by {}", pay.connector),
        },
        Action::Enqueue(enqueue) => format!("enqueue {}", enqueue.name),
        Action::Dequeue(dequeue) => format!("dial queue {}, {} s", dequeue.name, dequeue.timeout.as_secs()),
        Action::Feature(feature) => feature.describe(),
        Action::Leave => "leave".to_owned(),
        Action::Redirect(redirect) => format!("redirect {}", redirect.to.shown()),
        Action::Refer(refer) => format!("refer to {}", refer.uri),
        Action::Sms(sms) => format!("message of {} characters", sms.text.chars().count()),
        Action::Unavailable(unavailable) => unavailable.what.clone(),
        Action::Pause(duration) => format!("pause {} ms", duration.as_millis()),
        Action::Hangup { .. } => "hangup".to_owned(),
        Action::Log(_) => "log".to_owned(),
        Action::Dial(dial) => {
            let how = match dial.strategy {
                Strategy::Simultaneous if dial.targets.len() > 1 => " at once",
                _ => "",
            };
            let names: Vec<String> = dial.targets.iter().map(target).collect();
            format!("dial {}{how}, {} s", names.join(", "), dial.timeout.as_secs())
        }
    }
}

pub fn target(target: &Target) -> String {
    match target {
        Target::User(name) => format!("user {name}"),
        Target::Number { number, lcr: true, .. } => format!("number {number} by least cost"),
        Target::Number { number, trunks, .. } => format!("number {number} by {}", trunks.join(", ")),
        Target::Uri(uri) => uri.clone(),
    }
}
