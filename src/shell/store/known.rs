//! What the REST interface keeps, as calls know of it.

use super::{Fault, Settings};
use crate::switch::{self, QueueSetting};
use serde_json::Value;
use std::path::Path;

/// What lies in the store of a switch; rows that cannot be read are left out.
pub fn known(path: &Path) -> Result<switch::Settings, Fault> {
    let store = Settings::open(path)?;
    Ok(switch::Settings { queues: store.all("Queues")?.iter().filter_map(queue).collect() })
}

fn queue(setting: &super::Setting) -> Option<QueueSetting> {
    let body: Value = serde_json::from_str(&setting.body).ok()?;
    let max = body["max_size"].as_u64().and_then(|n| u32::try_from(n).ok());
    Some(QueueSetting {
        id: setting.sid.parse().ok()?,
        name: body["friendly_name"].as_str()?.to_owned(),
        max: max.unwrap_or(switch::QUEUE_SIZE_MAX),
    })
}
