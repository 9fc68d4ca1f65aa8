//! `tandem explain`: which rule a call would take, rule by rule, and what it would do.

use crate::base::time::Wall;
use crate::base::yaml::nearest;
use crate::config::Config;
use crate::dialplan::{CallFacts, Dialplan, EntryPoints};
use crate::rates::{Asked, Candidate, Order, Rates, Standing};
use crate::verb::{Action, Target};
use std::fmt::Write;

/// A call that is only asked about.
pub struct Ask<'a> {
    pub to: &'a str,
    pub from: &'a str,
    pub trunk: Option<&'a str>,
    pub user: Option<&'a str>,
    pub at: Wall,
}

/// A readable table. `Err` is the sentence that says why nothing can be said.
pub fn explain(config: &Config, dialplan: &Dialplan, rates: &Rates, ask: &Ask<'_>) -> Result<String, String> {
    let entry = EntryPoints::of(config);
    for (kind, name, known) in [("trunk", ask.trunk, &entry.trunks), ("user", ask.user, &entry.users)] {
        let Some(name) = name.filter(|n| !known.iter().any(|(k, _)| k == n)) else { continue };
        let hint = nearest(name, known.iter().map(|(k, _)| k.as_str())).map(|n| format!("; did you mean \"{n}\"?"));
        return Err(format!("the configuration has no {kind} \"{name}\"{}", hint.unwrap_or_default()));
    }
    let context = entry.context(ask.trunk, ask.user).ok_or(
        "a call by no trunk and of no user is refused, since the configuration has no sip.anonymous_context; \
         give --trunk or --user",
    )?;
    let facts = CallFacts {
        from: ask.from,
        from_name: "",
        to: ask.to,
        trunk: ask.trunk,
        user: ask.user,
        header: &|_| None,
        at: ask.at,
        proof: Default::default(),
    };
    let verdicts = dialplan.explain(context, &facts)?;
    let by = match (ask.trunk, ask.user) {
        (Some(trunk), _) => format!(" by trunk {trunk}"),
        (_, Some(user)) => format!(" of user {user}"),
        _ => " of nobody known".to_owned(),
    };
    let mut out = format!("call to {} from {}{by} at {}\n", ask.to, ask.from, ask.at.rfc3339());
    let _ = writeln!(out, "enters context {context}\n");
    let width = |f: &dyn Fn(usize) -> usize| (0..verdicts.len()).map(f).max().unwrap_or(0).min(40);
    let names = width(&|i| verdicts.get(i).map_or(0, |v| v.rule.chars().count()));
    let places = width(&|i| verdicts.get(i).map_or(0, |v| v.at.chars().count()));
    let mut taken = false;
    for v in &verdicts {
        let mark = match (v.holds, taken) {
            (true, false) => "TAKEN",
            (true, true) => "later",
            (false, _) => "no",
        };
        taken |= v.holds;
        let _ = writeln!(out, "{mark:<5}  {:<names$}  {:<places$}  {}", v.rule, v.at, v.why);
    }
    if taken {
        let (actions, end) = dialplan.rehearse(context, &facts)?;
        out.push_str("\nif all goes well it does\n");
        for (action, at) in actions {
            let _ = writeln!(out, "       {action}  ({at})");
            let Action::Dial(dial) = &action else { continue };
            for target in &dial.targets {
                if let Target::Number { number, trunks, lcr: true } = target {
                    let order = least_cost(config, rates, trunks, number, ask.at);
                    let _ = writeln!(out, "         least cost: {order}");
                }
            }
        }
        let _ = writeln!(out, "       {end}");
    } else {
        out.push_str("\nno rule takes it: 404 Not Found\n");
    }
    Ok(out)
}

/// The order in which trunks are tried for a number, as far as it does not depend on how they fare; of one price the heavier first.
pub fn least_cost(config: &Config, rates: &Rates, named: &[String], number: &str, at: Wall) -> String {
    let is_meant = |name: &String| if named.is_empty() { rates.card(name).is_some() } else { named.contains(name) };
    let trunks = config.trunks.iter().filter(|t| is_meant(&t.name));
    let candidate = |t: &'_ crate::config::Trunk| (t.name.clone(), t.weight);
    let trunks: Vec<(String, u32)> = trunks.map(candidate).collect();
    let candidates =
        trunks.iter().map(|(trunk, weight)| Candidate { trunk, weight: *weight, standing: Standing::Good }).collect();
    let emergency = config.limits.emergency.iter().any(|n| n == number);
    Order::of(rates, &config.lcr, &Asked { number, at, emergency }, candidates, None).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NoSecrets;
    use crate::dialplan::Names;
    use crate::verb::parse_moment;

    const CONFIG: &str = "{ sip: { anonymous_context: c }, trunks: [ { name: acme, context: d, inbound: 10.0.0.1 } ] }";
    const PLAN: &str = "contexts:\n  c:\n    - { name: open, match: { to: \"1\" }, when: { hours: mon }, do: [ answer, echo ] }\n    \
                        - { match: { to: /^1/ }, do: { reject: busy } }\n  d: []\n";

    fn check(to: &str, trunk: Option<&str>) -> String {
        let config = Config::read("t.yaml", CONFIG, &NoSecrets).unwrap().config;
        let plan = Dialplan::load(&[("p.yaml".into(), PLAN.into())], &Names::ANY).unwrap();
        let at = parse_moment("2026-11-24T10:00:00Z").unwrap();
        explain(&config, &plan, &Rates::default(), &Ask { to, from: "2", trunk, user: None, at }).unwrap_or_else(|e| e)
    }

    #[test]
    fn least_cost_is_explained() {
        let text = "{ sip: { anonymous_context: c }, trunks: [ { name: a, context: c, targets: [ sip:10.0.0.1 ] }, { name: b, context: c, targets: [ sip:10.0.0.2 ] } ] }";
        let plan = "contexts:\n  c: [ { match: { to: /^44/ }, do: { dial: { number: \"+${to}\", lcr: true } } } ]\n";
        let config = Config::read("t.yaml", text, &NoSecrets).unwrap().config;
        let plan = Dialplan::load(&[("p.yaml".into(), plan.into())], &Names::ANY).unwrap();
        let mut rates = Rates::default();
        for (trunk, row) in [("a", "44,0.02,UK"), ("b", "447,0.01,UK mobile")] {
            rates.insert(trunk, crate::rates::Card::read("c", &format!("prefix,price,name\n{row}\n"), "UTC").unwrap());
        }
        let at = parse_moment("2026-11-24T10:00:00Z").unwrap();
        let said = |to| explain(&config, &plan, &rates, &Ask { to, from: "2", trunk: None, user: None, at }).unwrap();
        let want = "\n         least cost: 1. b 0.0100/min for 447 UK mobile; 2. a 0.0200/min for 44 UK\n";
        assert!(said("447").contains(want), "{}", said("447"));
        assert!(said("441").contains("least cost: 1. a 0.0200/min for 44 UK; not b: no rate for the number\n"));
    }

    #[test]
    fn a_call_is_explained_rule_by_rule() {
        let want = "call to 1 from 2 of nobody known at 2026-11-24T10:00:00.000Z\n\
                    enters context c\n\n\
                    no     open      p.yaml:3  tue 2026-11-24 10:00 in UTC is not within \"mon\"\n\
                    TAKEN  p.yaml:4  p.yaml:4  to \"1\" matches /^1/\n\n\
                    if all goes well it does\n\
                    \u{20}      reject status=486  (p.yaml:4)\n\
                    \u{20}      the end\n";
        assert_eq!(check("1", None), want);
        assert!(check("7", None).ends_with("\nno rule takes it: 404 Not Found\n"));
        assert!(check("1", Some("acme")).contains("enters context d"));
        assert_eq!(check("1", Some("acne")), "the configuration has no trunk \"acne\"; did you mean \"acme\"?");
    }
}
