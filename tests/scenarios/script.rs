//! Reads a script and plays it on the [`stage`](super::stage).

use super::sdp::Way;
use super::setup::DOMAIN;
use super::stage::{self, Stage, party_of};
use super::text::Msg;
use std::collections::BTreeMap;
use tandem::base::time::Duration;
use tandem::config::Srtp;
use tandem::switch::{Operator, Originate, Runs};
use tandem::verb::Target;

/// Words that put the next word into a header.
const HEADERS: [(&str, &str); 8] = [
    ("path", "Path"),
    ("service-route", "Service-Route"),
    ("contact", "Contact"),
    ("supported", "Supported"),
    ("expires", "Session-Expires"),
    ("min-se", "Min-SE"),
    ("allow", "Allow"),
    ("reason", "Reason"),
];

/// Between two lines of a script.
const STEP: Duration = Duration::from_millis(10);

pub fn run(text: &str) -> Result<String, String> {
    let (mut limits, mut srtp) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some((name, n)) = line.strip_prefix("limit ").and_then(|l| l.split_once(' ')) {
            limits.insert(name.to_string(), n.parse().map_err(|_| format!("not a number: {line}"))?);
        }
    }
    for line in text.lines().filter_map(|l| l.strip_prefix("srtp ")) {
        let policy = line.split_once(' ').and_then(|(name, word)| Some((name, Srtp::from_name(word)?)));
        let (name, policy) = policy.ok_or(format!("not off, optional or required: {line}"))?;
        srtp.insert(name.to_string(), policy);
    }
    let trunks = text.lines().filter_map(|l| l.strip_prefix("trunk ")).filter_map(|l| l.split_once(' '));
    let trunks = trunks.map(|(name, words)| (name.to_string(), words.to_string())).collect();
    let users = text.lines().filter_map(|l| l.strip_prefix("user ")).filter_map(|l| l.split_once(' '));
    let users = users.map(|(name, words)| (name.to_string(), words.to_string())).collect();
    let cards = text.lines().filter_map(|l| l.strip_prefix("rates ")).filter_map(|l| l.split_once(' '));
    let cards = cards.map(|(name, rows)| (name.into(), rows.into())).collect();
    let words = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
    let mut stage = stage::new(&limits, &srtp, (&trunks, &users), &cards, (words("sip "), words("config ")));
    let pages = text.lines().filter_map(|l| l.strip_prefix("page ")).filter_map(|l| l.split_once(' '));
    stage.pages = pages.map(|(url, page)| (url.into(), page.into())).collect();
    stage.shows = words("show ").split(' ').map(str::to_owned).collect();
    let mut head = String::new();
    let ways = text.lines().filter(|l| ["over ", "nat ", "name "].iter().any(|word| l.starts_with(word)));
    for line in ways {
        if !stage.ways.learn(line) {
            return Err(format!("not a way: {line}"));
        }
    }
    stage.resolve();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('#') {
            head += &format!("{line}\n");
        } else if !line.is_empty()
            && ![
                "limit ", "srtp ", "trunk ", "rates ", "config ", "sip ", "user ", "over ", "nat ", "name ", "show ",
                "page ",
            ]
            .iter()
            .any(|word| line.starts_with(word))
        {
            step(&mut stage, line).map_err(|e| format!("line {}: {e}: {line}\n{}", n + 1, stage.ladder()))?;
        }
    }
    match stage.leaks.is_empty() {
        true => Ok(format!("{head}\n{}", stage.ladder())),
        false => Err(format!("{}\n{}", stage.leaks.join("\n"), stage.ladder())),
    }
}

fn step(stage: &mut Stage, line: &str) -> Result<(), String> {
    if let Some(time) = line.strip_prefix("wait ") {
        let ms = match time.strip_suffix("ms") {
            Some(ms) => ms.parse().ok(),
            None => time.strip_suffix('s').and_then(|s| s.parse::<u64>().ok()).map(|s| s * 1000),
        };
        stage.pass(Duration::from_millis(ms.ok_or("not a time")?));
        return Ok(());
    }
    if let Some(phones) = line.strip_prefix("registered ") {
        stage.set_quiet(true);
        for phone in phones.split(' ') {
            request(stage, phone, "REGISTER", &["", "hidden"])?;
            request(stage, phone, "REGISTER", &["", "auth"])?;
            stage.dialogs.clear();
        }
        stage.set_quiet(false);
        return Ok(());
    }
    let (name, what) = line.split_once(": ").ok_or("expected `who: what`")?;
    let words: Vec<&str> = what.split(' ').collect();
    if name == "operator" {
        let done = operate(stage, &words);
        stage.pass(STEP);
        return done;
    }
    let done = match words[0].parse::<u16>() {
        Ok(status) => answer(stage, name, status, &words[1..]),
        Err(_) => match words[0] {
            "ACK" | "BYE" | "PRACK" | "UPDATE" | "REFER" | "NOTIFY" | "SUBSCRIBE" | "INFO" | "MESSAGE"
                if !words.contains(&"new") =>
            {
                in_dialog(stage, name, words[0], &words[1..])
            }
            "reINVITE" => in_dialog(stage, name, "INVITE", &words[1..]),
            "CANCEL" => cancel(stage, name, &words[1..]),
            method => request(stage, name, method, &words[1..]),
        },
    };
    stage.pass(STEP);
    done
}

/// What the operator asks.
fn operate(stage: &mut Stage, words: &[&str]) -> Result<(), String> {
    match words {
        ["mailbox", user, new, old] => {
            let (new, old) = (new.parse().map_err(|_| "not a number")?, old.parse().map_err(|_| "not a number")?);
            stage.operate(Operator::Mailbox { user: (*user).into(), new, old });
        }
        ["late", ms] => stage.late(Duration::from_millis(ms.parse().map_err(|_| "not a number")?)),
        ["hangup"] => stage.operate(Operator::Hangup(stage.placed.ok_or("no call was placed")?)),
        ["redirect", then] => {
            let call = stage.placed.ok_or("no call was placed")?;
            let runs = Runs::Context { context: "all".into(), to: (*then).into() };
            stage.operate(Operator::Run { call, runs });
        }
        ["place", to, then] => {
            let target = match to.strip_prefix('+') {
                Some(_) => {
                    Target::Number { number: (*to).into(), trunks: vec!["acme".into(), "beta".into()], lcr: false }
                }
                None => Target::User((*to).into()),
            };
            stage.operate(Operator::Originate(Box::new(Originate {
                targets: vec![target],
                to: (*to).into(),
                from: "+1888".into(),
                from_name: "Tandem".into(),
                timeout: Duration::from_secs(20),
                time_limit: None,
                headers: vec![],
                codecs: vec![],
                runs: Runs::Context { context: "all".into(), to: (*then).into() },
                variables: vec![],
                told: None,
                machine: None,
            })));
        }
        _ => return Err("expected place, redirect or hangup".into()),
    }
    Ok(())
}

/// A request out of the blue; its words: user, then options.
fn request(stage: &mut Stage, name: &str, method: &str, words: &[&str]) -> Result<(), String> {
    let party = party_of(name).to_string();
    let has = |word: &str| words.contains(&word);
    let (user, auth) = (words.first().copied().unwrap_or(""), has("auth"));
    let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1));
    if !auth && stage.dialogs.contains_key(name) {
        return Err("this dialog is taken; number another".into());
    }
    if !stage.dialogs.contains_key(name) {
        let call_id = format!("call-{}-{}", party, stage.serial());
        let made = stage.new_dialog(&party, &call_id);
        if made != name {
            return Err(format!("the next dialog here is {made}"));
        }
    }
    let uri = match (method, user) {
        ("REGISTER", _) | (_, "") => format!("sip:{DOMAIN}"),
        (_, "binding") => stage.bound.clone(),
        _ if user.contains('@') => format!("sip:{user}"),
        (_, "gruu") => stage.gruu.clone(),
        _ => format!("sip:{user}@{DOMAIN}"),
    };
    let uri = after("gr").map_or(uri.clone(), |gr| format!("{uri};gr={gr}"));
    let replaces = after("replaces").map(|named| stage.replaces(named)).transpose()?;
    let replaces = replaces.map(|value| if has("early-only") { format!("{value};early-only") } else { value });
    let credentials = if auth { stage.credentials(name, method, &uri) } else { None };
    let via = stage.via(&party);
    let (at, by) = (stage.ways.says(&party), stage.ways.parameter(&party));
    let at = after("reached").map_or(at.to_string(), |at| (*at).into());
    let d = stage.dialogs.get_mut(name).ok_or("no such dialog")?;
    d.cseq += 1;
    let aor = format!("<sip:{}@{DOMAIN}>", after("caller").unwrap_or(&party.as_str()));
    (d.local, d.local_tag) = (aor.clone(), format!("tag-{name}"));
    d.remote = if method == "REGISTER" { aor } else { format!("<{uri}>") };
    let mut m = Msg::request(method, &uri)
        .with("Via", via)
        .with("Max-Forwards", after("forwards").unwrap_or(&"70"))
        .with("From", format!("{};tag={}", d.local, d.local_tag))
        .with("To", &d.remote)
        .with("Call-ID", &d.call_id)
        .with("CSeq", format!("{} {method}", d.cseq))
        .with("Contact", format!("<sip:{party}@{at}{by}>{}", after("params").unwrap_or(&"")));
    if has("relayed") {
        m = m.with("Via", "SIP/2.0/UDP 192.168.0.9;branch=z9hG4bKbelow");
    }
    for (word, header) in HEADERS {
        if let Some(value) = after(word) {
            m = m.with(header, value);
        }
    }
    m = with_headers(m, words);
    if let Some(tag) = after("require") {
        m = m.with("Require", tag);
    }
    if let Some((header, mut value)) = credentials {
        if has("stale") {
            // A nonce that the switch did not make, or made long ago.
            value = value.replace("nonce=\"", "nonce=\"0");
        }
        m = m.with(header, value);
    }
    if let Some(what) = after("token") {
        m = m.with("Identity", stage.token(what, after("caller").unwrap_or(&""), user));
    }
    let d = stage.dialogs.get_mut(name).ok_or("no such dialog")?;
    m = subscribing(m, method, words);
    if let Some(value) = replaces {
        m = m.with("Replaces", value);
    }
    if method == "INVITE" && !has("nosdp") {
        let mut sdp = Stage::description(&party);
        change(&mut sdp, words);
        m = m.sdp(sdp.write());
        d.sdp = Some(sdp);
    }
    d.invite = Some(m.clone());
    stage.send(&party, &m);
    Ok(())
}

/// `with Name:value`, as often as one likes; `~` stands for a space.
fn with_headers(mut m: Msg, words: &[&str]) -> Msg {
    for pair in words.windows(2).filter(|pair| pair[0] == "with") {
        let (name, value) = pair[1].split_once(':').unwrap_or((pair[1], ""));
        m = m.with(name, value.replace('~', " "));
    }
    m
}

/// Words of SUBSCRIBE and PUBLISH: `event NAME`, `for SECONDS`, `open` and `closed`.
fn subscribing(mut m: Msg, method: &str, words: &[&str]) -> Msg {
    let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1));
    if let Some(event) = after("event") {
        m = m.with("Event", event);
    }
    if let Some(seconds) = after("for") {
        m = m.with("Expires", seconds);
    }
    if let Some(basic) = ["open", "closed"].iter().find(|w| method == "PUBLISH" && words.contains(w)) {
        m = m.with("Content-Type", "application/pidf+xml");
        m.body =
            format!("<presence><tuple><status><basic>{basic}</basic></status></tuple><note>by hand</note></presence>");
    }
    if method == "MESSAGE" {
        m = m.with("Content-Type", after("type").unwrap_or(&"text/plain"));
        m.body = after("says").map_or("hello".into(), |text| (*text).into());
    }
    m
}

/// A key that begins with three letters.
fn key(tag: &str, begin: &str) -> String {
    format!("{tag} AES_CM_128_HMAC_SHA1_80 inline:{begin}{}", "w".repeat(37))
}

fn change(sdp: &mut super::sdp::Sdp, words: &[&str]) {
    for word in words {
        match *word {
            "pcma" => sdp.payloads = vec![8, 101],
            "pcmu" => sdp.payloads = vec![0, 101],
            "fax" => sdp.payloads = vec![super::sdp::FAX],
            "speech" => sdp.payloads = vec![0, 8, 101],
            "g722" => sdp.payloads = vec![9],
            "g729" => sdp.payloads = vec![18],
            "g722+pcma" => sdp.payloads = vec![9, 8],
            "hold" => sdp.way = Way::SendOnly,
            "held" => sdp.way = Way::RecvOnly,
            "resume" => sdp.way = Way::SendRecv,
            "port" => sdp.port += 100,
            "srtp" => sdp.crypto = vec!["1 F8_128_HMAC_SHA1_80 inline:xxx".into(), key("5", "AAA")],
            "srtp4" => sdp.crypto = vec![key("4", "AAA")],
            "rekey" => sdp.crypto = vec![key("6", "CCC")],
            "plain" => sdp.crypto.clear(),
            _ => {}
        }
    }
}

fn in_dialog(stage: &mut Stage, name: &str, method: &str, words: &[&str]) -> Result<(), String> {
    let party = party_of(name).to_string();
    let named = words.iter().position(|w| *w == "replaces").and_then(|at| words.get(at + 1));
    let stage_replaces = named.and_then(|named| stage.replaces(named).ok());
    let stage_replaces = stage_replaces.map(|v| v.replace('@', "%40").replace(';', "%3B").replace('=', "%3D"));
    let target = stage.dialogs.get(name).map(|d| d.target.clone()).unwrap_or_default();
    let auth = words.contains(&"auth");
    let credentials = auth.then(|| stage.credentials(name, method, &target)).flatten();
    let via = stage.via(&party);
    let contact = format!("<sip:{party}@{}{}>", stage.ways.says(&party), stage.ways.parameter(&party));
    let d = stage.dialogs.get_mut(name).ok_or("no such dialog")?;
    let invite_cseq = d.invite.as_ref().map_or(d.cseq, |m| m.cseq().0);
    let cseq = if method == "ACK" { invite_cseq } else { d.cseq + 1 };
    d.cseq = d.cseq.max(cseq);
    let mut m = Msg::request(method, &d.target)
        .with("Via", via)
        .with("Max-Forwards", 70)
        .with("From", format!("{};tag={}", d.local, d.local_tag))
        .with("To", format!("{};tag={}", d.remote, d.remote_tag))
        .with("Call-ID", &d.call_id)
        .with("CSeq", format!("{cseq} {method}"))
        .with("Contact", contact);
    let describes = method == "INVITE" && !words.contains(&"nosdp") || words.contains(&"sdp");
    if describes {
        let mut sdp = d.sdp.clone().unwrap_or_else(|| Stage::description(&party));
        change(&mut sdp, words);
        sdp.version += 1;
        m = m.sdp(sdp.write());
        d.sdp = Some(sdp);
    }
    for (word, header) in HEADERS {
        if let Some(at) = words.iter().position(|w| *w == word) {
            m = m.with(header, words.get(at + 1).unwrap_or(&""));
        }
    }
    if let Some(to) = words.iter().position(|w| *w == "to").and_then(|at| words.get(at + 1)) {
        let whom = match words.iter().position(|w| *w == "replaces").and_then(|at| words.get(at + 1)) {
            Some(named) => format!("?Replaces={}", stage_replaces.as_deref().ok_or(format!("no dialog {named}"))?),
            None => String::new(),
        };
        m = m.with("Refer-To", format!("<sip:{to}@{DOMAIN}{whom}>"));
    }
    m = with_headers(subscribing(m, method, words), words);
    if let Some(digit) = words.iter().position(|w| *w == "digit").and_then(|at| words.get(at + 1)) {
        m = m.with("Content-Type", "application/dtmf-relay");
        m.body = format!("Signal={digit}\r\nDuration=160\r\n");
    }
    if let Some((header, value)) = credentials {
        m = m.with(header, value);
    }
    if words.contains(&"silent") {
        m = m.with("Refer-Sub", "false").with("Require", "norefersub");
    }
    if method == "NOTIFY" {
        let status = words.iter().find_map(|w| w.parse::<u16>().ok()).unwrap_or(100);
        let state = if status >= 200 { "terminated;reason=noresource" } else { "active;expires=60" };
        m = m.with("Event", "refer").with("Subscription-State", state);
        m = m.with("Content-Type", "message/sipfrag");
        m.body = format!("SIP/2.0 {status} X\r\n");
    }
    if method == "PRACK" {
        m = m.with("RAck", if words.contains(&"wrong") { "1 1 INVITE" } else { d.rack.as_str() });
    }
    if matches!(method, "INVITE" | "SUBSCRIBE") {
        d.invite = Some(m.clone());
    }
    stage.send(&party, &m);
    Ok(())
}

fn cancel(stage: &mut Stage, name: &str, words: &[&str]) -> Result<(), String> {
    let invite = stage.dialogs.get(name).and_then(|d| d.invite.clone()).ok_or("no INVITE to cancel")?;
    let mut m = Msg::request("CANCEL", invite.uri());
    for header in ["Via", "Max-Forwards", "From", "To", "Call-ID"] {
        m = m.with(header, invite.get(header));
    }
    if let ["reason", reason] = words {
        m = m.with("Reason", reason);
    }
    stage.send(party_of(name), &m.with("CSeq", format!("{} CANCEL", invite.cseq().0)));
    Ok(())
}

/// Answers an open request: of the method that is named, else the newest.
fn answer(stage: &mut Stage, name: &str, status: u16, words: &[&str]) -> Result<(), String> {
    let party = party_of(name).to_string();
    let contact = format!("<sip:{party}@{}{}>", stage.ways.says(&party), stage.ways.parameter(&party));
    let d = stage.dialogs.get_mut(name).ok_or("no request has come here")?;
    let wanted = words.iter().find(|w| w.chars().all(|c| c.is_ascii_uppercase()));
    let fits = |m: &Msg| wanted.is_none_or(|w| m.method() == *w);
    let again = words.contains(&"again") || words.contains(&"fork");
    let at = d.open.iter().rposition(fits).ok_or("no such request is open")?;
    let request = d.open[at].clone();
    if status >= 200 && !again && !words.contains(&"keep") {
        d.open.remove(at);
    }
    let tag = if words.contains(&"fork") { format!("{}-fork", d.local_tag) } else { d.local_tag.clone() };
    let mut m = Msg::reply(&request, status, &tag);
    if request.method() == "INVITE" && status < 300 {
        m = m.with("Contact", contact.clone());
        if words.contains(&"sdp") || status == 200 {
            let mut sdp = d.sdp.clone().unwrap_or_else(|| Stage::description(&party));
            let offer = super::sdp::Sdp::parse(&request.body);
            if let Ok(offer) = &offer {
                sdp.payloads.retain(|p| offer.payloads.contains(p));
                sdp.way = offer.way.mirrored();
                let offered = offer.crypto.iter().find(|c| c.contains(" AES_CM_128_HMAC_SHA1_80 "));
                sdp.crypto = offered.iter().map(|c| key(c.split(' ').next().unwrap_or_default(), "BBB")).collect();
            }
            change(&mut sdp, words);
            m = m.sdp(sdp.write());
            d.sdp = Some(sdp);
        }
    }
    let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1));
    if request.method() == "REGISTER" && status == 200 {
        let expires = after("expires").map_or(request.get("Expires"), |e| *e);
        m = m.with("Contact", format!("{};expires={expires}", request.get("Contact")));
    }
    if let Some(s) = after("min") {
        m = m.with("Min-Expires", s);
    }
    if status == 401 {
        m = m.with("WWW-Authenticate", "Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\", algorithm=MD5");
    }
    if words.contains(&"rel") {
        d.rseq += if words.contains(&"skip") { 2 } else { 1 };
        m = m.with("Require", "100rel").with("RSeq", d.rseq);
    }
    for (word, header) in HEADERS {
        if let Some(at) = words.iter().position(|w| *w == word) {
            m = m.with(header, words.get(at + 1).unwrap_or(&""));
        }
    }
    if status == 407 {
        m = m.with("Proxy-Authenticate", "Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\", algorithm=MD5");
    }
    stage.send(&party, &m);
    Ok(())
}
