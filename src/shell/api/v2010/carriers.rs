//! `/v1/…` of Twilio's voice and trunking interfaces: a customer's own carriers (`ByocTrunks` with their `ConnectionPolicies`) and
//! trunks to a customer's own switch (`Trunks`). Settings like those of [`super::kinds`], in the newer shape: `url` and `links`, dates of
//! ISO 8601, pages with `meta`.

use super::answer::{Failure, Paging, created, gone, ok};
use super::form::Form;
use super::kinds::{ADDRESSES, BASE, CREDENTIALS, Kind, Parameter, Takes, may, needed};
use super::{Ask, Rest, routes, settings};
use crate::shell::store::{Setting, Settings};
use Takes::{Bool, Method as HttpMethod, Number, OneOf, Sid, Sip, Text, Url};
use axum::http::Method;
use axum::response::Response;
use serde_json::{Map, Value, json};

static TARGET: [Parameter; 5] = [
    needed("Target", Sip),
    may("FriendlyName", Text, "null"),
    may("Priority", Number(0, 65_535), "10"),
    may("Weight", Number(0, 65_535), "10"),
    may("Enabled", Bool, "true"),
];

/// What [`kinds`](super::kinds) has for `/2010-04-01`.
static KINDS: &[Kind] = &[
    Kind {
        path: &["ByocTrunks"],
        prefix: "BY",
        key: "byoc_trunks",
        parameters: &[
            may("FriendlyName", Text, "null"),
            may("VoiceUrl", Url, "null"),
            may("VoiceMethod", HttpMethod, "\"POST\""),
            may("VoiceFallbackUrl", Url, "null"),
            may("VoiceFallbackMethod", HttpMethod, "\"POST\""),
            may("StatusCallbackUrl", Url, "null"),
            may("StatusCallbackMethod", HttpMethod, "\"POST\""),
            may("CnamLookupEnabled", Bool, "false"),
            may("ConnectionPolicySid", Sid("NY"), "null"),
            may("FromDomainSid", Sid("SD"), "null"),
        ],
        ..BASE
    },
    Kind {
        path: &["ConnectionPolicies"],
        prefix: "NY",
        key: "connection_policies",
        parameters: &[may("FriendlyName", Text, "null")],
        parts: &[("targets", "Targets")],
        ..BASE
    },
    Kind {
        path: &["ConnectionPolicies", "*", "Targets"],
        prefix: "NE",
        key: "targets",
        parameters: &TARGET,
        parent_field: Some("connection_policy_sid"),
        ..BASE
    },
    Kind {
        path: &["Trunks"],
        prefix: "TK",
        key: "trunks",
        parameters: &[
            may("FriendlyName", Text, "null"),
            may("DomainName", Text, "null"),
            may("DisasterRecoveryUrl", Url, "null"),
            may("DisasterRecoveryMethod", HttpMethod, "\"POST\""),
            may("TransferMode", OneOf(&["disable-all", "enable-all", "sip-only"]), "\"disable-all\""),
            may("TransferCallerId", OneOf(&["from-transferee", "from-transferor"]), "\"from-transferee\""),
            may("Secure", Bool, "false"),
            may("CnamLookupEnabled", Bool, "false"),
        ],
        says: r#"{"auth_type":"","symmetric_rtp_enabled":true,"recording":{"mode":"do-not-record","trim":"do-not-trim"}}"#,
        parts: &[
            ("credential_lists", "CredentialLists"),
            ("ip_access_control_lists", "IpAccessControlLists"),
            ("origination_urls", "OriginationUrls"),
            ("phone_numbers", "PhoneNumbers"),
            ("recording", "Recording"),
        ],
        ..BASE
    },
    Kind {
        path: &["Trunks", "*", "OriginationUrls"],
        prefix: "OU",
        key: "origination_urls",
        parameters: &[
            needed("SipUrl", Sip),
            needed("FriendlyName", Text),
            needed("Priority", Number(0, 65_535)),
            needed("Weight", Number(0, 65_535)),
            needed("Enabled", Bool),
        ],
        parent_field: Some("trunk_sid"),
        ..BASE
    },
    Kind {
        path: &["Trunks", "*", "CredentialLists"],
        prefix: "CL",
        key: "credential_lists",
        can_update: false,
        maps: Some(CREDENTIALS),
        parent_field: Some("trunk_sid"),
        ..BASE
    },
    Kind {
        path: &["Trunks", "*", "IpAccessControlLists"],
        prefix: "AL",
        key: "ip_access_control_lists",
        can_update: false,
        maps: Some(ADDRESSES),
        parent_field: Some("trunk_sid"),
        ..BASE
    },
];

/// Whether it is one of these.
pub fn has(kind: &Kind) -> bool {
    KINDS.iter().any(|own| std::ptr::eq(own, kind))
}

/// What is said of each beside its own fields; `path` is that of its collection.
pub fn finish(kind: &Kind, setting: &Setting, path: &str, mut body: Map<String, Value>) -> Value {
    let at = |wall: crate::base::time::Wall| wall.rfc3339().get(..19).map(|text| format!("{text}Z"));
    body.insert("date_created".into(), at(setting.created).into());
    body.insert("date_updated".into(), at(setting.updated).into());
    let product = if kind.path.first() == Some(&"Trunks") { "trunking" } else { "voice" };
    let url = format!("https://{product}.twilio.com/v1/{path}/{}", setting.sid);
    if !kind.parts.is_empty() {
        let links = kind.parts.iter().map(|(name, tail)| ((*name).into(), format!("{url}/{tail}").into()));
        body.insert("links".into(), Value::Object(links.collect()));
    }
    if let Some(all) = body.get("auth_type").and_then(Value::as_str) {
        let all: Vec<&str> = all.split(',').filter(|one| !one.is_empty()).collect();
        body.insert("auth_type_set".into(), json!(all));
    }
    body.insert("url".into(), url.into());
    Value::Object(body)
}

/// The methods of a path below `/v1`; `None`: there is no such path.
pub fn methods(segments: &[&str]) -> Option<&'static str> {
    match segments {
        ["Trunks", _, "Recording"] | ["Trunks", _, "PhoneNumbers"] => Some("GET, POST"),
        ["Trunks", _, "PhoneNumbers", _] => Some("DELETE, GET"),
        _ => routes::methods_in(KINDS, segments),
    }
}

/// Answers a request below `/v1`; `ask.path` is the whole address without its query.
pub async fn answer(rest: &Rest, ask: &Ask, segments: &[&str]) -> Result<Response, Failure> {
    let answered = match segments {
        ["Trunks", trunk, "Recording"] => recording(rest, ask, trunk).await,
        ["Trunks", trunk, "PhoneNumbers", own @ ..] => numbers(rest, ask, trunk, own.first().copied()).await,
        _ => match settings::answer_in(KINDS, rest, ask, segments, None).await {
            Some(answered) => answered,
            None => Err(ask.not_found()),
        },
    };
    rest.publish(ask).await;
    answered
}

fn object(setting: &Setting) -> Map<String, Value> {
    serde_json::from_str(&setting.body).unwrap_or_default()
}

fn trunk_of(store: &Settings, ask: &Ask, trunk: &str) -> Result<Setting, Failure> {
    store.get("Trunks", &ask.account, "", trunk)?.ok_or_else(|| ask.not_found())
}

const MODES: &[&str] = &[
    "do-not-record",
    "record-from-ringing",
    "record-from-answer",
    "record-from-ringing-dual",
    "record-from-answer-dual",
];

/// How the trunk's calls are recorded.
async fn recording(rest: &Rest, ask: &Ask, trunk: &str) -> Result<Response, Failure> {
    let (ask, trunk) = (ask.clone(), trunk.to_owned());
    rest.store(move |store| {
        let mut setting = trunk_of(store, &ask, &trunk)?;
        let mut body = object(&setting);
        let mut own = json!({ "mode": "do-not-record", "trim": "do-not-trim" });
        if let (Some(own), Some(Value::Object(kept))) = (own.as_object_mut(), body.get("recording")) {
            own.extend(kept.clone());
        }
        if ask.method == Method::POST {
            take_choice(&ask.form, "Mode", MODES, &mut own["mode"])?;
            take_choice(&ask.form, "Trim", &["do-not-trim", "trim-silence"], &mut own["trim"])?;
            body.insert("recording".into(), own.clone());
            setting.body = Value::Object(body).to_string();
            store.put(&setting)?;
        }
        Ok(ok(&own))
    })
    .await
}

fn take_choice(form: &Form, name: &str, of: &[&str], value: &mut Value) -> Result<(), Failure> {
    match form.some(name) {
        Some(given) if !of.contains(&given) => Err(Failure::parameter(name, given, &of.join(", "))),
        Some(given) => {
            *value = given.into();
            Ok(())
        }
        None => Ok(()),
    }
}

const NUMBERS: &str = "IncomingPhoneNumbers";

/// Numbers whose calls go to the trunk: resources of `/2010-04-01`, which name it.
async fn numbers(rest: &Rest, ask: &Ask, trunk: &str, own: Option<&str>) -> Result<Response, Failure> {
    let (ask, trunk, own) = (ask.clone(), trunk.to_owned(), own.map(str::to_owned));
    rest.store(move |store| {
        trunk_of(store, &ask, &trunk)?;
        let get = |sid: &str| store.get(NUMBERS, &ask.account, "", sid);
        let is_its = |setting: &Setting| object(setting)["trunk_sid"] == trunk.as_str();
        match (ask.method.clone(), own) {
            (Method::POST, _) => {
                let sid = ask.form.some("PhoneNumberSid").unwrap_or_default();
                let Some(mut number) = get(sid)? else {
                    return Err(Failure::parameter("PhoneNumberSid", sid, "a number of this account"));
                };
                point(store, &mut number, trunk.as_str().into())?;
                Ok(created(&shown(&number, &trunk)))
            }
            (method, Some(sid)) => {
                let mut number = get(&sid)?.filter(is_its).ok_or_else(|| ask.not_found())?;
                if method == Method::DELETE {
                    point(store, &mut number, Value::Null)?;
                    return Ok(gone());
                }
                Ok(ok(&shown(&number, &trunk)))
            }
            (_, None) => {
                let paging = Paging::read(&ask.query)?;
                let of = (NUMBERS, &*ask.account, "");
                let found = store.list(of, &[("trunk_sid", &trunk)], (paging.limit(), paging.offset()))?;
                let found = found.iter().map(|number| shown(number, &trunk)).collect();
                Ok(ok(&paging.listed(&ask.path, "phone_numbers", found)))
            }
        }
    })
    .await
}

/// The trunk that a number's calls go to.
fn point(store: &Settings, number: &mut Setting, trunk: Value) -> Result<(), Failure> {
    let mut body = object(number);
    body.insert("trunk_sid".into(), trunk);
    number.body = Value::Object(body).to_string();
    number.updated = crate::shell::clock::wall();
    Ok(store.put(number)?)
}

fn shown(number: &Setting, trunk: &str) -> Value {
    const FIELDS: &[&str] = &[
        "friendly_name",
        "phone_number",
        "trunk_sid",
        "voice_url",
        "voice_method",
        "voice_fallback_url",
        "voice_fallback_method",
        "voice_caller_id_lookup",
        "voice_application_sid",
        "status_callback",
        "status_callback_method",
        "sms_url",
        "sms_method",
        "sms_fallback_url",
        "sms_fallback_method",
        "sms_application_sid",
    ];
    let kept = object(number);
    let mut body: Map<String, Value> =
        FIELDS.iter().map(|name| ((*name).into(), kept.get(*name).cloned().unwrap_or_default())).collect();
    let more = json!({
        "sid": number.sid, "account_sid": number.account, "address_requirements": "none", "api_version": "2010-04-01",
        "beta": false, "capabilities": { "voice": true, "sms": false, "mms": false, "fax": false }, "links": {},
    });
    body.extend(more.as_object().cloned().unwrap_or_default());
    finish(&BASE, number, &format!("Trunks/{trunk}/PhoneNumbers"), body)
}
