//! Commands that ask a running switch.

use super::args::{Common, Forward, Originate};
use super::table::{moment, table};
use super::{Sentence, print};
use crate::base::pii::Secret;
use crate::shell::api::Credentials;
use crate::shell::client::{Client, Refusal};
use crate::shell::files;
use serde_json::Value;

/// The switch that `--api` or the configuration names.
pub fn client(common: &Common) -> Result<Client, Sentence> {
    if let Some(base) = &common.api {
        let variable = |name| std::env::var(name).ok();
        let credentials = variable("TANDEM_ACCOUNT_SID").zip(variable("TANDEM_AUTH_TOKEN"));
        let credentials =
            credentials.map(|(account_sid, token)| Credentials { account_sid, auth_token: Secret::new(token) });
        return Ok(Client::new(base, credentials.as_ref()));
    }
    let config = files::config(&common.config).map_err(|faults| faults.join("\n"))?;
    Ok(Client::new(&files::base(&config.http), files::credentials(&config.http).as_ref()))
}

/// Prints `value[key]`, a list, as it is or as a table.
fn show(common: &Common, value: &Value, key: &str, header: &[&str], none: &str, row: fn(&Value) -> Vec<String>) {
    let list = value[key].as_array().map_or(&[][..], Vec::as_slice);
    if common.json {
        print(&format!("{:#}\n", value[key]));
    } else {
        let rows: Vec<Vec<String>> = list.iter().map(row).collect();
        print(&table(header, &rows, none));
    }
}

/// A value as a cell: nothing for null.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

pub fn calls(common: &Common) -> Result<(), Sentence> {
    let value = client(common)?.get("/tandem/v1/calls")?;
    let header = ["CALL", "FROM", "TO", "VIA", "STATE", "STARTED", "RULE", "PEERS"];
    show(common, &value, "calls", &header, "no calls", |c| {
        let via = if c["trunk"].is_null() { cell(&c["user"]) } else { cell(&c["trunk"]) };
        let peers: Vec<String> = c["peers"].as_array().into_iter().flatten().map(cell).collect();
        let started = moment(c["started"].as_str().unwrap_or_default());
        vec![
            cell(&c["call"]),
            cell(&c["from"]),
            cell(&c["to"]),
            via,
            cell(&c["state"]),
            started,
            cell(&c["rule"]),
            peers.join(","),
        ]
    });
    Ok(())
}

pub fn conferences(common: &Common) -> Result<(), Sentence> {
    let value = client(common)?.get("/tandem/v1/conferences")?;
    if common.json {
        print(&format!("{:#}\n", value["conferences"]));
        return Ok(());
    }
    let mut rows = Vec::new();
    for conference in value["conferences"].as_array().into_iter().flatten() {
        for (i, p) in conference["participants"].as_array().into_iter().flatten().enumerate() {
            let own = |text: String| if i == 0 { text } else { String::new() };
            let flags = ["muted", "hold", "deaf", "speaking"].into_iter().filter(|f| p[*f].as_bool() == Some(true));
            rows.push(vec![
                own(cell(&conference["name"])),
                own(cell(&conference["state"])),
                own(moment(conference["since"].as_str().unwrap_or_default())),
                cell(&p["name"]),
                cell(&p["call"]),
                flags.collect::<Vec<_>>().join(","),
            ]);
        }
    }
    let header = ["CONFERENCE", "STATE", "SINCE", "PARTICIPANT", "CALL", ""];
    print(&table(&header, &rows, "no conferences"));
    Ok(())
}

pub fn queues(common: &Common) -> Result<(), Sentence> {
    let value = client(common)?.get("/tandem/v1/queues")?;
    if common.json {
        print(&format!("{:#}\n", value["queues"]));
        return Ok(());
    }
    let queues = value["queues"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = queues
        .map(|q| {
            let first = q["members"].get(0);
            let (first, waits) =
                first.map_or_else(Default::default, |m| (cell(&m["call"]), format!("{} s", m["waited_s"])));
            let waiting = q["members"].as_array().map_or(0, Vec::len);
            vec![cell(&q["name"]), waiting.to_string(), cell(&q["max"]), cell(&q["takers"]), first, waits]
        })
        .collect();
    print(&table(&["QUEUE", "WAITING", "MAX", "TAKERS", "FIRST", "WAITS"], &rows, "no queues"));
    Ok(())
}

pub fn trunks(common: &Common) -> Result<(), Sentence> {
    let value = client(common)?.get("/tandem/v1/trunks")?;
    if common.json {
        print(&format!("{:#}\n", value["trunks"]));
        return Ok(());
    }
    let mut rows = Vec::new();
    for trunk in value["trunks"].as_array().into_iter().flatten() {
        let calls = match trunk["calls_max"].as_u64() {
            Some(0) | None => cell(&trunk["calls"]),
            Some(max) => format!("{}/{max}", trunk["calls"]),
        };
        let health = &trunk["health"];
        let figure = |key: &str, unit: &str| match health[key].as_f64() {
            Some(n) => format!("{n}{unit}"),
            None => "-".into(),
        };
        let fares = match health["state"].as_str() {
            Some("out") => format!("out: {}", cell(&health["why"])),
            _ => {
                let figures =
                    [figure("asr_percent", "%"), figure("acd_s", "s"), figure("pdd_s", "s"), figure("mos", "")];
                format!("{} {}", cell(&health["state"]), figures.join(" "))
            }
        };
        let registration = &trunk["registration"];
        let registered = match trunk["registered"].as_bool() {
            None => String::new(),
            Some(true) => format!("yes, {}s", registration["expires_s"]),
            Some(false) => format!("no: {}", cell(&registration["why"])),
        };
        let targets = trunk["targets"].as_array().map_or(&[][..], Vec::as_slice);
        if targets.is_empty() {
            rows.push(vec![cell(&trunk["name"]), calls.clone(), fares.clone(), registered.clone(), "(none)".into()]);
        }
        for (i, target) in targets.iter().enumerate() {
            // The trunk's own columns stand on its first line only.
            let own = |text: &str| if i == 0 { text.to_owned() } else { String::new() };
            let addresses = target["addresses"].as_array().map_or(&[][..], Vec::as_slice);
            let addresses: Vec<&str> = addresses.iter().filter_map(|a| a.as_str()).collect();
            let state = if target["up"].as_bool() == Some(true) { "up" } else { "down" };
            rows.push(vec![
                own(&cell(&trunk["name"])),
                own(&calls),
                own(&fares),
                own(&registered),
                cell(&target["uri"]),
                state.into(),
                addresses.join(" "),
                cell(&target["why"]),
            ]);
        }
    }
    print(&table(
        &["TRUNK", "CALLS", "ASR ACD PDD MOS", "REGISTERED", "TARGET", "STATE", "REACHED AT", "WHY"],
        &rows,
        "no trunks",
    ));
    Ok(())
}

pub fn registrations(common: &Common) -> Result<(), Sentence> {
    let value = client(common)?.get("/tandem/v1/registrations")?;
    let header = ["USER", "CONTACT", "SOURCE", "TRANSPORT", "EXPIRES", "USER AGENT"];
    show(common, &value, "registrations", &header, "no registrations", |r| {
        let expires = format!("{}s", r["expires_s"]);
        vec![
            cell(&r["user"]),
            cell(&r["contact"]),
            cell(&r["source"]),
            cell(&r["transport"]),
            expires,
            cell(&r["user_agent"]),
        ]
    });
    Ok(())
}

pub fn bans(common: &Common) -> Result<(), Sentence> {
    let value = client(common)?.get("/tandem/v1/bans")?;
    show(common, &value, "bans", &["SOURCE", "WHY", "FOR", "TIMES"], "nobody is banned", |b| {
        vec![cell(&b["source"]), cell(&b["why"]), format!("{}s", b["for_s"]), cell(&b["times"])]
    });
    Ok(())
}

pub fn unban(common: &Common, source: std::net::IpAddr) -> Result<(), Sentence> {
    let value = client(common)?.delete(&format!("/tandem/v1/bans/{source}"))?;
    print(&if common.json { format!("{value:#}\n") } else { format!("{source} is heard again\n") });
    Ok(())
}

/// Asks for something that answers with nothing to read.
pub fn post(common: &Common, what: &str, said: &str) -> Result<(), Sentence> {
    let value = client(common)?.post(&format!("/tandem/v1/{what}"))?;
    print(&if common.json { format!("{value:#}\n") } else { format!("{said}\n") });
    Ok(())
}

pub fn reload(common: &Common) -> Result<(), Sentence> {
    match client(common)?.post("/tandem/v1/reload") {
        Ok(value) => {
            print(&if common.json { format!("{value:#}\n") } else { "the new configuration is in force\n".into() });
            Ok(())
        }
        Err(Refusal::Answered { message, faults, .. }) if faults.len() > 1 => {
            Err(format!("{message}\n{}", faults.join("\n")).into())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

pub fn mwi(common: &Common, user: &str, new: u32, old: u32) -> Result<(), Sentence> {
    let user = named(user)?;
    let body = serde_json::json!({ "new": new, "old": old });
    let value = client(common)?.post_json(&format!("/tandem/v1/mailboxes/{user}"), &body)?;
    print(&if common.json { format!("{value:#}\n") } else { format!("{user}: {new} new, {old} old\n") });
    Ok(())
}

/// A user's name that can stand in a path.
fn named(user: &str) -> Result<&str, Sentence> {
    let is_plain = !user.is_empty() && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b));
    is_plain.then_some(user).ok_or_else(|| format!("`{user}` is no user's name").into())
}

pub fn forward(common: &Common, asked: &Forward) -> Result<(), Sentence> {
    let path = format!("/tandem/v1/users/{}/forwarding", named(&asked.user)?);
    let texts = [("always", &asked.always), ("busy", &asked.busy), ("no_answer", &asked.no_answer)];
    let said = texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value.clone()?))));
    let body: serde_json::Map<String, Value> =
        said.chain(asked.dnd.map(|dnd| ("dnd".to_owned(), Value::from(dnd)))).collect();
    let client = client(common)?;
    let value = if body.is_empty() { client.get(&path)? } else { client.post_json(&path, &Value::from(body))? };
    print(&if common.json { format!("{value:#}\n") } else { forwarding_table(&value) });
    Ok(())
}

/// What is in force, and who said so.
fn forwarding_table(value: &Value) -> String {
    let rows: Vec<Vec<String>> = ["always", "busy", "no_answer", "dnd"]
        .iter()
        .map(|name| {
            let force = match &value[*name] {
                Value::Bool(on) => if *on { "on" } else { "off" }.to_owned(),
                Value::Null => "off".to_owned(),
                number => cell(number),
            };
            let is_changed = value["changed"].as_array().is_some_and(|all| all.iter().any(|c| c == name));
            vec![(*name).to_owned(), force, if is_changed { "changed since" } else { "tandem.yaml" }.to_owned()]
        })
        .collect();
    table(&["FORWARD", "IN FORCE", "FROM"], &rows, "")
}

pub fn hangup(common: &Common, call: &str) -> Result<(), Sentence> {
    let value = client(common)?.post(&format!("/tandem/v1/calls/{}/hangup", plain(call)?))?;
    print(&if common.json { format!("{value:#}\n") } else { format!("{} is being ended\n", cell(&value["call"])) });
    Ok(())
}

pub fn originate(common: &Common, asked: &Originate) -> Result<(), Sentence> {
    let mut body = serde_json::json!({
        "to": asked.to, "from": asked.from, "trunks": asked.trunk, "timeout_s": asked.timeout,
    });
    let then = match (&asked.context, &asked.number, &asked.app) {
        (Some(context), Some(number), _) => serde_json::json!({ "context": context, "number": number }),
        (_, _, app) => serde_json::json!({ "do": steps_of(app.as_deref().unwrap_or_default()) }),
    };
    if let (Some(body), Value::Object(then)) = (body.as_object_mut(), then) {
        body.extend(then);
    }
    let value = client(common)?.post_json("/tandem/v1/calls", &body)?;
    print(&if common.json { format!("{value:#}\n") } else { format!("{}\n", cell(&value["call"])) });
    Ok(())
}

/// Steps in YAML as they are; `name` and `name:argument` as the one step that they mean.
fn steps_of(app: &str) -> String {
    match app.split_once(':') {
        _ if app.trim_start().starts_with(['[', '-']) => app.to_owned(),
        Some((name, argument)) => format!("[ {{ {name}: {} }} ]", Value::from(argument)),
        None => format!("[ {app} ]"),
    }
}

/// A call's name that can stand in a path.
pub fn plain(call: &str) -> Result<&str, Sentence> {
    let is_plain = !call.is_empty() && call.bytes().all(|b| b.is_ascii_alphanumeric());
    is_plain
        .then_some(call)
        .ok_or_else(|| format!("`{call}` is no call: CA and 32 hexadecimal digits, or `last`").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarding_is_shown_with_where_it_comes_from() {
        let value = serde_json::json!({
            "always": "200", "busy": null, "no_answer": null, "dnd": true, "changed": ["always", "busy"],
        });
        let lines: Vec<String> =
            forwarding_table(&value).lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let wanted = [
            "FORWARD IN FORCE FROM",
            "always 200 changed since",
            "busy off changed since",
            "no_answer off tandem.yaml",
            "dnd on tandem.yaml",
        ];
        assert_eq!(lines, wanted);
    }
}
