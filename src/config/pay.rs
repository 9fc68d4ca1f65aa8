//! Who takes payments.

use super::shapes::NAME;
use crate::base::base64;
use crate::base::pii::Secret;
use crate::base::yaml::{Fields, Reader, Shape, Type, key, required};

/// What a gateway speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Twilio's generic pay connector: JSON.
    Generic,
    /// Stripe's public form interface.
    Stripe,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Generic => "generic",
            Kind::Stripe => "stripe",
        }
    }
}

/// A gateway that Pay can name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connector {
    pub name: String,
    pub kind: Kind,
    /// Https, or this machine.
    pub url: String,
    /// The header of that name.
    pub authorization: Option<Secret>,
}

const STRIPE: &str = "https://api.stripe.com";

pub static PAY: Shape = Shape {
    name: "pay section",
    doc: "Payments by phone.",
    keys: &[key("connectors", Type::List(&Type::Map(&CONNECTOR)), "", "Gateways that take payments.")],
    prefixed: None,
};

pub static CONNECTOR: Shape = Shape {
    name: "pay connector",
    doc: "A gateway, by the name that Pay uses; `Default` is taken where it names none.",
    keys: &[
        required("name", NAME, "Its name in Pay's paymentConnector."),
        key("type", Type::Choice(&["generic", "stripe"]), "generic", "What it speaks."),
        key("url", Type::Text, "", "Where it is asked, over https or on this machine; Stripe's own if missing."),
        key("username", Type::Text, "", "Of a generic connector: user of the Basic credentials."),
        key("password", Type::Secret, "", "Of a generic connector: their password, by env: or file:."),
        key("key", Type::Secret, "", "Of Stripe: the secret key, by env: or file:."),
    ],
    prefixed: None,
};

pub(super) fn connectors(reader: &mut Reader, f: &Fields<'_>) -> Vec<Connector> {
    let mut all: Vec<Connector> = Vec::new();
    for node in f.items("connectors") {
        let c = Fields::of(node, &CONNECTOR);
        let (name, is_stripe) = (c.string("name"), c.text("type") == Some("stripe"));
        let url = match c.text("url") {
            None if is_stripe => STRIPE.to_owned(),
            url => url.unwrap_or_default().to_owned(),
        };
        if !is_private(&url) {
            let at = c.get("url").map_or(node.at, |url| url.at);
            reader.fault(
                at,
                format!("the connector {name} cannot be asked at \"{url}\""),
                "expected an https address, or http of a loopback address",
            );
        }
        let authorization = match (is_stripe, c.text("key"), c.text("username"), c.text("password")) {
            (true, Some(secret), ..) => Some(format!("Bearer {secret}")),
            (true, None, ..) => {
                reader.fault(
                    node.at,
                    format!("the connector {name} has no key"),
                    "expected key: env:NAME or file:PATH",
                );
                None
            }
            (false, _, Some(user), password) => {
                let pair = format!("{user}:{}", password.unwrap_or_default());
                Some(format!("Basic {}", base64::encode(pair.as_bytes())))
            }
            (false, ..) => None,
        };
        if all.iter().any(|other| other.name == name) {
            reader.fault(node.at, format!("there are two connectors {name}"), "expected each name once");
        }
        let kind = if is_stripe { Kind::Stripe } else { Kind::Generic };
        all.push(Connector { name, kind, url, authorization: authorization.map(Secret::new) });
    }
    all
}

/// As `web::is_private`, which stands in a layer above.
fn is_private(url: &str) -> bool {
    let rest = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => return !rest.is_empty() && !rest.starts_with('/') && !rest.contains('@'),
        (None, Some(rest)) => rest,
        (None, None) => return false,
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.strip_prefix('[').map_or_else(|| host.split(':').next(), |v6| v6.split(']').next());
    host.and_then(|h| h.parse::<std::net::IpAddr>().ok()).is_some_and(|ip| ip.is_loopback())
}
