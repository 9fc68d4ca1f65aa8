//! Whom a request is about beside its own dialog: Replaces (RFC 3891) and Refer-To (RFC 3515).

use super::dialog::Tag;
use super::wire::{HeaderName, Message, NameAddr, Params, Uri, percent_decode};

/// The dialog that another one is to take the place of (RFC 3891 §6.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaces {
    pub call_id: String,
    pub to_tag: String,
    pub from_tag: String,
    /// Only while it is early.
    pub early_only: bool,
}

impl Replaces {
    /// `None` without a Call-ID and both tags.
    pub fn parse(value: &str) -> Option<Replaces> {
        let (call_id, rest) = value.split_once(';')?;
        let params = Params(rest);
        let replaces = Replaces {
            call_id: call_id.trim_ascii().to_owned(),
            to_tag: params.get("to-tag")?.to_owned(),
            from_tag: params.get("from-tag")?.to_owned(),
            early_only: params.get("early-only").is_some(),
        };
        (!replaces.call_id.is_empty()).then_some(replaces)
    }

    /// Our tag and the peer's, in either order: a phone writes them as its own peer sees them, or as a dialog event told it.
    pub fn tags(&self) -> impl Iterator<Item = (Tag, &str)> {
        let pairs = [(&self.to_tag, &self.from_tag), (&self.from_tag, &self.to_tag)];
        pairs.into_iter().filter_map(|(ours, theirs)| Some((Tag::parse(ours)?, theirs.as_str())))
    }

    /// As a header's value.
    pub fn value(&self) -> String {
        let early = if self.early_only { ";early-only" } else { "" };
        format!("{};to-tag={};from-tag={}{early}", self.call_id, self.to_tag, self.from_tag)
    }
}

/// Where a REFER sends its receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReferTo {
    /// The URI without the headers after its question mark.
    pub uri: String,
    /// Who is called: the user part, or the number of a tel: URI.
    pub user: String,
    pub replaces: Option<Replaces>,
}

impl ReferTo {
    /// Reads the one Refer-To of a REFER; the status that refuses it (§2.4.2): 400 if it cannot be read, 403 if it asks for
    /// something other than an INVITE.
    pub fn of(request: &Message) -> Result<ReferTo, u16> {
        let mut values = request.headers(HeaderName::ReferTo);
        let (Some(value), None) = (values.next(), values.next()) else { return Err(400) };
        let uri = NameAddr::parse(value).and_then(|addr| Uri::parse(addr.uri)).ok_or(400u16)?;
        if !uri.is_sip() && !uri.is_tel() {
            return Err(416);
        }
        if uri.params.get("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
            return Err(403);
        }
        let named = |field: &&str| field.get(..9).is_some_and(|name| name.eq_ignore_ascii_case("Replaces="));
        let replaces = match uri.headers.split('&').find(named) {
            None => None,
            Some(field) => {
                let value = percent_decode(field.get(9..).unwrap_or_default());
                Some(Replaces::parse(&value).ok_or(400u16)?)
            }
        };
        let bare = uri.raw.split('?').next().unwrap_or_default();
        Ok(ReferTo { uri: bare.to_owned(), user: uri.user_decoded().into_owned(), replaces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[track_caller]
    fn check(refer_to: &str, expected: Result<(&str, Option<&str>), u16>) {
        let text = format!(
            "REFER sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKq\r\nFrom: <sip:b@b>;tag=1\r\nTo: <sip:a@a>;tag=2\r\n\
             Call-ID: c\r\nCSeq: 1 REFER\r\n{refer_to}Content-Length: 0\r\n\r\n"
        );
        let request = Message::parse(Bytes::from(text)).expect("a test message parses");
        let read = ReferTo::of(&request);
        let seen = read.as_ref().map(|to| (to.user.as_str(), to.replaces.as_ref().map(Replaces::value)));
        assert_eq!(seen.map_err(|s| *s), expected.map(|(u, r)| (u, r.map(str::to_owned))), "{refer_to}");
    }

    #[test]
    fn refer_to_is_read_as_phones_write_it() {
        check("Refer-To: <sip:bob@h>\r\n", Ok(("bob", None)));
        check("r: sip:bob@h;user=phone\r\n", Ok(("bob", None)));
        check("Refer-To: \"B, b\" <sip:%2B1415@h:5060;transport=tcp>\r\n", Ok(("+1415", None)));
        check("Refer-To: <tel:+1415>\r\n", Ok(("+1415", None)));
        let escaped = "<sip:bob@h?Replaces=c1%40h%3Bto-tag%3Da%3Bfrom-tag%3Db>";
        check(&format!("Refer-To: {escaped}\r\n"), Ok(("bob", Some("c1@h;to-tag=a;from-tag=b"))));
        check(
            "Refer-To: <sip:bob@h?X=y&replaces=c1;from-tag=b;to-tag=a>\r\n",
            Ok(("bob", Some("c1;to-tag=a;from-tag=b"))),
        );
        check("Refer-To: <sip:bob@h?Replaces=c1%3Bto-tag%3Da>\r\n", Err(400));
        check("Refer-To: <sip:bob@h;method=BYE>\r\n", Err(403));
        check("Refer-To: <http://h/>\r\n", Err(416));
        check("Refer-To: <sip:a@h>\r\nRefer-To: <sip:b@h>\r\n", Err(400));
        check("", Err(400));
    }

    #[test]
    fn the_tags_are_ours_and_theirs_in_either_order() {
        let tag = Tag(0xab).to_string();
        for (to, from) in [(tag.as_str(), "x"), ("x", tag.as_str())] {
            let replaces = Replaces::parse(&format!("c;to-tag={to};from-tag={from};early-only")).expect("it is whole");
            assert!(replaces.early_only);
            assert_eq!(replaces.tags().collect::<Vec<_>>(), [(Tag(0xab), "x")]);
        }
    }
}
