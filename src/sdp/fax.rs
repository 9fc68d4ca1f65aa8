//! Fax over UDPTL (ITU-T T.38 Annex D.2): a party that hears a fax's tone offers an image stream in the place of its audio, and
//! the other one takes it with parameters of its own. What they agree about is theirs; between them only addresses change.

use super::description::{Attribute, Host, Kind, Media, Protocol, SessionDescription};
use super::negotiate::NegotiationFault;
use std::net::SocketAddr;

/// Parameters that are passed on, at most.
const PARAMETERS_MAX: usize = 16;

/// One side's parameters of T.38: of its description, only what Annex D names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaxTerms {
    attributes: Vec<Attribute>,
}

/// A stream of fax in a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaxStream {
    /// Place among the `m=` lines.
    pub stream: usize,
    /// Where to send UDPTL.
    pub remote: SocketAddr,
    pub terms: FaxTerms,
}

/// Whether a description asks for fax alone: an image stream by UDPTL, and no audio beside it.
pub fn is_fax(description: &SessionDescription) -> bool {
    let open = |kind: Kind| description.media.iter().any(move |m| m.kind == kind && m.port != 0);
    place_of(description).is_some() && !open(Kind::Audio)
}

fn place_of(description: &SessionDescription) -> Option<usize> {
    description.media.iter().position(|m| m.kind == Kind::Image && m.protocol == Protocol::Udptl && m.port != 0)
}

/// The stream of fax that a description has open, for us at `ours`. [`NegotiationFault::Refused`] if there is none.
pub fn fax_of(description: &SessionDescription, ours: SocketAddr) -> Result<FaxStream, NegotiationFault> {
    let stream = place_of(description).ok_or(NegotiationFault::Refused)?;
    let media = description.media.get(stream).ok_or(NegotiationFault::Refused)?;
    if let Some(Host::Name(name)) = description.host_of(media) {
        return Err(NegotiationFault::HostName(name.clone()));
    }
    let remote = description.rtp_of(media).ok_or(NegotiationFault::NoAddress)?;
    if remote.ip().to_canonical().is_ipv4() != ours.ip().to_canonical().is_ipv4() {
        return Err(NegotiationFault::AddressFamily);
    }
    let is_parameter = |a: &&Attribute| a.name.get(..3).is_some_and(|name| name.eq_ignore_ascii_case("T38"));
    let attributes = media.attributes.iter().filter(is_parameter).take(PARAMETERS_MAX).cloned().collect();
    Ok(FaxStream { stream, remote, terms: FaxTerms { attributes } })
}

/// Our offer of fax in the session in which `previous` was our last description: in the place of its audio (RFC 3264 §8.3.3).
pub fn offer_fax(previous: &SessionDescription, ours: SocketAddr, terms: &FaxTerms) -> SessionDescription {
    let place = previous.media.iter().position(|m| m.port != 0).unwrap_or(0);
    describe(previous, &previous.media, place, ours, terms)
}

/// Our answer to an offer of fax, with the other party's terms. `previous` is our last description in this session.
pub fn answer_fax(
    offer: &SessionDescription,
    stream: usize,
    previous: &SessionDescription,
    ours: SocketAddr,
    terms: &FaxTerms,
) -> SessionDescription {
    describe(previous, &offer.media, stream, ours, terms)
}

fn describe(
    previous: &SessionDescription,
    slots: &[Media],
    place: usize,
    ours: SocketAddr,
    terms: &FaxTerms,
) -> SessionDescription {
    let mut image = Media::new(Kind::Image, ours.port(), Protocol::Udptl, vec!["t38".into()]);
    image.attributes.clone_from(&terms.attributes);
    let mut media: Vec<Media> = slots.iter().map(Media::refused).collect();
    match media.get_mut(place) {
        Some(slot) => *slot = image,
        None => media.push(image),
    }
    let mut description = SessionDescription { media, ..previous.clone() };
    description.supersede(previous);
    description
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEECH: &str = "v=0\r\no=- 7 3 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n\
                          a=sendrecv\r\nm=video 0 RTP/AVP 31\r\n";
    const FAX: &str = "v=0\r\no=x 1 1 IN IP4 10.9.9.9\r\ns=theirs\r\nc=IN IP4 10.9.9.9\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n\
                       m=image 6000 udptl t38\r\na=T38FaxVersion:0\r\na=t38FaxRateManagement:transferredTCF\r\na=x-of:10.9.9.9\r\n";

    fn parsed(text: &str) -> SessionDescription {
        SessionDescription::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_asks_for_fax_and_where_it_goes() {
        let own = SocketAddr::from(([192, 0, 2, 1], 4000));
        let audio_too = FAX.replace("audio 0", "audio 6002");
        let refused = FAX.replace("image 6000", "image 0");
        let tcp = FAX.replace("udptl", "tcptl");
        for (text, is) in [(FAX, true), (&audio_too, false), (&refused, false), (&tcp, false), (SPEECH, false)] {
            assert_eq!(is_fax(&parsed(text)), is, "{text}");
        }
        let six = FAX.replace("c=IN IP4 10.9.9.9", "c=IN IP6 2001:db8::9");
        let named = FAX.replace("c=IN IP4 10.9.9.9", "c=IN IP4 fax.example");
        for (text, fault) in [
            (&six, NegotiationFault::AddressFamily),
            (&named, NegotiationFault::HostName("fax.example".into())),
            (&refused, NegotiationFault::Refused),
        ] {
            assert_eq!(fax_of(&parsed(text), own), Err(fault));
        }
    }

    #[test]
    fn only_the_terms_are_passed_on_and_the_streams_keep_their_places() {
        let own = SocketAddr::from(([192, 0, 2, 1], 4000));
        let (speech, theirs) = (parsed(SPEECH), parsed(FAX));
        let stream = fax_of(&theirs, own).unwrap();
        assert_eq!((stream.stream, stream.remote), (1, SocketAddr::from(([10, 9, 9, 9], 6000))));
        let terms = "a=T38FaxVersion:0\r\na=t38FaxRateManagement:transferredTCF\r\n";
        let head = "v=0\r\no=- 7 4 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
        let asked = offer_fax(&speech, own, &stream.terms).to_string();
        assert_eq!(asked, format!("{head}m=image 4000 udptl t38\r\n{terms}m=video 0 RTP/AVP 31\r\n"));
        let answered = answer_fax(&theirs, stream.stream, &speech, own, &stream.terms).to_string();
        assert_eq!(answered, format!("{head}m=audio 0 RTP/AVP 0\r\nm=image 4000 udptl t38\r\n{terms}"));
    }
}
