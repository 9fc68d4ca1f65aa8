//! What the REST interface keeps, as calls know of it.

use super::{Fault, Setting, Settings};
use crate::base::pii::Secret;
use crate::config::{Network, Srtp, Trunk, TrunkTarget};
use crate::sip::auth::Algorithm;
use crate::switch::{self, Answers, Dials, DomainSetting, NumberSetting, QueueSetting, digits_of};
use crate::verb::{Channels, DialRecord};
use crate::web::{Address, Method};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What lies in the store of a switch; rows that cannot be read are left out. `realm` is what passwords were hashed for.
pub fn known(path: &Path, realm: &str) -> Result<switch::Settings, Fault> {
    let store = Settings::open(path)?;
    let applications = bodies(&store, "Applications")?;
    let numbers = store.all("IncomingPhoneNumbers")?;
    let elastic = bodies(&store, "Trunks")?;
    Ok(switch::Settings {
        queues: store.all("Queues")?.iter().filter_map(queue).collect(),
        numbers: numbers.iter().filter_map(|s| number(s, &applications, &elastic)).collect(),
        domains: domains(&store, realm, &elastic)?,
        trunks: trunks(&store, &elastic)?,
    })
}

/// Resources of a kind by their numbers.
type Bodies = BTreeMap<String, Value>;

fn bodies(store: &Settings, kind: &str) -> Result<Bodies, Fault> {
    Ok(store.all(kind)?.iter().filter_map(|s| Some((s.sid.clone(), body(s)?))).collect())
}

/// What is called by a trunk, from the resources that lie below it: all that are enabled.
fn targets(parts: Option<&Vec<Setting>>, uri: &str) -> Vec<TrunkTarget> {
    let target = |setting: &Setting| {
        let own = body(setting)?;
        let number = |name: &str| own[name].as_u64().and_then(|n| u16::try_from(n).ok());
        let uri = own[uri].as_str()?.to_owned();
        let (priority, weight) = (number("priority").unwrap_or(10), number("weight").unwrap_or(10));
        (own["enabled"] != false).then_some(TrunkTarget { uri, priority, weight })
    };
    parts.into_iter().flatten().filter_map(target).collect()
}

/// How a trunk's calls are recorded.
fn record(trunk: &Value) -> Option<DialRecord> {
    let how = trunk["recording"]["mode"].as_str()?.strip_prefix("record-from-")?;
    let channels = Some(if how.ends_with("-dual") { Channels::Dual } else { Channels::Mono });
    Some(DialRecord { channels, from_ringing: how.starts_with("ringing") })
}

/// `BY…` calls the targets of its policy, `TK…` its origination addresses.
fn trunks(store: &Settings, elastic: &Bodies) -> Result<Vec<Trunk>, Fault> {
    let (policies, addresses) = (parts(store, "ConnectionPolicies/Targets")?, parts(store, "Trunks/OriginationUrls")?);
    let byoc = bodies(store, "ByocTrunks")?;
    let own = byoc.iter().map(|(sid, own)| {
        let policy = own["connection_policy_sid"].as_str().and_then(|sid| policies.get(sid));
        Trunk::at(sid, targets(policy, "target"))
    });
    let elastic = elastic.iter().map(|(sid, own)| Trunk {
        srtp: (own["secure"] == true).then_some(Srtp::Required),
        ..Trunk::at(sid, targets(addresses.get(sid), "sip_url"))
    });
    Ok(own.chain(elastic).filter(|trunk| !trunk.targets.is_empty()).collect())
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

/// A trunk takes the place of an application, and an application's addresses that of the number's own.
fn number(setting: &Setting, applications: &Bodies, elastic: &Bodies) -> Option<(String, NumberSetting)> {
    let own = body(setting)?;
    let digits = digits_of(own["phone_number"].as_str()?);
    let application = own["voice_application_sid"].as_str().and_then(|sid| applications.get(sid));
    let said = application.unwrap_or(&own);
    let trunk = own["trunk_sid"].as_str().and_then(|sid| elastic.get_key_value(sid));
    let answers = match trunk {
        Some((name, trunk)) => {
            let disaster = address(trunk, "disaster_recovery_url", "disaster_recovery_method");
            Answers::Trunk { name: name.clone(), disaster, record: record(trunk) }
        }
        None => Answers::Application {
            voice: address(said, "voice_url", "voice_method")?,
            fallback: address(said, "voice_fallback_url", "voice_fallback_method"),
        },
    };
    let status = address(said, "status_callback", "status_callback_method");
    Some((digits, NumberSetting { sid: setting.sid.clone(), answers, status }))
}

/// H(username:realm:password), as SIP's digests take it.
pub fn ha1(username: &str, realm: &str, password: &str) -> String {
    Algorithm::Md5.ha1(username, realm, password)
}

/// What lists and mappings hold, by the number of whose they are.
type Parts = BTreeMap<String, Vec<Setting>>;

fn parts(store: &Settings, kind: &str) -> Result<Parts, Fault> {
    let mut parts = Parts::new();
    for setting in store.all(kind)? {
        parts.entry(setting.parent.clone()).or_default().push(setting);
    }
    Ok(parts)
}

fn domains(store: &Settings, realm: &str, elastic: &Bodies) -> Result<BTreeMap<String, Arc<DomainSetting>>, Fault> {
    let all = store.all("SIP/Domains")?;
    if all.is_empty() && elastic.is_empty() {
        return Ok(BTreeMap::new());
    }
    let users = users(store, realm)?;
    let networks: BTreeMap<String, Vec<Network>> = parts(store, "SIP/IpAccessControlLists/IpAddresses")?
        .into_iter()
        .map(|(list, addresses)| (list, addresses.iter().filter_map(network).collect()))
        .collect();
    let mapped = |kind: &str| parts(store, &format!("SIP/Domains/{kind}"));
    let (plain, plain_nets) = (mapped("CredentialListMappings")?, mapped("IpAccessControlListMappings")?);
    let calls = mapped("Auth/Calls/CredentialListMappings")?;
    let nets = mapped("Auth/Calls/IpAccessControlListMappings")?;
    let registrations = mapped("Auth/Registrations/CredentialListMappings")?;
    let (elastic_lists, elastic_nets) =
        (parts(store, "Trunks/CredentialLists")?, parts(store, "Trunks/IpAccessControlLists")?);
    let (byoc, none) = (bodies(store, "ByocTrunks")?, Parts::new());
    let listed = |sid: &str, maps: [&Parts; 2]| -> Option<Vec<String>> {
        let lists: Vec<String> = maps.iter().filter_map(|m| m.get(sid)).flatten().map(|s| s.sid.clone()).collect();
        (!lists.is_empty()).then_some(lists)
    };
    let union = |lists: Vec<String>| {
        lists.iter().filter_map(|l| users.get(l)).flatten().map(|(n, h)| (n.clone(), h.clone())).collect()
    };
    let addresses = |lists: Vec<String>| lists.iter().filter_map(|l| networks.get(l)).flatten().copied().collect();
    let made = all.iter().filter_map(|setting| {
        let body = body(setting)?;
        let of = |maps| listed(&setting.sid, maps);
        let trunk = body["byoc_trunk_sid"].as_str().and_then(|sid| byoc.get(sid));
        let name = body["domain_name"].as_str()?.to_ascii_lowercase();
        let domain = DomainSetting {
            sid: setting.sid.clone(),
            voice: address(trunk.unwrap_or(&body), "voice_url", "voice_method"),
            dials: None,
            fallback: address(trunk.unwrap_or(&body), "voice_fallback_url", "voice_fallback_method"),
            status: match trunk {
                Some(trunk) => address(trunk, "status_callback_url", "status_callback_method"),
                None => address(&body, "voice_status_callback_url", "voice_status_callback_method"),
            },
            registers: body["sip_registration"] == true,
            calls: of([&plain, &calls]).map(union),
            registrations: of([&registrations, &none]).map(union),
            networks: of([&plain_nets, &nets]).map(addresses),
            name: name.clone(),
        };
        Some((name, Arc::new(domain)))
    });
    let elastic = elastic.iter().filter_map(|(sid, body)| {
        let name = body["domain_name"].as_str().filter(|name| !name.is_empty())?.to_ascii_lowercase();
        let domain = DomainSetting {
            sid: sid.clone(),
            dials: Some(Dials { record: record(body) }),
            calls: listed(sid, [&elastic_lists, &none]).map(union),
            networks: listed(sid, [&elastic_nets, &none]).map(addresses),
            name: name.clone(),
            ..DomainSetting::default()
        };
        Some((name, Arc::new(domain)))
    });
    // Of two of one name the first that was made stays.
    let mut found = BTreeMap::new();
    for (name, domain) in made.chain(elastic) {
        found.entry(name).or_insert(domain);
    }
    Ok(found)
}

/// Who is on each credential list. A password of before hashes were kept is hashed now, and forgotten.
fn users(store: &Settings, realm: &str) -> Result<BTreeMap<String, Vec<(String, Secret)>>, Fault> {
    let mut users = BTreeMap::<String, Vec<(String, Secret)>>::new();
    for mut setting in store.all("SIP/CredentialLists/Credentials")? {
        let Some(mut own) = body(&setting) else { continue };
        let Some(name) = own["username"].as_str().map(str::to_owned) else { continue };
        if let Some(password) = own["password"].as_str().map(str::to_owned) {
            own["ha1"] = ha1(&name, realm, &password).into();
            own.as_object_mut().map(|own| own.remove("password"));
            setting.body = own.to_string();
            store.put(&setting)?;
        }
        let Some(hash) = own["ha1"].as_str() else { continue };
        users.entry(setting.parent).or_default().push((name, Secret::new(hash.to_owned())));
    }
    Ok(users)
}

fn network(setting: &Setting) -> Option<Network> {
    let body = body(setting)?;
    let prefix = body["cidr_prefix_length"].as_u64().and_then(|n| u8::try_from(n).ok());
    Some(Network { address: body["ip_address"].as_str()?.parse().ok()?, prefix: prefix.unwrap_or(32) })
}
