//! What the REST interface keeps, as calls know of it.

use super::{Fault, Setting, Settings};
use crate::switch::{self, NumberSetting, QueueSetting, digits_of};
use crate::web::{Address, Method};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// What lies in the store of a switch; rows that cannot be read are left out.
pub fn known(path: &Path) -> Result<switch::Settings, Fault> {
    let store = Settings::open(path)?;
    let applications: BTreeMap<String, Value> =
        store.all("Applications")?.iter().filter_map(|s| Some((s.sid.clone(), body(s)?))).collect();
    let numbers = store.all("IncomingPhoneNumbers")?;
    Ok(switch::Settings {
        queues: store.all("Queues")?.iter().filter_map(queue).collect(),
        numbers: numbers.iter().filter_map(|s| number(s, &applications)).collect(),
    })
}

fn body(setting: &Setting) -> Option<Value> {
    serde_json::from_str(&setting.body).ok()
}

fn queue(setting: &Setting) -> Option<QueueSetting> {
    let body = body(setting)?;
    let max = body["max_size"].as_u64().and_then(|n| u32::try_from(n).ok());
    Some(QueueSetting {
        id: setting.sid.parse().ok()?,
        name: body["friendly_name"].as_str()?.to_owned(),
        max: max.unwrap_or(switch::QUEUE_SIZE_MAX),
    })
}

fn address(body: &Value, url: &str, method: &str) -> Option<Address> {
    let url = body[url].as_str().filter(|url| !url.is_empty())?;
    let method = body[method].as_str().and_then(Method::parse).unwrap_or_default();
    Some(Address::new(url, method))
}

/// An application's addresses take the place of the number's own.
fn number(setting: &Setting, applications: &BTreeMap<String, Value>) -> Option<(String, NumberSetting)> {
    let own = body(setting)?;
    let digits = digits_of(own["phone_number"].as_str()?);
    let application = own["voice_application_sid"].as_str().and_then(|sid| applications.get(sid));
    let said = application.unwrap_or(&own);
    Some((
        digits,
        NumberSetting {
            sid: setting.sid.clone(),
            voice: address(said, "voice_url", "voice_method")?,
            fallback: address(said, "voice_fallback_url", "voice_fallback_method"),
            status: address(said, "status_callback", "status_callback_method"),
        },
    ))
}
