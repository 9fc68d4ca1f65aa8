//! A customer's own carrier (BYOC): the domain by which its calls are told apart, and where they go when nobody says what becomes of them.

use super::shapes;
use super::uri::is_uri;
use crate::base::yaml::{Fields, Key, Node, Type, key};

/// Where a trunk's calls go when what they ask of a server cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disaster {
    /// A document's address.
    Document(String),
    /// A SIP URI that is called.
    Uri(String),
}

impl Disaster {
    pub fn as_str(&self) -> &str {
        match self {
            Disaster::Document(address) | Disaster::Uri(address) => address,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Byoc {
    /// Host of the Request-URI of its calls; several trunks may share their sources then.
    pub domain: Option<String>,
    pub disaster: Option<Disaster>,
}

pub const DOMAIN: Key = key(
    "domain",
    Type::Form("a host name or an address", shapes::is_domain),
    "",
    "Its calls are those from `inbound` whose Request-URI names this domain, so that trunks can share sources; any if missing.",
);

pub const DISASTER: Key = key(
    "disaster",
    Type::Form("an address such as https://… or sip:…", is_disaster),
    "",
    "Where its calls go when a document and its fallback cannot be had: another document, or a SIP URI that is called.",
);

fn is_document(text: &str) -> bool {
    ["http://", "https://"].iter().any(|begin| text.len() > begin.len() && text.starts_with(begin))
}

fn is_disaster(text: &str) -> bool {
    is_document(text) || (is_uri(text) && !text.starts_with("tel:"))
}

pub fn read(f: &Fields<'_>) -> Byoc {
    let own = |key| f.get(key).and_then(Node::text).map(str::to_owned);
    let disaster =
        own("disaster").map(|text| if is_document(&text) { Disaster::Document(text) } else { Disaster::Uri(text) });
    Byoc { domain: own("domain"), disaster }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, NoSecrets};

    #[test]
    fn a_disaster_target_is_a_document_or_a_sip_uri() {
        for (text, want) in [
            ("https://a.example/x", Some(Disaster::Document("https://a.example/x".into()))),
            ("http://127.0.0.1/x", Some(Disaster::Document("http://127.0.0.1/x".into()))),
            ("sip:help@a.example", Some(Disaster::Uri("sip:help@a.example".into()))),
            ("https://", None),
            ("help", None),
            ("tel:+1", None),
        ] {
            let yaml = format!(
                "trunks:\n  - {{ name: t, context: c, inbound: 10.0.0.1, domain: t.example, disaster: \"{text}\" }}\n"
            );
            let read = Config::read("t", &yaml, &NoSecrets);
            let found = read.as_ref().ok().map(|read| read.config.trunks[0].byoc.clone());
            assert_eq!(found, want.map(|d| Byoc { domain: Some("t.example".into()), disaster: Some(d) }), "{text}");
            if let Err(faults) = read {
                assert!(format!("{faults:?}").contains("https://… or sip:…"), "{faults:?}");
            }
        }
    }
}
