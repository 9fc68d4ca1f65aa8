//! Certificates of callers' signatures: their chain, and for which numbers they may speak (RFC 8226).

use crate::shell::net::tls::dates::element;
use crate::sip::identity::Party;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// Certificates of one chain that are read.
const CHAIN_MAX: usize = 8;
/// Entries of a TNAuthList that are read.
const ENTRIES_MAX: usize = 10_000;
/// id-pe-TNAuthList, 1.3.6.1.5.5.7.1.26, as DER.
const TN_AUTH_LIST: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1a];

const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const INTEGER: u8 = 0x02;
const IA5_STRING: u8 = 0x16;
const BOOLEAN: u8 = 0x01;
const EXTENSIONS: u8 = 0xa3;
const PROVIDER: u8 = 0xa0;
const RANGE: u8 = 0xa1;
const ONE: u8 = 0xa2;

/// One's own certificate, then those that lead to an authority.
#[derive(Debug)]
pub struct Chain {
    pub leaf: CertificateDer<'static>,
    pub others: Vec<CertificateDer<'static>>,
    pub numbers: Option<Vec<Numbers>>,
}

/// An entry of a TNAuthList (RFC 8226 §9).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Numbers {
    /// A service provider's code: all that this provider assigns.
    Provider(String),
    Range(u64, u64),
    One(String),
}

/// A chain in PEM, or one certificate in DER.
pub fn read(octets: &[u8]) -> Result<Chain, String> {
    let mut all: Vec<CertificateDer<'static>> = match octets.first() {
        Some(&SEQUENCE) => vec![CertificateDer::from(octets.to_vec())],
        _ => {
            let found: Result<_, _> = CertificateDer::pem_slice_iter(octets).take(CHAIN_MAX).collect();
            found.map_err(|_| "what is there is no certificate".to_owned())?
        }
    };
    if all.is_empty() {
        return Err("what is there is no certificate".into());
    }
    let leaf = all.remove(0);
    let numbers = numbers(&leaf).map_err(str::to_owned)?;
    Ok(Chain { leaf, others: all, numbers })
}

/// What the certificate's TNAuthList names; `None` if it has none.
pub fn numbers(certificate: &[u8]) -> Result<Option<Vec<Numbers>>, &'static str> {
    const BROKEN: &str = "the certificate cannot be read";
    let inside = |der, tag: u8| element(der).filter(|(t, ..)| *t == tag).map(|(_, content, _)| content);
    let mut rest = inside(certificate, SEQUENCE).and_then(|c| inside(c, SEQUENCE)).ok_or(BROKEN)?;
    let mut extensions = None;
    while !rest.is_empty() {
        let (tag, content, after) = element(rest).ok_or(BROKEN)?;
        if tag == EXTENSIONS {
            extensions = inside(content, SEQUENCE);
        }
        rest = after;
    }
    let mut rest = extensions.unwrap_or_default();
    while !rest.is_empty() {
        let (_, extension, after) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE).ok_or(BROKEN)?;
        rest = after;
        let (_, name, mut value) = element(extension).filter(|(tag, ..)| *tag == OBJECT).ok_or(BROKEN)?;
        if name != TN_AUTH_LIST {
            continue;
        }
        if let Some((BOOLEAN, _, after)) = element(value) {
            value = after;
        }
        let list = inside(value, OCTETS).and_then(|c| inside(c, SEQUENCE));
        return entries(list.ok_or(BROKEN)?).map(Some).ok_or("the certificate's TNAuthList cannot be read");
    }
    Ok(None)
}

fn entries(mut list: &[u8]) -> Option<Vec<Numbers>> {
    let text = |der| {
        let (_, content, rest) = element(der).filter(|(tag, ..)| *tag == IA5_STRING)?;
        let text = std::str::from_utf8(content).ok().filter(|t| t.is_ascii() && t.len() <= 32)?;
        Some((text.to_owned(), rest))
    };
    let mut found = Vec::new();
    while !list.is_empty() && found.len() < ENTRIES_MAX {
        let (tag, content, after) = element(list)?;
        list = after;
        found.push(match tag {
            PROVIDER => Numbers::Provider(text(content)?.0),
            ONE => Numbers::One(text(content)?.0),
            RANGE => {
                let (_, range, _) = element(content).filter(|(tag, ..)| *tag == SEQUENCE)?;
                let (start, rest) = text(range)?;
                let (_, count, _) = element(rest).filter(|(tag, c, _)| *tag == INTEGER && c.len() <= 8)?;
                let count = count.iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet));
                let start: u64 = start.parse().ok()?;
                Numbers::Range(start, start.checked_add(count)?)
            }
            _ => return None,
        });
    }
    Some(found)
}

impl Chain {
    /// Whether its certificate may speak for a caller; one without a list is bound by its authority alone.
    pub fn speaks_for(&self, caller: &Party) -> bool {
        let Some(numbers) = &self.numbers else { return true };
        let number = caller.as_number();
        let value = number.and_then(|n| n.parse::<u64>().ok());
        numbers.iter().any(|entry| match entry {
            Numbers::Provider(_) => true,
            Numbers::One(one) => Some(one.as_str()) == number,
            Numbers::Range(from, to) => value.is_some_and(|v| (*from..*to).contains(&v)),
        })
    }
}
