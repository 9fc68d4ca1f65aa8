//! Placing calls: what `tandem originate` asks, and the pieces that the voice REST interface uses too.

use super::calls::unexpected;
use super::{Api, Problem};
use crate::base::time::Duration;
use crate::dialplan::{CallFacts, Dialplan, Names};
use crate::shell::clock::wall;
use crate::speech::machine;
use crate::switch::{MachineAsk, Operator, Originate, Reply, Runs};
use crate::verb::Target;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// How long it rings if nobody says.
const TIMEOUT_S: u64 = 60;

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Detection {
    Enable,
    MessageEnd,
}

/// A call to be placed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    to: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    from_name: String,
    timeout_s: Option<u64>,
    time_limit_s: Option<u64>,
    /// By these trunks, in this order; by all of them otherwise.
    #[serde(default)]
    trunks: Vec<String>,
    /// The script runs when it is known whether a person or a machine has answered; `${answered_by}` says it.
    machine_detection: Option<Detection>,
    /// With `number`: after the answer the call does what a call to that number in this context would do.
    context: Option<String>,
    number: Option<String>,
    /// Or these steps, as in a dialplan's `do`.
    #[serde(rename = "do")]
    steps: Option<String>,
}

pub async fn place(State(api): State<Arc<Api>>, body: String) -> Result<Json<Value>, Problem> {
    let wanted: Wanted = serde_json::from_str(&body)
        .map_err(|e| Problem::bad_request(format!("the body is not what this path takes: {e}")))?;
    let timeout = wanted.timeout_s.unwrap_or(TIMEOUT_S);
    if !(1..=Originate::TIMEOUT_MAX.as_secs()).contains(&timeout) {
        return Err(Problem::bad_request(format!("timeout_s goes from 1 to {}", Originate::TIMEOUT_MAX.as_secs())));
    }
    let runs = match (wanted.context, wanted.number, wanted.steps) {
        (Some(context), Some(to), None) => Runs::Context { context, to },
        (None, None, Some(steps)) => steps_to_run(&steps, &wanted.to, &wanted.from).map_err(Problem::bad_request)?,
        _ => return Err(Problem::bad_request("name either `context` and `number`, or `do`")),
    };
    let targets = match wanted.trunks.is_empty() {
        true => Vec::new(),
        false => vec![Target::Number { number: wanted.to.clone(), trunks: wanted.trunks, lcr: false }],
    };
    let asked = Originate {
        targets,
        to: wanted.to,
        from: wanted.from,
        from_name: wanted.from_name,
        timeout: Duration::from_secs(timeout),
        time_limit: wanted.time_limit_s.map(Duration::from_secs),
        headers: Vec::new(),
        codecs: Vec::new(),
        runs,
        variables: Vec::new(),
        told: None,
        machine: wanted.machine_detection.map(|wanted| {
            let to_end = matches!(wanted, Detection::MessageEnd);
            MachineAsk { settings: machine::Settings { to_end, ..Default::default() }, waits: true, told: None }
        }),
    };
    match api.mail.operator(Operator::Originate(Box::new(asked))).await {
        Some(Reply::Placed(call)) => Ok(Json(json!({ "call": call.to_string() }))),
        Some(Reply::Refused(why)) => Err(Problem::new(axum::http::StatusCode::CONFLICT, "refused", why)),
        Some(other) => Err(unexpected(&other)),
        None => Err(Problem::gone()),
    }
}

/// Steps of a dialplan, on a line or as a list, as a script of their own. What they name is looked for when they run.
pub fn steps_to_run(steps: &str, to: &str, from: &str) -> Result<Runs, String> {
    let indented: String = steps.lines().map(|line| format!("        {line}\n")).collect();
    let text = format!("contexts:\n  operator:\n    - name: operator\n      do:\n{indented}");
    let plan = Dialplan::load(&[("do".into(), text)], &Names::ANY).map_err(|faults| {
        let said: Vec<String> = faults.iter().map(|f| format!("{}; {}", f.what, f.expected)).collect();
        format!("do: {}", said.join("\n"))
    })?;
    let header = |_: &str| None;
    let facts = CallFacts {
        from,
        from_name: "",
        to,
        trunk: None,
        user: None,
        header: &header,
        at: wall(),
        proof: Default::default(),
    };
    let taken = plan.route("operator", &facts)?;
    Ok(Runs::Script { script: Box::new(taken.script), at: "steps of the operator's".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_a_dialplan() {
        let rows = [
            ("[ echo ]", true),
            ("- answer\n- conference: sales", true),
            ("[ { play: a.wav }, hangup ]", true),
            ("[ dance ]", false),
            ("", false),
            ("]", false),
        ];
        for (steps, want) in rows {
            assert_eq!(steps_to_run(steps, "100", "+1").is_ok(), want, "{steps}");
        }
    }
}
