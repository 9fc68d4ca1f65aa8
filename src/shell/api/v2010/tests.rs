//! The interface over a real connection, with a control thread that answers from a table.

use crate::shell::api::tests::serve_api;
use serde_json::Value;

const CF: &str = "CF00000000000000000000000000000001";
const BASE: &str = "/2010-04-01/Accounts/AC1";
const LIVE: &str = "CA00000000000000000000000000000001";
const STORED: &str = "CA00000000000000000000000000000002";

#[test]
fn each_resource_answers() {
    let served = serve_api();
    let call = |sid: &str| format!("/Calls/{sid}.json");
    let rows: Vec<(&str, String, &str, u16, &str)> = vec![
        ("GET", "/Calls.json".into(), "", 200, r#""status":"in-progress""#),
        ("GET", "/Calls".into(), "", 200, r#""next_page_uri":null"#),
        ("GET", "/Calls.json?Status=canceled".into(), "", 200, STORED),
        ("GET", "/Calls.json?Status=busy".into(), "", 200, r#""calls":[]"#),
        ("GET", "/Calls.json?PageSize=1".into(), "", 200, "PageSize=1&Page=1&PageToken=PA1"),
        ("GET", "/Calls.json?PageSize=1&Page=1".into(), "", 200, STORED),
        ("GET", "/Calls.json?StartTime=noon".into(), "", 400, r#""code":20001"#),
        ("GET", call(LIVE), "", 200, r#""direction":"inbound""#),
        ("GET", call(STORED), "", 200, r#""status":"canceled""#),
        ("GET", call("CA00000000000000000000000000000003"), "", 404, r#""code":20404"#),
        ("GET", format!("/Calls/{LIVE}/Events.json"), "", 200, r#""events":[]"#),
        ("POST", "/Calls.json".into(), "From=%2B1&Url=http://a.test/", 400, r#""code":21201"#),
        ("POST", "/Calls.json".into(), "To=%2B1&Url=http://a.test/", 400, r#""code":21213"#),
        ("POST", "/Calls.json".into(), "To=%2B1&From=%2B2", 400, r#""code":21205"#),
        ("POST", "/Calls.json".into(), "To=%2B1&From=%2B2&Url=ftp://a", 400, r#""code":21205"#),
        ("POST", "/Calls.json".into(), "To=%2B1&From=%2B2&Twiml=%3CResponse", 400, r#""code":12100"#),
        ("POST", "/Calls.json".into(), "To=%2B1&From=%2B2&Twiml=%3CResponse/%3E", 201, LIVE),
        ("POST", "/Calls.json".into(), "To=%2B1&From=%2B2&Url=http://a.test/?a=1%26b", 201, LIVE),
        ("POST", "/Calls.json".into(), "To=a%0D%0Ab&From=%2B2&Twiml=%3CResponse/%3E", 400, r#""code":21211"#),
        ("POST", "/Calls.json".into(), "To=busy&From=%2B2&Twiml=%3CResponse/%3E", 429, r#""code":20429"#),
        ("POST", call(LIVE), "Twiml=%3CResponse/%3E", 200, LIVE),
        ("POST", call(LIVE), "Status=completed", 200, LIVE),
        ("POST", call(LIVE), "Status=done", 400, r#""code":20001"#),
        ("POST", call(STORED), "Twiml=%3CResponse/%3E", 400, r#""code":21220"#),
        ("DELETE", call(LIVE), "", 400, r#""code":20009"#),
        ("PUT", call(LIVE), "", 405, r#""code":20004"#),
        ("POST", format!("/Calls/{LIVE}/Recordings.json"), "", 201, r#""status":"in-progress""#),
        ("POST", format!("/Calls/{LIVE}/Recordings/Twilio.CURRENT.json"), "Status=paused", 200, "paused"),
        ("POST", format!("/Calls/{LIVE}/Recordings/Twilio.CURRENT.json"), "Status=done", 400, "20001"),
        ("GET", format!("/Conferences/{CF}/Recordings.json"), "", 200, r#""recordings":[]"#),
        ("POST", format!("/Conferences/{CF}/Recordings/Twilio.CURRENT.json"), "Status=paused", 200, "paused"),
        ("POST", format!("/Conferences/{CF}/Recordings/Twilio.CURRENT.json"), "Status=no", 400, "20001"),
        ("GET", "/Recordings.json?ConferenceSid=CF1".into(), "", 400, "20001"),
        ("GET", "/Recordings.json".into(), "", 200, r#""recordings":[]"#),
        ("GET", "/Recordings/RE00000000000000000000000000000001.wav".into(), "", 404, "20404"),
        ("GET", "/Conferences.json".into(), "", 200, r#""friendly_name":"sales""#),
        ("GET", "/Conferences/sales/Participants.json?Muted=true".into(), "", 200, LIVE),
        ("GET", "/Conferences/sales/Participants.json?Muted=false".into(), "", 200, r#""participants":[]"#),
        ("POST", "/Conferences/sales/Participants.json".into(), "To=%2B1&From=%2B2", 201, "queued"),
        ("POST", "/Conferences/sales/Participants.json".into(), "To=%2B1&From=%2B2&Beep=loud", 400, "Beep"),
        ("POST", format!("/Conferences/sales/Participants/{LIVE}.json"), "Muted=true", 200, r#""muted":true"#),
        ("DELETE", format!("/Conferences/sales/Participants/{LIVE}.json"), "", 204, ""),
        ("POST", "/Conferences/sales.json".into(), "Status=completed", 200, "conference-ended-via-api"),
        ("POST", "/Queues.json".into(), "FriendlyName=support&MaxSize=5", 201, r#""max_size":5"#),
        ("POST", "/Queues.json".into(), "FriendlyName=support", 400, r#""code":22003"#),
        ("POST", "/Queues.json".into(), "MaxSize=5", 400, "FriendlyName"),
        ("POST", "/Queues.json".into(), "FriendlyName=x&MaxSize=0", 400, "MaxSize"),
        ("GET", "/Queues.json".into(), "", 200, r#""friendly_name":"support""#),
        ("POST", "/IncomingPhoneNumbers.json".into(), "PhoneNumber=%2B18089255327", 201, "(808) 925-5327"),
        ("POST", "/IncomingPhoneNumbers.json".into(), "PhoneNumber=%2B1&VoiceUrl=nowhere", 400, "VoiceUrl"),
        ("POST", "/SIP/Domains.json".into(), "DomainName=a.test", 201, "CredentialListMappings.json"),
        ("POST", "/Messages.json".into(), "To=%2B1&From=%2B2&Body=hello", 201, r#""status":"queued""#),
        ("GET", ".json".into(), "", 200, r#""type":"Full""#),
        ("POST", ".json".into(), "FriendlyName=x", 400, "files"),
        ("GET", "/Nothing.json".into(), "", 404, r#""more_info":"https://www.twilio.com/docs/errors/20404""#),
    ];
    for (method, path, body, status, part) in rows {
        let (got, answer) = served.ask_with(method, &format!("{BASE}{path}"), &served.authorization, body);
        assert!(got == status && answer.contains(part), "{method} {path} {body}: {got}\n{answer}");
    }
}

/// Made, read, changed and removed, and what is a part of it with it.
#[test]
fn settings_live_and_go_with_their_parts() {
    let served = serve_api();
    let ask = |method: &str, path: &str, body: &str| {
        let (status, text) = served.ask_with(method, &format!("{BASE}{path}"), &served.authorization, body);
        (status, serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    let sid = |made: &(u16, Value)| made.1["sid"].as_str().unwrap_or_default().to_owned();
    let list = sid(&ask("POST", "/SIP/CredentialLists.json", "FriendlyName=phones"));
    let parts = format!("/SIP/CredentialLists/{list}/Credentials");
    let made = ask("POST", &format!("{parts}.json"), "Username=u&Password=verysecret");
    assert!(made.0 == 201 && !made.1.to_string().contains("verysecret"), "{made:?}");
    let domain = sid(&ask("POST", "/SIP/Domains.json", "DomainName=a.test"));
    let mappings = format!("/SIP/Domains/{domain}/CredentialListMappings");
    let mapped = ask("POST", &format!("{mappings}.json"), &format!("CredentialListSid={list}"));
    assert_eq!((sid(&mapped), mapped.1["friendly_name"].as_str()), (list.clone(), Some("phones")));
    assert_eq!(ask("POST", &format!("{mappings}/{list}.json"), "").0, 405);
    let renamed = ask("POST", &format!("/SIP/CredentialLists/{list}.json"), "FriendlyName=others");
    assert_eq!(renamed.1["friendly_name"], "others");
    assert_eq!(ask("DELETE", &format!("/SIP/CredentialLists/{list}.json"), "").0, 204);
    assert_eq!(ask("GET", &format!("{parts}.json"), "").0, 404);
    assert_eq!(ask("GET", &format!("{parts}/{}.json", sid(&made)), "").0, 404);
}

/// What `/v1` has: the newer shapes, and only what is there.
#[test]
fn carriers_live_below_v1() {
    let served = serve_api();
    let ask = |method: &str, path: &str, body: &str| {
        let (status, text) = served.ask_with(method, path, &served.authorization, body);
        (status, serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    let sid = |made: &(u16, Value)| made.1["sid"].as_str().unwrap_or_default().to_owned();
    let policy = ask("POST", "/v1/ConnectionPolicies", "FriendlyName=p");
    let links = &policy.1["links"]["targets"];
    assert_eq!(
        (policy.0, links.as_str().is_some_and(|l| l.ends_with(&format!("{}/Targets", sid(&policy))))),
        (201, true)
    );
    let targets = format!("/v1/ConnectionPolicies/{}/Targets", sid(&policy));
    for (body, status) in
        [("Target=sip:a.test", 201), ("Target=a.test", 400), ("", 400), ("Target=sip:a&Weight=70000", 400)]
    {
        let answer = ask("POST", &targets, body);
        assert_eq!(answer.0, status, "{body} {answer:?}");
    }
    let listed = ask("GET", &targets, "").1;
    assert_eq!(
        (listed["meta"]["key"].as_str(), listed["targets"][0]["target"].as_str()),
        (Some("targets"), Some("sip:a.test"))
    );
    assert!(listed["targets"][0]["date_created"].as_str().is_some_and(|date| date.len() == 20 && date.ends_with('Z')));
    let trunk = format!("/v1/Trunks/{}", sid(&ask("POST", "/v1/Trunks", "DomainName=pbx.test")));
    let number = sid(&ask("POST", &format!("{BASE}/IncomingPhoneNumbers.json"), "PhoneNumber=%2B15550001"));
    assert_eq!(ask("POST", &format!("{trunk}/PhoneNumbers"), &format!("PhoneNumberSid={number}")).0, 201);
    let its = ask("GET", &format!("{trunk}/PhoneNumbers"), "").1;
    assert_eq!(its["phone_numbers"][0]["sid"], number.as_str());
    let rows = [
        ("POST", format!("{trunk}/PhoneNumbers"), "PhoneNumberSid=PN0", 400),
        ("POST", format!("{trunk}/Recording"), "Mode=always", 400),
        ("POST", format!("{trunk}/Recording"), "Mode=record-from-ringing", 200),
        ("POST", "/v1/Trunks".into(), "DomainName=PBX.test", 400),
        ("DELETE", format!("{trunk}/PhoneNumbers/{number}"), "", 204),
        ("GET", format!("{trunk}/PhoneNumbers/{number}"), "", 404),
        ("DELETE", trunk.clone(), "", 204),
        ("GET", format!("{trunk}/Recording"), "", 404),
        ("PUT", "/v1/Trunks".into(), "", 405),
        ("GET", "/v1/Nothing".into(), "", 404),
        ("GET", "/v1/".into(), "", 404),
    ];
    for (method, path, body, status) in rows {
        assert_eq!(ask(method, &path, body).0, status, "{method} {path} {body}");
    }
    assert_eq!(served.ask_with("GET", "/v1/Trunks", "", "").0, 401);
}

#[test]
fn keys_and_subaccounts_open_what_is_theirs() {
    let served = serve_api();
    let basic = |name: &str, token: &str| {
        format!("Basic {}", crate::base::base64::encode(format!("{name}:{token}").as_bytes()))
    };
    let ask = |method: &str, path: &str, authorization: &str, body: &str| {
        let (status, text) = served.ask_with(method, path, authorization, body);
        (status, serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let (_, key) = ask("POST", &format!("{BASE}/Keys.json"), &served.authorization, "FriendlyName=app");
    let (_, sub) = ask("POST", "/2010-04-01/Accounts.json", &served.authorization, "FriendlyName=branch");
    let (key_sid, sub_sid) = (text(&key, "sid"), text(&sub, "sid"));
    let by_key = basic(&key_sid, &text(&key, "secret"));
    let by_sub = basic(&sub_sid, &text(&sub, "auth_token"));
    let of_sub = format!("/2010-04-01/Accounts/{sub_sid}/Queues.json");
    let below = |path: &str| format!("/2010-04-01/Accounts/{sub_sid}/{path}");
    let of_main = format!("{BASE}/Queues.json");
    let rows = [
        (&of_main, &by_key, 200),
        (&of_main, &by_sub, 404),
        (&format!("{BASE}/Recordings.json"), &served.authorization, 200),
        (&below("Recordings.json"), &by_sub, 404),
        (&below("Recordings/RE0123456789abcdef0123456789abcdef.wav"), &by_sub, 404),
        (&below("Conferences.json"), &by_sub, 404),
        (&below("Calls/CA0123456789abcdef0123456789abcdef/Recordings.json"), &by_sub, 404),
        (&below("Calls.json"), &by_sub, 200),
        (&of_sub, &by_sub, 200),
        (&of_sub, &served.authorization, 200),
        (&of_main, &basic("AC1", "wrong"), 401),
        (&of_main, &basic(&key_sid, "wrong"), 401),
        (&of_main, &String::new(), 401),
    ];
    for (path, authorization, status) in rows {
        assert_eq!(ask("GET", path, authorization, "").0, status, "{path} {authorization}");
    }
    let (_, again) = ask("GET", &format!("{BASE}/Keys/{key_sid}.json"), &served.authorization, "");
    assert!(again["secret"].is_null() && again["secret_sha256"].is_null(), "told once");
    let files = std::fs::read_dir(&served.folder).expect("the store's folder").map_while(Result::ok);
    let store: Vec<u8> = files.flat_map(|file| std::fs::read(file.path()).unwrap_or_default()).collect();
    let stands = |text: &str| store.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(
        !text(&key, "secret").is_empty() && stands(&key_sid) && !stands(&text(&key, "secret")),
        "nobody who reads the store has it"
    );
    let path = format!("/2010-04-01/Accounts/{sub_sid}.json");
    assert_eq!(ask("POST", &path, &served.authorization, "Status=suspended").1["status"], "suspended");
    assert_eq!(ask("GET", &of_sub, &by_sub, "").0, 401);
}
