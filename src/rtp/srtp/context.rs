//! The cryptographic context of each direction (RFC 3711 §3.2): its transforms, and what it knows of each SSRC.

use super::cipher::{ENCRYPTED, Purpose, RTCP_HEAD, Transform};
use super::keys::{MKI_LEN_MAX, Master};
use super::window::{RTCP_INDEX_MAX, RTP_INDEX_MAX, Stale, Window};
use crate::rtp::packet::{HEADER_LEN, header_len};
use codecs::cache::fetch;

/// SSRCs of one direction that are known at a time. One more takes the place of the one that was first; when we send, there
/// is no place for it, since an index must not be used twice.
pub const STREAMS_MAX: usize = 8;

/// Why a packet is not taken, or not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Not SRTP or SRTCP by its form: too short, or a header beyond its end.
    Malformed,
    /// The tag or the MKI does not agree: forged, damaged, or protected by another key.
    Forged,
    /// Its index was taken before, or is behind the window.
    Replayed,
    /// The key has protected all that it may (RFC 3711 §9.2), or no place is left for another SSRC.
    Exhausted,
    /// No room for the tag.
    Room,
}

impl From<Stale> for Refused {
    fn from(_: Stale) -> Refused {
        Refused::Replayed
    }
}

#[derive(Clone, Copy)]
struct Stream {
    ssrc: u32,
    rtp: Option<Window>,
    rtcp: Option<Window>,
}

/// What is known of each SSRC, the newest first.
#[derive(Clone, Copy, Default)]
struct Streams([Option<Stream>; STREAMS_MAX]);

impl Streams {
    #[inline]
    fn find(&mut self, ssrc: u32) -> Option<&mut Stream> {
        self.0.iter_mut().flatten().find(|s| s.ssrc == ssrc)
    }

    fn is_full(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    fn add(&mut self, ssrc: u32, rtp: Option<Window>, rtcp: Option<Window>) {
        self.0.rotate_right(1);
        if let Some(first) = self.0.first_mut() {
            *first = Some(Stream { ssrc, rtp, rtcp });
        }
    }
}

/// What we protect with.
pub struct Outbound {
    rtp: Transform,
    rtcp: Transform,
    mki: [u8; MKI_LEN_MAX],
    mki_len: usize,
    streams: Streams,
}

/// What the peer protects with.
pub struct Inbound {
    rtp: Transform,
    rtcp: Transform,
    mki: [u8; MKI_LEN_MAX],
    mki_len: usize,
    streams: Streams,
}

fn mki_of(master: &Master) -> ([u8; MKI_LEN_MAX], usize) {
    let mut mki = [0; MKI_LEN_MAX];
    mki.iter_mut().zip(master.mki()).for_each(|(place, byte)| *place = *byte);
    (mki, master.mki().len())
}

fn ssrc_at(packet: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*packet.get(at..)?.first_chunk()?))
}

/// An RTP packet's header length, sequence number and SSRC.
#[inline]
fn rtp_head(packet: &[u8]) -> Option<(usize, u16, u32)> {
    let head = header_len(packet).ok()?;
    let fixed: &[u8; HEADER_LEN] = packet.first_chunk()?;
    Some((head, u16::from_be_bytes([fixed[2], fixed[3]]), ssrc_at(fixed, 8)?))
}

impl Outbound {
    pub fn new(master: &Master) -> Outbound {
        let (mki, mki_len) = mki_of(master);
        let (rtp, rtcp) = (Transform::new(master, Purpose::Rtp), Transform::new(master, Purpose::Rtcp));
        Outbound { rtp, rtcp, mki, mki_len, streams: Streams::default() }
    }

    /// Has the memory fetched that an RTP packet of the newest SSRC needs.
    #[inline]
    pub fn foresee(&self) {
        fetch(&self.rtp);
        fetch(&self.mki);
        self.streams.0.first().into_iter().for_each(fetch);
    }

    /// Protects the RTP packet in the first `len` bytes of `buffer`; the length that it has then.
    #[inline]
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Refused> {
        let (packet, room) = buffer.split_at_mut_checked(len).ok_or(Refused::Room)?;
        let (head, sequence, ssrc) = rtp_head(packet).ok_or(Refused::Malformed)?;
        let trailer = room.get_mut(..self.rtp.tag_len() + self.mki_len).ok_or(Refused::Room)?;
        let window = self.streams.find(ssrc).and_then(|s| s.rtp);
        let index = window.map_or(u64::from(sequence), |w| w.estimate(sequence));
        if index > RTP_INDEX_MAX {
            return Err(Refused::Exhausted);
        }
        // An index that is used twice gives away both packets, so a sender is held to it like a receiver.
        window.map_or(Ok(()), |w| w.check(index))?;
        let is_aead = self.rtp.is_aead();
        let mki = self.mki.get(..self.mki_len).unwrap_or_default();
        let tag = write_mki(trailer, mki, is_aead).ok_or(Refused::Room)?;
        self.book(ssrc, |s| &mut s.rtp, index)?;
        if !self.rtp.seal_rtp((ssrc, index), head, packet, tag) {
            return Err(Refused::Malformed);
        }
        Ok(len + self.rtp.tag_len() + self.mki_len)
    }

    /// Protects the RTCP packet in the first `len` bytes of `buffer`; the length that it has then.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Refused> {
        let (packet, room) = buffer.split_at_mut_checked(len).ok_or(Refused::Room)?;
        let ssrc = ssrc_at(packet, 4).ok_or(Refused::Malformed)?;
        let trailer = room.get_mut(..self.rtcp.tag_len() + 4 + self.mki_len).ok_or(Refused::Room)?;
        let index = self.streams.find(ssrc).and_then(|s| s.rtcp).map_or(0, |w| w.highest() + 1);
        let short = u32::try_from(index).ok().filter(|i| *i <= RTCP_INDEX_MAX).ok_or(Refused::Exhausted)?;
        let word = (ENCRYPTED | short).to_be_bytes();
        let mki = self.mki.get(..self.mki_len).unwrap_or_default();
        // In GCM the tag comes first, then the index and the MKI; else the index, the MKI and the tag.
        let tag = if self.rtcp.is_aead() {
            let (tag, rest) = trailer.split_at_mut_checked(self.rtcp.tag_len()).ok_or(Refused::Room)?;
            rest.iter_mut().zip(word.iter().chain(mki)).for_each(|(place, byte)| *place = *byte);
            tag
        } else {
            let (first, tag) = trailer.split_at_mut_checked(4 + mki.len()).ok_or(Refused::Room)?;
            first.iter_mut().zip(word.iter().chain(mki)).for_each(|(place, byte)| *place = *byte);
            tag
        };
        if !self.rtcp.seal_rtcp((ssrc, short), packet, tag) {
            return Err(Refused::Malformed);
        }
        self.book(ssrc, |s| &mut s.rtcp, index)?;
        Ok(len + self.rtcp.tag_len() + 4 + self.mki_len)
    }

    fn book(&mut self, ssrc: u32, of: impl Fn(&mut Stream) -> &mut Option<Window>, index: u64) -> Result<(), Refused> {
        if self.streams.find(ssrc).is_none() {
            if self.streams.is_full() {
                return Err(Refused::Exhausted);
            }
            self.streams.add(ssrc, None, None);
        }
        if let Some(window) = self.streams.find(ssrc).map(of) {
            window.get_or_insert(Window::new(index)).take(index);
        }
        Ok(())
    }
}

/// Puts the MKI into the trailer and returns the place of the tag: before it in GCM (RFC 7714 §8.2), behind it else (RFC 3711 §3.1).
#[inline]
fn write_mki<'a>(trailer: &'a mut [u8], mki: &[u8], is_aead: bool) -> Option<&'a mut [u8]> {
    let (mki_place, tag) = if is_aead {
        let at = trailer.len().checked_sub(mki.len())?;
        let (tag, mki_place) = trailer.split_at_mut_checked(at)?;
        (mki_place, tag)
    } else {
        trailer.split_at_mut_checked(mki.len())?
    };
    mki_place.iter_mut().zip(mki).for_each(|(place, byte)| *place = *byte);
    Some(tag)
}

impl Inbound {
    pub fn new(master: &Master) -> Inbound {
        let (mki, mki_len) = mki_of(master);
        let (rtp, rtcp) = (Transform::new(master, Purpose::Rtp), Transform::new(master, Purpose::Rtcp));
        Inbound { rtp, rtcp, mki, mki_len, streams: Streams::default() }
    }

    /// Has the memory fetched that an RTP packet of the newest SSRC needs.
    #[inline]
    pub fn foresee(&self) {
        fetch(&self.rtp);
        fetch(&self.mki);
        self.streams.0.first().into_iter().for_each(fetch);
    }

    /// Checks and decrypts an RTP packet in place; the length that is left. Nothing is changed or kept of a packet that is
    /// refused. `former` is the context of the key before, for the rollover counter of an SSRC that goes on.
    #[inline]
    pub fn unprotect_rtp(&mut self, packet: &mut [u8], former: Option<&Inbound>) -> Result<usize, Refused> {
        let (head, sequence, ssrc) = rtp_head(packet).ok_or(Refused::Malformed)?;
        let (tag_len, mki) = (self.rtp.tag_len(), self.mki.get(..self.mki_len).unwrap_or_default());
        let len = packet.len().checked_sub(tag_len + mki.len()).filter(|len| *len >= head).ok_or(Refused::Malformed)?;
        let (body, trailer) = packet.split_at_mut_checked(len).ok_or(Refused::Malformed)?;
        let (tag, mki_there) = cut_mki(trailer, tag_len, self.rtp.is_aead()).ok_or(Refused::Malformed)?;
        if mki_there != mki {
            return Err(Refused::Forged);
        }
        let known = self.streams.find(ssrc).and_then(|s| s.rtp.as_mut());
        if let Some(window) = known {
            let index = window.estimate(sequence);
            if index > RTP_INDEX_MAX {
                return Err(Refused::Exhausted);
            }
            window.check(index)?;
            if !self.rtp.open_rtp((ssrc, index), head, body, tag) {
                return Err(Refused::Forged);
            }
            window.take(index);
            return Ok(len);
        }
        // A stream under a new key begins with a rollover counter of 0 where its sender makes a new context of it, and goes on
        // counting where it follows RFC 3711 §3.3.1.
        let on = former.and_then(|f| f.streams.0.iter().flatten().find(|s| s.ssrc == ssrc)?.rtp);
        let continued = on.map(|w| w.estimate(sequence)).filter(|i| (0x1_0000..=RTP_INDEX_MAX).contains(i));
        // And where its first packets went past us (before we had the key, say), it may have wrapped since.
        let wrapped = (sequence < 0x8000).then(|| 0x1_0000 | u64::from(sequence));
        for index in [Some(u64::from(sequence)), continued, wrapped].into_iter().flatten() {
            if self.rtp.open_rtp((ssrc, index), head, body, tag) {
                match self.streams.find(ssrc) {
                    Some(stream) => stream.rtp = Some(Window::new(index)),
                    None => self.streams.add(ssrc, Some(Window::new(index)), None),
                }
                return Ok(len);
            }
        }
        Err(Refused::Forged)
    }

    /// Checks and decrypts an RTCP packet in place; the length that is left.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let ssrc = ssrc_at(packet, 4).ok_or(Refused::Malformed)?;
        let (tag_len, mki) = (self.rtcp.tag_len(), self.mki.get(..self.mki_len).unwrap_or_default());
        let len = packet.len().checked_sub(tag_len + 4 + mki.len()).filter(|len| *len >= RTCP_HEAD);
        let len = len.ok_or(Refused::Malformed)?;
        let (body, trailer) = packet.split_at_mut_checked(len).ok_or(Refused::Malformed)?;
        let (tag, rest) = if self.rtcp.is_aead() {
            trailer.split_at_checked(tag_len).ok_or(Refused::Malformed)?
        } else {
            let (rest, tag) = trailer.split_at_checked(4 + mki.len()).ok_or(Refused::Malformed)?;
            (tag, rest)
        };
        let (word, mki_there) = rest.split_first_chunk().ok_or(Refused::Malformed)?;
        if mki_there != mki {
            return Err(Refused::Forged);
        }
        let word = u32::from_be_bytes(*word);
        let index = u64::from(word & !ENCRYPTED);
        let window = self.streams.find(ssrc).and_then(|s| s.rtcp);
        window.map_or(Ok(()), |w| w.check(index))?;
        if !self.rtcp.open_rtcp((ssrc, word), body, tag) {
            return Err(Refused::Forged);
        }
        match self.streams.find(ssrc) {
            Some(stream) => stream.rtcp.get_or_insert(Window::new(index)).take(index),
            None => self.streams.add(ssrc, None, Some(Window::new(index))),
        }
        Ok(len)
    }
}

/// The tag and the MKI of a trailer.
#[inline]
fn cut_mki(trailer: &[u8], tag_len: usize, is_aead: bool) -> Option<(&[u8], &[u8])> {
    if is_aead {
        return trailer.split_at_checked(tag_len);
    }
    let (mki, tag) = trailer.split_at_checked(trailer.len().checked_sub(tag_len)?)?;
    Some((tag, mki))
}

#[cfg(test)]
impl Outbound {
    pub(super) fn wind(&mut self, ssrc: u32, rtp: u64, rtcp: u64) {
        self.streams.add(ssrc, Some(Window::new(rtp)), Some(Window::new(rtcp)));
    }
}

#[cfg(test)]
impl Inbound {
    pub(super) fn wind(&mut self, ssrc: u32, rtp: u64, rtcp: u64) {
        self.streams.add(ssrc, Some(Window::new(rtp)), Some(Window::new(rtcp)));
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.0.iter().flatten().count()
    }
}
